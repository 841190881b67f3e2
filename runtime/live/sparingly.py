"""Sparingly: a source that comes and goes all the time must not fill a log."""

from __future__ import annotations

from collections.abc import Callable

from runtime.frame import now_ns

BURST = 6  # lines at once
EVERY_S = 10.0  # and then one in so many seconds


class Sparingly:
    """Passes lines on while there are few. Of those beyond, the newest comes once there is room, with their number."""

    def __init__(self, say: Callable[[str], None], burst: int = BURST, every_s: float = EVERY_S) -> None:
        self._say = say
        self._burst, self._every_ns = burst, int(every_s * 1e9)
        self._room, self._filled_ns = burst, now_ns()
        self._waiting = ""
        self._left_out = 0

    def say(self, text: str) -> None:
        """Tell a line now, or keep it for `tick` where there were too many."""
        self._left_out += bool(self._waiting)
        self._waiting = text
        self.tick()

    def tick(self) -> None:
        """Tell what waits, if there is room for it; to be called now and then."""
        if not self._waiting:
            return
        rooms = (now_ns() - self._filled_ns) // self._every_ns
        self._room = min(self._burst, self._room + rooms)
        self._filled_ns += rooms * self._every_ns
        if not self._room:
            return
        self._room -= 1
        left_out = f" (lines left out before it: {self._left_out})" if self._left_out else ""
        text, self._waiting, self._left_out = self._waiting + left_out, "", 0
        self._say(text)
