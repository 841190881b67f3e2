"""Damage: what share of a source's frames could not be decoded in the last seconds."""

from __future__ import annotations

from collections import deque

WINDOW_S = 5
MUCH, LITTLE = 0.10, 0.05  # shares: damage is told from the first on, and is over below the second


class Damage:
    """Counts whole and damaged frames second by second."""

    def __init__(self) -> None:
        self.reason = ""  # in words, while there is much damage
        self._corrupt = 0  # the source's own count when it was last looked at
        self._seconds: deque[tuple[int, int, int]] = deque(maxlen=WINDOW_S)  # (second, whole, damaged)

    def add(self, corrupt: int, at_ns: int) -> None:
        """A whole frame came at `at_ns`; corrupt: damaged ones counted so far."""
        second = at_ns // 10**9
        whole, damaged = 1, corrupt - self._corrupt
        self._corrupt = corrupt
        if self._seconds and self._seconds[-1][0] == second:
            _, before_whole, before_damaged = self._seconds.pop()
            whole, damaged = whole + before_whole, damaged + before_damaged
        self._seconds.append((second, whole, damaged))
        self._weigh(second)

    def _weigh(self, now: int) -> None:
        recent = [(whole, damaged) for second, whole, damaged in self._seconds if now - second < WINDOW_S]
        whole, damaged = (sum(column) for column in zip(*recent, strict=True))
        share = damaged / (whole + damaged)
        if share < LITTLE:
            self.reason = ""
        elif share >= MUCH and not self.reason:
            self.reason = f"{share:.0%} of the frames of the last {WINDOW_S} s were damaged"
