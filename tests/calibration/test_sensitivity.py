"""The search: the smallest set in high precision that meets a budget, within the evaluations it may use."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.decide.plan import Choice
from calibration.decide.sensitivity import TRIES, Bounded, OutOfEvaluations, costs_alone, smallest_high_precision

LAYERS = st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 100)), min_size=1, max_size=8)


def choices(layers: list[tuple[int, int]]) -> list[Choice]:
    """Layers of so many multiply-accumulates each."""
    return [Choice(f"l{place}", "conv", "int8", macs=macs) for place, (macs, _) in enumerate(layers)]


def adding_up(layers: list[tuple[int, int]]) -> dict[str, float]:
    return {f"l{place}": float(cost) for place, (_, cost) in enumerate(layers)}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(LAYERS, st.integers(0, 300))
def test_the_budget_is_met_and_nothing_given_up_could_come_back(layers: list[tuple[int, int]], budget: int) -> None:
    costs = adding_up(layers)
    drop = Bounded(lambda names: sum(costs[name] for name in names), 1000)
    found = smallest_high_precision(choices(layers), costs, drop, budget)
    spent = sum(costs[name] for name in found)
    assert spent <= budget
    for name in set(costs) - found:
        assert spent + costs[name] > budget  # at most 8 layers: all are tried again


@settings(max_examples=60, deadline=None, derandomize=True)
@given(LAYERS, st.integers(0, 300))
def test_it_is_not_far_from_the_best_of_all_subsets(layers: list[tuple[int, int]], budget: int) -> None:
    """Greedy by price is at least half as good as the best: the bound for knapsack, with its last step tried again."""
    costs, macs = adding_up(layers), {choice.name: choice.macs for choice in choices(layers)}
    drop = Bounded(lambda names: sum(costs[name] for name in names), 1000)
    found = smallest_high_precision(choices(layers), costs, drop, budget)
    subsets = itertools.chain.from_iterable(itertools.combinations(costs, size) for size in range(len(costs) + 1))
    best = max(sum(macs[n] for n in some) for some in subsets if sum(costs[n] for n in some) <= budget)
    largest_alone = max((macs[name] for name in costs if costs[name] <= budget), default=0)
    assert sum(macs[name] for name in found) + largest_alone >= best


@pytest.mark.parametrize("evaluations", range(8))
def test_it_never_measures_more_than_it_may(evaluations: int) -> None:
    layers = [(100, 3), (50, 9), (70, 1), (10, 20), (90, 4)]
    costs = adding_up(layers)
    asked = []

    def measure(names: frozenset[str]) -> float:
        asked.append(names)
        return sum(costs[name] for name in names)

    drop = Bounded(measure, evaluations)
    found = smallest_high_precision(choices(layers), costs, drop, 8.0)
    assert len(asked) <= evaluations
    assert len(set(asked)) == len(asked), "the same question twice"
    assert sum(costs[name] for name in found) <= 8.0
    within = [names for names in asked if sum(costs[name] for name in names) <= 8.0]
    assert bool(found) == bool(within), "what was measured and fits is not thrown away"


def test_a_second_search_with_little_left_uses_what_the_first_measured() -> None:
    layers = [(100, 3), (50, 9), (70, 1), (10, 20), (90, 4)]
    costs = adding_up(layers)
    drop = Bounded(lambda names: sum(costs[name] for name in names), 8)
    alone = costs_alone(list(costs), drop, reserve=3)
    first = smallest_high_precision(choices(layers), alone, drop, 30.0)
    drop.left = 0
    second = smallest_high_precision(choices(layers), alone, drop, 9.5)
    assert first
    assert second
    assert sum(costs[name] for name in second) <= 9.5


def test_one_search_leaves_evaluations_for_another() -> None:
    layers = [(1, 10)] * 60
    costs = adding_up(layers)
    drop = Bounded(lambda names: sum(costs[name] for name in names), 500)
    smallest_high_precision(choices(layers), costs, drop, 5.0)
    assert 500 - drop.left <= TRIES + 7


def test_costs_leave_evaluations_for_the_search() -> None:
    drop = Bounded(lambda names: 1.0, 10)
    assert list(costs_alone(["a", "b", "c"], drop, reserve=8)) == ["a", "b"]
    assert drop.left == 8
    assert costs_alone(["d"], drop, reserve=8) == {}


def test_a_layer_without_a_cost_is_given_up_first() -> None:
    layers = [(100, 1), (100, 1)]
    drop = Bounded(lambda names: float(len(names)), 10)
    assert smallest_high_precision(choices(layers), {"l1": 1.0}, drop, 1.0) == {"l1"}


def test_what_is_known_costs_nothing() -> None:
    drop = Bounded(lambda names: 2.0, 1)
    assert drop(frozenset("a")) == drop(frozenset("a")) == 2.0
    with pytest.raises(OutOfEvaluations):
        drop(frozenset("b"))
