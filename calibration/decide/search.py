"""From a plan whose ranges are known to one that meets a budget, with what every layer costs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from calibration.cache import Journal
from calibration.decide.plan import Choice, Plan, with_int8
from calibration.decide.sensitivity import Bounded, Names, costs_alone, smallest_high_precision
from calibration.graph.forms import Graphs
from calibration.graph.layers import without_idle_skips
from calibration.measure.sets import EvaluationSet, worst_mean_drop
from calibration.progress import Progress

RESERVED = 60  # evaluations for finding sets (three times, some 20 each), of those that measure single layers first
GIVEN_UP = "the budget is not met with it in INT8"


class Search:
    """Measures plans on small crops, remembering every result, on the disk too."""

    def __init__(self, graphs: Graphs, plan: Plan, crops: Sequence[EvaluationSet], journal: Journal, most: int) -> None:
        """plan: with all ranges. most: graphs measured at the most."""
        self._graphs, self._plan, self._crops, self._journal = graphs, plan, crops, journal
        self._most = most
        self._drop = Bounded(self._measure, most)
        self._progress = Progress("measuring layers", most)
        self._costs: dict[str, float] = {}

    @property
    def evaluations(self) -> int:
        """Graphs measured so far."""
        return self._most - self._drop.left

    def measure_costs(self, names: frozenset[str], reserved: int = RESERVED) -> None:
        """Measure the plan itself, so that no search ends below it, and what these layers cost alone.

        The largest come first, as far as evaluations reach.
        """
        self._drop(self._plan.int8())
        by_size = sorted((choice for choice in self._plan.layers if choice.name in names), key=lambda one: -one.macs)
        self._costs = costs_alone([choice.name for choice in by_size], self._drop, reserved)
        self._progress.close()

    def costed(self, plan: Plan) -> Plan:
        """`plan` with the costs that were measured."""
        layers = (replace(choice, cost_db=self._costs.get(choice.name)) for choice in plan.layers)
        return replace(plan, layers=tuple(layers))

    def within(self, budget: float) -> Plan:
        """The plan with as much in INT8 as the search finds to stay within `budget` dB."""
        names = smallest_high_precision(self._candidates(), self._costs, self._drop, budget)
        self._progress.close()
        return self.costed(with_int8(self._plan, without_idle_skips(self._graphs.layers, names), GIVEN_UP))

    def _candidates(self) -> list[Choice]:
        names = searched(self._graphs)
        return [choice for choice in self._plan.layers if choice.name in names]

    def _measure(self, names: Names) -> float:
        what = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
        drop = (self._journal.get(what) or {}).get("drop_db")
        if drop is None:
            drop = worst_mean_drop(self._graphs.quantised(self._plan, names), self._crops)
            self._journal.put(what, {"drop_db": drop})
        self._progress.step()
        return drop


def searched(graphs: Graphs) -> frozenset[str]:
    """Names of the layers that a search may make INT8."""
    return frozenset(layer.name for layer in graphs.layers if layer.searched)
