"""Pace: what a viewer's link can take. Less when pictures wait for it, more when it has been idle for a while."""

from __future__ import annotations

import math
from dataclasses import dataclass

from runtime.page.newest import MOST_FPS
from runtime.page.pictures import Form

FULL_WIDTH, FULL_QUALITY = 960, 90
BUSY, IDLE = 0.6, 0.2  # share of the time between two pictures that sending one takes
TRY_S, MOST_TRY_S = 4.0, 64.0  # how long a link is idle before more is tried; doubled when that was too much
SMOOTH = 0.3  # weight of the last picture


@dataclass(frozen=True)
class Level:
    """One step of the ladder; each takes about half the bytes a second of the one before."""

    width: int  # pixels, at most
    quality: int  # 1 to 100
    every: int  # of how many offered frames one is sent


# For two halves of one 16:9 picture: 500 to 600 KB/s at the top, 3 KB/s at the bottom.
LADDER = (
    Level(FULL_WIDTH, FULL_QUALITY, 1),
    Level(960, 80, 1),
    Level(960, 75, 2),
    Level(640, 75, 2),
    Level(640, 60, 3),
    Level(480, 60, 4),
    Level(480, 45, 6),
    Level(320, 40, 8),
    Level(320, 20, 12),
)


class Pace:
    """The level of one viewer."""

    def __init__(self, form: Form) -> None:
        """form: the best that the viewer wants."""
        self.step = 0
        self._wanted = form
        self._load = 0.0  # share of the time that the link is busy
        self._idle_since_s: float | None = None
        self._tried_s = -math.inf  # when more was tried last
        self._try_s = TRY_S

    @property
    def every(self) -> int:
        return LADDER[self.step].every

    @property
    def form(self) -> Form:
        if not self.step:
            return self._wanted
        level, wanted = LADDER[self.step], self._wanted
        return Form(wanted.view, min(level.width, wanted.width or level.width), min(level.quality, wanted.quality))

    def sent(self, took_s: float, now_s: float) -> None:
        """A picture has gone, and the link was free again after `took_s`. now_s: of any clock that runs on."""
        load = took_s * MOST_FPS / self.every
        self._load += SMOOTH * (load - self._load)
        if load > 1 or self._load > BUSY:
            self._slower(max(load, self._load), now_s)
        elif self._load > IDLE:
            self._idle_since_s = None
        elif self._idle_since_s is None:
            self._idle_since_s = now_s
        elif now_s - self._idle_since_s >= self._try_s and self.step:
            self._faster(now_s)

    def _slower(self, load: float, now_s: float) -> None:
        if now_s - self._tried_s < self._try_s:  # what was tried is too much for this link
            self._try_s = min(MOST_TRY_S, self._try_s * 2)
        self.step = min(len(LADDER) - 1, self.step + max(1, round(math.log2(load / BUSY))))
        self._load, self._idle_since_s = 0.0, None

    def _faster(self, now_s: float) -> None:
        if now_s - self._tried_s > MOST_TRY_S:  # all has been well for long
            self._try_s = TRY_S
        self.step -= 1
        self._tried_s, self._idle_since_s = now_s, now_s
