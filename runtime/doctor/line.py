"""Line: one finding about a machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

# red stops something that this machine could do; yellow makes it slower or may stop it later; grey is not here and not
# needed.
Colour: TypeAlias = Literal["green", "yellow", "red", "grey"]


@dataclass(frozen=True)
class Line:
    """What was looked at and found."""

    subject: str
    colour: Colour
    found: str
    fix: str = ""  # a command, or what to do; for every line that is red or yellow
