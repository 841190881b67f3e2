"""The ladder's decisions, on simulated clocks."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.steering.controller import DWELL_S, LASTING_S, LEAST_FRAMES, PATIENCE_S, Controller

EVERY = (1, 1, 1, 1, 2, 3, 1)  # main model, smaller model, two sizes, two thinnings, frames as they came
FPS = 10.0


@dataclass
class Run:
    """What a camera and a session made of a controller."""

    controller: Controller
    now_s: float = 1000.0
    steps: list[tuple[float, int, int]] = field(default_factory=list)  # (when, from, to)
    seconds_on: dict[int, float] = field(default_factory=dict)

    def pass_frames(
        self, seconds: float, took: Callable[[float, int], float], source_fps: float = FPS, passthrough: int = 6
    ) -> None:
        """The newest frame wins, one in flight. took: seconds that a frame needs, by the time and the rung."""
        end_s, offered = self.now_s + seconds, 0
        while self.now_s < end_s:
            rung = self.controller.rung
            offered += 1
            start_s = self.now_s
            if offered % EVERY[rung]:
                self.now_s += 1 / source_fps
            else:
                need_s = 0.0 if rung == passthrough else took(self.now_s, rung)
                self.now_s += max(need_s, 1e-6)
                new = self.controller.decide(self.now_s, None if rung == passthrough else need_s)
                if new != rung:
                    self.steps.append((self.now_s, rung, new))
                self.now_s = max(self.now_s, start_s + 1 / source_fps)
            self.seconds_on[rung] = self.seconds_on.get(rung, 0.0) + self.now_s - start_s


def first_fitting(costs: Sequence[float]) -> int:
    fitting = [rung for rung, cost in enumerate(costs) if cost <= EVERY[rung] / FPS]
    return fitting[0] if fitting else len(costs)


COSTS = st.lists(st.floats(0.001, 1.0), min_size=6, max_size=6)


@settings(max_examples=40, deadline=None)
@given(COSTS)
def test_a_constant_load_ends_on_the_best_rung_that_reaches_the_target_and_stays(costs: list[float]) -> None:
    run, minutes = Run(Controller(FPS, EVERY)), 20
    run.pass_frames(60 * minutes, lambda _, rung: costs[rung])
    settled = first_fitting(costs)
    down = [step for step in run.steps if step[2] > step[1]]
    assert [step[2] for step in down[:settled]] == list(range(1, settled + 1))
    assert all({before, after} == {settled, settled - 1} for _, before, after in run.steps[settled:])
    assert run.seconds_on[settled] > 0.85 * sum(run.seconds_on.values())
    climbs = [when for when, before, after in run.steps if after < before]
    assert len(climbs) <= 7
    gaps = [later - earlier for earlier, later in pairwise(climbs)]
    assert all(later > 1.5 * earlier for earlier, later in pairwise(gaps))


@settings(max_examples=20, deadline=None)
@given(st.floats(0.5, 1.5), st.integers(0, 1000))
def test_noise_about_the_target_does_not_swing(share: float, seed: int) -> None:
    rng = random.Random(seed)
    run = Run(Controller(FPS, EVERY))
    run.pass_frames(1200, lambda _, rung: rng.gauss(1, 0.15) * share / FPS * (1 if rung == 0 else 0.5))
    assert run.controller.rung <= 1
    assert len(run.steps) <= 30  # in twenty minutes


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 20.0), st.floats(2.0, 8.0), st.floats(0.05, 0.95))
def test_a_spike_is_waited_out(start_s: float, factor: float, length_s: float) -> None:
    def took(now_s: float, rung: int) -> float:
        in_spike = 1000 + start_s <= now_s < 1000 + start_s + length_s * PATIENCE_S / 2
        return 0.09 * (factor if in_spike else 1)

    run = Run(Controller(FPS, EVERY))
    run.pass_frames(40, took)
    assert run.steps == []


def test_one_frame_that_hangs_is_no_reason() -> None:
    run = Run(Controller(FPS, EVERY))
    run.pass_frames(5, lambda _, rung: 0.05)
    run.pass_frames(0.01, lambda _, rung: 30.0)
    run.pass_frames(5, lambda _, rung: 0.05)
    assert run.steps == []


@settings(max_examples=25, deadline=None)
@given(st.floats(2.0, 30.0), st.floats(20.0, 300.0))
def test_a_load_that_lasts_is_answered_and_its_end_too(factor: float, seconds: float) -> None:
    costs = (0.06, 0.03, 0.02, 0.01, 0.01, 0.01)
    run = Run(Controller(FPS, EVERY))
    run.pass_frames(10, lambda _, rung: costs[rung])
    assert run.controller.rung == 0
    run.pass_frames(seconds, lambda _, rung: costs[rung] * factor)
    settled = first_fitting([cost * factor for cost in costs])
    assert settled - run.controller.rung in (0, 1)  # 1: amid a climb that is going to fail
    run.pass_frames(180, lambda _, rung: costs[rung])
    assert run.controller.rung == 0
    assert run.controller.steps == len(run.steps)


def test_a_slow_source_is_no_reason() -> None:
    run = Run(Controller(FPS, EVERY))
    run.pass_frames(120, lambda _, rung: 0.09, source_fps=1.5)
    assert run.steps == []


def test_a_fast_source_changes_nothing() -> None:
    run = Run(Controller(FPS, EVERY))
    run.pass_frames(20, lambda _, rung: 0.002 if rung else 0.2, source_fps=400)
    assert [step[1:] for step in run.steps[:1]] == [(0, 1)]
    assert run.controller.rung == 1


def test_the_first_step_comes_after_patience_and_not_later_than_that() -> None:
    run = Run(Controller(FPS, EVERY))
    run.pass_frames(10, lambda _, rung: 0.15 if rung == 0 else 0.01)
    when, *_ = run.steps[0]
    assert PATIENCE_S + LASTING_S <= when - 1000 <= PATIENCE_S + LASTING_S + 0.5


def test_very_slow_frames_are_waited_for() -> None:
    run = Run(Controller(FPS, EVERY))
    run.pass_frames(60, lambda _, rung: 4.0 if rung == 0 else 0.01)
    assert run.steps[0][0] - 1000 >= 4.0 * LEAST_FRAMES
    assert run.controller.rung == 1


def test_the_last_rung_tries_again_ever_more_rarely() -> None:
    run = Run(Controller(FPS, EVERY))
    run.pass_frames(3600, lambda _, rung: 1.0)
    climbs = [when for when, before, after in run.steps if (before, after) == (6, 5)]
    assert 4 <= len(climbs) <= 9
    run.pass_frames(3600, lambda _, rung: 0.01)
    assert run.controller.rung == 0


def test_nothing_is_climbed_before_the_dwell() -> None:
    run = Run(Controller(FPS, EVERY))
    run.pass_frames(6, lambda _, rung: 1.0)
    run.pass_frames(150, lambda _, rung: 0.001)
    downs = [when for when, before, after in run.steps if after > before]
    climbs = [when for when, before, after in run.steps if after < before]
    assert climbs[0] - downs[-1] >= DWELL_S


def test_a_rung_that_is_discarded_is_never_entered() -> None:
    controller = Controller(FPS, EVERY)
    assert controller.discard(2, 1000.0) == 1
    assert controller.discard(3, 1000.0) == 1
    run = Run(controller)
    run.pass_frames(60, lambda _, rung: 0.25 if rung < 5 else 0.01)
    assert [step[2] for step in run.steps[:3]] == [1, 4, 5]
    run.pass_frames(600, lambda _, rung: 0.01)
    assert {step[2] for step in run.steps} & {2, 3} == set()
    assert controller.rung == 0


def test_discarding_the_present_rung_leaves_it_downwards() -> None:
    run = Run(Controller(FPS, EVERY))
    run.pass_frames(8, lambda _, rung: 1.0 if rung == 0 else 0.01)
    assert run.controller.rung == 1
    run.controller.discard(1, run.now_s)
    assert run.controller.rung == 2
