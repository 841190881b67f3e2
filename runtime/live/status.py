"""Status and controls of one stream: written by its threads, read by the page, the metrics and the service manager."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from runtime.frame import now_ns

# live: frames come. starting: none came yet. The rest are troubles: `lost` has no connection and seeks one, `stalled`
# is connected and silent, `frozen` gives one picture again and again, `black` sees nothing; `ended` and `failed` are
# final.
State: TypeAlias = Literal["starting", "live", "stalled", "frozen", "black", "lost", "ended", "failed"]
HEALTHY: tuple[State, ...] = ("live", "black")  # a lens cap or the night is no fault of ours


@dataclass
class Status:
    """How the source of one stream is. Fields are single values, so that reading them needs no lock."""

    state: State = "starting"
    reason: str = ""  # in words for people, without credentials
    since_ns: int = field(default_factory=now_ns)  # CLOCK_MONOTONIC
    reconnects: int = 0  # times that the source came back
    may_stand_still: bool = False  # a screen or a coded stream: one picture for hours is no fault

    def change(self, state: State, reason: str = "") -> bool:
        """Take a new state; False where it is the old one."""
        if (state, reason) == (self.state, self.reason):
            return False
        self.reason = reason
        if state != self.state:
            self.since_ns = now_ns()
        self.state = state
        return True

    @property
    def healthy(self) -> bool:
        return self.state in HEALTHY or (self.state == "frozen" and self.may_stand_still)


@dataclass
class Controls:
    """What a person may change while a stream runs."""

    view: str = "output"  # one of runtime.views.VIEWS
    strength: float = 1.0  # 0: the input, 1: the network's output, between them a blend
