"""Back-off: how long to wait before the next attempt, so that a source that is gone or flaps is not hammered."""

from __future__ import annotations

import random

MOST_DOUBLINGS = 60  # beyond it every limit of ours is long reached, and a float is not overrun


class Backoff:
    """Exponential back-off with full jitter: any time from 0 up to a limit, which doubles with each attempt.

    The jitter keeps many cameras that were lost together from coming back together.
    """

    def __init__(self, initial_s: float, most_s: float, chance: random.Random | None = None) -> None:
        """initial_s: the limit of the first wait; most_s: of any."""
        self.attempts = 0  # since the last reset
        self._initial_s, self._most_s = initial_s, most_s
        self._chance = chance or random.Random()

    def next_s(self) -> float:
        """Seconds to wait before the next attempt, which is counted."""
        limit_s = min(self._most_s, self._initial_s * 2.0 ** min(self.attempts, MOST_DOUBLINGS))
        self.attempts += 1
        return self._chance.uniform(0, limit_s)

    def reset(self) -> None:
        """Start again from the initial limit: what was tried has proven itself."""
        self.attempts = 0
