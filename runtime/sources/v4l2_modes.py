"""In which forms a V4L2 camera can send pictures, and which of them is the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from edgedeblur import Failure

Size: TypeAlias = tuple[int, int]  # (height, width)

# Formats by V4L2's four letters, the best first where all else is equal, with the names that people use for them.
# 4:2:2 keeps more colour than 4:2:0; JPEG costs decoding and detail, and lets a USB camera send large pictures fast.
CODECS = {
    "YUYV": ("yuyv", "yuy2", "yuyv422"),
    "UYVY": ("uyvy", "uyvy422"),
    "NV12": ("nv12",),
    "YU12": ("yu12", "i420", "yuv420p"),
    "BGR3": ("bgr3", "bgr24"),
    "RGB3": ("rgb3", "rgb24"),
    "MJPG": ("mjpeg", "mjpg", "jpeg"),
    "GREY": ("grey", "gray", "gray8"),
}
DEFAULT_SIZE, DEFAULT_RATE = (720, 1280), Fraction(30)  # what is wished for where the user says nothing
RATE_TOLERANCE = Fraction(1, 50)  # 29.97 frames/s are 30


@dataclass(frozen=True)
class Mode:
    """A form in which a camera can send pictures."""

    codec: str  # V4L2's four letters
    size: Size  # (height, width) in pixels
    rates: tuple[Fraction, ...]  # frames a second, fastest first; empty where the driver does not say


def codec_of(name: str) -> str:
    """V4L2's four letters of a format by any of its names. Raises: Failure (USAGE) for one that is not read here."""
    for letters, names in CODECS.items():
        if name.lower() in (letters.lower(), *names):
            return letters
    raise Failure(f"'{name}' is not a camera format of this version; expected one of: {', '.join(known_codecs())}")


def known_codecs() -> list[str]:
    """The names of the formats that are read here, one each."""
    return [names[0] for names in CODECS.values()]


def choose(modes: Sequence[Mode], size: Size, rate: Fraction) -> tuple[Mode, Fraction | None]:
    """The mode of the size nearest to `size` that comes nearest to `rate`, uncompressed where that costs neither.

    With the rate to ask it for.
    """
    order = list(CODECS)

    def cost(mode: Mode) -> tuple[int, Fraction, int]:
        distance = abs(mode.size[0] - size[0]) + abs(mode.size[1] - size[1])
        fastest = max(mode.rates, default=rate)
        short = max(Fraction(0), 1 - fastest / rate)
        return distance, short if short > RATE_TOLERANCE else Fraction(0), order.index(mode.codec)

    mode = min(modes, key=cost)
    return mode, min(mode.rates, key=lambda one: (abs(one - rate), -one), default=None)
