"""Which layers may be INT8: what each costs alone, and the smallest set in high precision that meets a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from calibration.decide.plan import Choice

Names = frozenset[str]
Drop = Callable[[Names], float]  # dB lost with these layers in INT8
TRIES = 12  # layers given up that are tried again, so that one search cannot use up what the next one needs


class OutOfEvaluations(Exception):
    """The search has used up what it may."""


class Bounded:
    """A drop function that answers a question once and at most so many different ones."""

    def __init__(self, drop: Drop, evaluations: int) -> None:
        self._drop, self.left = drop, evaluations
        self._known: dict[Names, float] = {}

    def __call__(self, names: Names) -> float:
        if names not in self._known:
            if self.left == 0:
                raise OutOfEvaluations
            self.left -= 1
            self._known[names] = self._drop(names)
        return self._known[names]

    def within(self, budget: float) -> list[Names]:
        """All that was asked and found to lose no more than `budget`."""
        return [names for names, drop in self._known.items() if drop <= budget]


def costs_alone(names: Sequence[str], drop: Bounded, reserve: int) -> dict[str, float]:
    """Layer → dB that it costs alone in INT8, as far as evaluations reach when `reserve` of them are left over."""
    count = max(0, min(len(names), drop.left - reserve))
    return {name: drop(frozenset([name])) for name in names[:count]}


def smallest_high_precision(
    candidates: Sequence[Choice], costs: Mapping[str, float], drop: Bounded, budget: float
) -> Names:
    """The candidates that can be INT8 within `budget` dB; what they leave out is as small as the search found.

    Layers are given up by cost for each multiply-accumulate, dearest first; the number is found by bisection, then the
    largest of those given up are tried again, one at a time. A layer without a cost counts as the dearest. When
    evaluations run out, the best of all sets measured so far is returned; it is empty when none meets the budget.
    """
    dearest = sorted(candidates, key=lambda choice: -_price(choice, costs))
    macs = {choice.name: choice.macs for choice in candidates}
    best: Names = frozenset()
    try:
        best = frozenset(choice.name for choice in dearest[_bisect(dearest, drop, budget) :])
        best = _largest([best, *drop.within(budget)], macs)
        for choice in sorted((one for one in candidates if one.name not in best), key=lambda one: -one.macs)[:TRIES]:
            if drop(best | {choice.name}) <= budget:
                best |= {choice.name}
    except OutOfEvaluations:
        pass
    return _largest([best, *drop.within(budget)], macs)


def _largest(sets: Sequence[Names], macs: Mapping[str, int]) -> Names:
    """The set that saves most; the first of several."""
    return max(sets, key=lambda names: sum(macs.get(name, 0) for name in names))


def _price(choice: Choice, costs: Mapping[str, float]) -> float:
    """dB for each multiply-accumulate that INT8 gains; a skip has none and only saves memory traffic."""
    return costs.get(choice.name, float("inf")) / max(choice.macs, 1)


def _bisect(dearest: Sequence[Choice], drop: Bounded, budget: float) -> int:
    """How many of the dearest must be given up; all of them when nothing less is enough."""
    low, high = 0, len(dearest)
    while low < high:
        middle = (low + high) // 2
        if drop(frozenset(choice.name for choice in dearest[middle:])) <= budget:
            high = middle
        else:
            low = middle + 1
    return high
