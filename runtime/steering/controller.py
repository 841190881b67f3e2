"""Controller: which rung of the ladder, from the times that frames take. No clock of its own, nothing left to chance.

Down when the typical frame of the last two seconds takes longer than the target leaves it. Up when the rung above would
fit with room to spare: it takes so many times what this one takes, as was seen when it was left. That may be wrong, and
the last rung takes nothing, so it is believed half as much every half minute. A climb that does not last doubles all
waiting before the next one to that rung.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

PATIENCE_S = 2.0  # over which the typical frame is taken: a spike shorter than half of it moves no median
LASTING_S = 1.0  # for so long the typical frame must have been too slow
LEAST_FRAMES = 5
DWELL_S = 5.0  # on a rung before the first climb from it
HALF_LIFE_S = 30.0
ROOM = 0.8  # of the time that there is may be needed on the rung above
MOST_FAILURES = 6  # that are counted: after so many a climb is tried every half hour or so
RATIOS = 5  # that are remembered: the load may change between the two times of one
LOOK_S = 0.05  # between two decisions; a fast source has more frames than that


@dataclass
class _Rung:
    """What is remembered of one rung."""

    budget_s: float  # that a frame may take
    took_s: float = 0.0  # typically, when it was left for the one below
    left_s: float = 0.0  # when that was
    compared: bool = False  # whether `ratios` has this time, with that of the rung below right after
    ratios: deque[float] = field(default_factory=lambda: deque(maxlen=RATIOS))  # its times by those of the rung below
    climbed_s: float | None = None  # when it was climbed to last
    failures: int = 0  # climbs to it in a row that did not last


class Controller:
    """Rung 0 is the best one; the last rung takes no time and always fits."""

    def __init__(self, target_fps: float, every: Sequence[int]) -> None:
        """every: of each rung, how many frames of the source come for one that it works on."""
        self.rung = 0
        self.steps = 0  # up and down
        self.expected_s: float = 0.0  # what led to the last step: the time a frame took, or would take above
        self._rungs = [_Rung(count / target_fps) for count in every]
        self.usable = list(range(len(every)))  # rungs that were not discarded
        self._times: deque[tuple[float, float]] = deque()  # (when, seconds) of frames on this rung
        self._entered_s: float | None = None
        self._look_s = 0.0
        self._slow_since_s: float | None = None

    def decide(self, now_s: float, took_s: float | None) -> int:
        """The rung for the next frames, once a frame of the present one is done.

        took_s: its share of the session's time, in seconds: how far apart such frames can follow. None where it took
        none, on the last rung.
        """
        if self._entered_s is None:
            self._entered_s = now_s
        if took_s is not None:
            self._times.append((now_s, took_s))
            while len(self._times) > LEAST_FRAMES and self._times[0][0] < now_s - PATIENCE_S:
                self._times.popleft()
        if now_s < self._look_s:
            return self.rung
        self._look_s = now_s + LOOK_S
        on_it_s = now_s - self._entered_s
        if on_it_s >= PATIENCE_S and (took_s is None or len(self._times) >= LEAST_FRAMES):
            self._weigh(now_s, on_it_s)
        return self.rung

    def discard(self, rung: int, now_s: float) -> int:
        """A rung other than 0 and the last cannot be used: it is left for the one below, and never tried again.

        Returns the rung above it.
        """
        place = self.usable.index(rung)
        above, _, below = self.usable[place - 1 : place + 2]
        del self.usable[place]
        if self.rung == rung:
            self._enter(below, now_s)
        return above

    def _weigh(self, now_s: float, on_it_s: float) -> None:
        typical_s = statistics.median(took_s for _, took_s in self._times) if self._times else 0.0
        place = self.usable.index(self.rung)
        if typical_s <= self._rungs[self.rung].budget_s:
            self._slow_since_s = None
            if place:
                self._consider(self.usable[place - 1], typical_s, now_s, on_it_s)
            return
        if self._slow_since_s is None:
            self._slow_since_s = now_s
        if now_s - self._slow_since_s >= LASTING_S and place + 1 < len(self.usable):
            self._leave(self._rungs[self.rung], typical_s, now_s)
            self._step(self.usable[place + 1], now_s, typical_s)

    def _consider(self, number: int, typical_s: float, now_s: float, on_it_s: float) -> None:
        """Climb to the rung above where it would fit."""
        above = self._rungs[number]
        if typical_s and not above.compared:
            above.compared = True
            above.ratios.append(above.took_s / typical_s)
        expected_s = _expected(above, typical_s, now_s)
        if on_it_s >= DWELL_S * 2**above.failures and expected_s <= ROOM * above.budget_s:
            above.climbed_s = now_s
            self._step(number, now_s, expected_s)

    def _leave(self, rung: _Rung, took_s: float, now_s: float) -> None:
        """Remember what there is to know of a rung that is too slow."""
        if rung.climbed_s is not None:
            # A climb has to last as long as was waited for it, or a load near the limit would swing for ever.
            failed = now_s - rung.climbed_s < HALF_LIFE_S * 2**rung.failures
            rung.failures = min(rung.failures + 1, MOST_FAILURES) if failed else 0
        rung.took_s, rung.left_s, rung.compared, rung.climbed_s = took_s, now_s, False, None

    def _step(self, rung: int, now_s: float, expected_s: float) -> None:
        self.steps += 1
        self.expected_s = expected_s
        self._enter(rung, now_s)

    def _enter(self, rung: int, now_s: float) -> None:
        self.rung = rung
        self._entered_s = now_s
        self._slow_since_s = None
        self._times.clear()


def _expected(above: _Rung, typical_s: float, now_s: float) -> float:
    """What a frame would take on the rung above, in seconds. typical_s: what it takes here, 0 where that is nothing."""
    expected_s = statistics.median(above.ratios) * typical_s if typical_s and above.ratios else above.took_s
    age = (now_s - above.left_s) / (HALF_LIFE_S * 2**above.failures)
    return expected_s * float(0.5**age)
