"""Health: keeps the status of a supervised source and tells people when it changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from runtime.frame import now_ns
from runtime.live.connection import Trouble
from runtime.live.sparingly import Sparingly
from runtime.live.status import State, Status
from runtime.live.watchdog import Verdict


@dataclass
class Outage:
    """One time without the source."""

    since_ns: int  # CLOCK_MONOTONIC: the last good frame, or the first attempt where there was none
    attempts: int = 0  # to open the source again
    retry_ns: int = 0  # when the next one is due

    @property
    def lasted_s(self) -> float:
        return (now_ns() - self.since_ns) / 1e9


class Health:
    """What is known of a source, once for machines (`Status`) and once in words."""

    def __init__(self, name: str, status: Status, say: Callable[[str], None]) -> None:
        self._name, self._status, self._told = name, status, Sparingly(say)

    def tick(self) -> None:
        """To be called now and then: tells what was held back."""
        self._told.tick()

    def lost(self, trouble: Trouble, meanwhile: str) -> None:
        """No frames any more. meanwhile: what is done about it."""
        self._status.change(trouble.state, trouble.why)
        self._told.say(f"{self._name} is {trouble.state}: {trouble.why}; {meanwhile}")

    def awaited(self, trouble: Trouble) -> None:
        """The source was not there when the run began."""
        self._status.change("starting", trouble.why)
        self._told.say(f"waiting for {self._name}: {trouble.why}")

    def retry(self, trouble: Trouble, wait_s: float, attempts: int) -> None:
        """An attempt to open the source again came to nothing."""
        state: State = "starting" if self._status.state == "starting" else "lost"
        self._status.change(state, f"{trouble.why}; {_tries(attempts)} so far, the next one in {wait_s:.1f} s")

    def back(self, outage: Outage) -> None:
        """Frames come again, or at last."""
        again = self._status.state != "starting"
        self._status.reconnects += again
        self._status.change("live")
        tries = _tries(outage.attempts)
        self._told.say(f"{self._name} is {'back' if again else 'there'} after {outage.lasted_s:.1f} s, {tries}")

    def sees(self, verdict: Verdict, damage: str, why: str) -> None:
        """A frame came. damage: in words, where many are damaged; why: in words, where the verdict is bad."""
        before, before_why, since_ns = self._status.state, self._status.reason, self._status.since_ns
        if not self._status.change(verdict, why or damage) or before == "starting":
            return
        if why:
            self._told.say(f"{self._name} is {verdict}: {why}")
        elif damage:
            self._told.say(f"{self._name}: {damage}")
        elif before != "live":
            self._told.say(f"{self._name} is live again, {before} for {(now_ns() - since_ns) / 1e9:.1f} s")
        elif before_why:
            self._told.say(f"{self._name}: its frames are whole again")

    def over(self, state: Literal["ended", "failed"], why: str) -> None:
        """No frame will come any more."""
        self._status.change(state, why)


def _tries(count: int) -> str:
    return f"{count} attempt{'' if count == 1 else 's'}"
