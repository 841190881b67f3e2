"""Stages, learning rate, time budgets and the figures of a run."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import edgedeblur
from tests.training.tiny import MODEL, write_pairs
from training.checkpoint import read_checkpoint
from training.config import PRESETS
from training.evaluation.evaluate import crop_metrics
from training.learner import Learner
from training.meter import Meter, Step
from training.metrics_table import append_row, drop_rows_after
from training.schedule import Stage, learning_rate, stage_at, stages_of

TINY = ["--batch", "2", "--val-crops", "1", "--workers", "0", "--device", "cpu"]


@given(
    patches=st.lists(st.integers(1, 16).map(lambda n: 32 * n), min_size=1, max_size=5, unique=True),
    last=st.integers(1, 64),
)
def test_every_stage_has_about_as_many_pixels(patches: list[int], last: int) -> None:
    stages = stages_of(sorted(patches), last)
    pixels = max(patches) ** 2 * last
    assert stages[-1] == Stage(max(patches), last)
    for stage in stages:
        assert pixels - stage.patch**2 < stage.batch * stage.patch**2 <= pixels


@given(count=st.integers(1, 5), total=st.integers(5, 1000))
def test_stages_follow_each_other_in_equal_parts(count: int, total: int) -> None:
    stages = [Stage(32 * (index + 1), 1) for index in range(count)]
    taken = [stage_at(stages, step, total) for step in range(total)]
    assert taken == sorted(taken, key=lambda stage: stage.patch if stage else 0)
    lengths = [taken.count(stage) for stage in stages]
    assert max(lengths) - min(lengths) <= 1
    assert stage_at(stages, total, total) is None


@given(total=st.floats(1, 1e6), done=st.floats(0, 1))
def test_the_rate_follows_seconds_as_it_follows_steps(total: float, done: float) -> None:
    rate = learning_rate(done * total, total, 1e-3)
    assert 0 < rate <= 1e-3
    assert learning_rate(total, total, 1e-3) == pytest.approx(1e-6)


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `edgedeblur train` in this process: tiny steps of a tiny network; goes on with tmp_path/tiny."""
    monkeypatch.setitem(PRESETS, "tiny", MODEL)
    data = write_pairs(tmp_path / "pairs")
    command = ["train", *TINY, "--preset", "tiny", "--data", str(data), "--project", str(tmp_path), "--resume", "auto"]
    return lambda *arguments: edgedeblur.main([*command, *map(str, arguments)])


def test_a_stage_takes_up_where_the_one_before_ended(train: Callable[..., int], tmp_path: Path) -> None:
    """Four steps of 32 pixels with 2·(48/32)² = 4 crops, then four of 48 pixels with 2; then two more."""
    last = tmp_path / "tiny" / "last.pt"
    assert train("--patch", "32,48", "--steps", 8) == 0
    assert read_checkpoint(last)["training"]["seen"] == 4 * 4 + 4 * 2
    assert train("--patch", "32,48", "--steps", 10) == 0
    assert read_checkpoint(last)["training"]["seen"] == 4 * 4 + 6 * 2


class Clock:
    """Time that only passes where it is told to."""

    time = staticmethod(time.time)

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """In seconds."""
        return self.now

    def passes_in(self, function: Callable[..., Any], seconds: Iterator[float]) -> Callable[..., Any]:
        """The function, each call of which takes the next of these times."""

        def slow(*arguments: Any) -> Any:
            self.now += next(seconds)
            return function(*arguments)

        return slow


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A step takes 1 s, and a validation 5 s."""
    clock = Clock()
    monkeypatch.setattr("training.loop.time", clock)
    monkeypatch.setattr(Learner, "step", clock.passes_in(Learner.step, itertools.repeat(1.0)))
    monkeypatch.setattr("training.loop.crop_metrics", clock.passes_in(crop_metrics, itertools.repeat(5.0)))
    return clock


def test_a_time_budget_holds_and_counts_the_parts_of_a_run(
    train: Callable[..., int], clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = tmp_path / "tiny" / "last.pt"
    assert train("--patch", 32, "--minutes", 1) == 0
    first = read_checkpoint(last)["training"]
    assert first["elapsed_s"] == clock.now == 60
    assert first["validated"] == first["step"] == 60 - 2 * 5  # a validation at the start says how long the last takes
    assert first["optimisers"][0]["param_groups"][0]["lr"] < 0.01 * 1e-3  # the schedule was walked to its end
    assert train("--patch", 32, "--minutes", 1) == 0
    assert "this run is finished; raise --minutes" in capsys.readouterr().err
    assert train("--patch", 32, "--minutes", 2) == 0
    second = read_checkpoint(last)["training"]
    assert second["step"] == 50 + 60 - 5
    assert second["elapsed_s"] == 120


def test_a_quicker_validation_leads_back_to_no_earlier_stage(
    train: Callable[..., int], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.chain([20.0], itertools.repeat(1.0))
    monkeypatch.setattr("training.loop.crop_metrics", clock.passes_in(crop_metrics, seconds))
    step, sides, rates = Learner.step, list[int](), list[float]()

    def watched(learner: Learner, blurred: Tensor, sharp: Tensor, rate: float, batch: int) -> tuple[float, float]:
        sides.append(blurred.shape[-1])
        rates.append(rate)
        return step(learner, blurred, sharp, rate, batch)

    monkeypatch.setattr(Learner, "step", watched)
    assert train("--patch", "32,48", "--minutes", 1, "--validate-every", 1) == 0
    assert sides == sorted(sides)
    assert rates == sorted(rates, reverse=True)


def test_rows_after_the_checkpoint_and_rows_cut_short_go(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    drop_rows_after(path, 5)
    assert not path.exists()
    for step in (2, 10, 11):
        append_row(path, {"step": step, "psnr": 20.5})
    with path.open("a") as file:
        file.write("1")  # of "12,20.5"
    drop_rows_after(path, 10)
    assert path.read_text() == "step,psnr\n2,20.5\n10,20.5\n"
    path.write_text("")  # killed before the header
    drop_rows_after(path, 10)
    append_row(path, {"step": 2, "psnr": 20.5})
    assert path.read_text() == "step,psnr\n2,20.5\n"


def test_a_table_that_something_else_wrote_is_no_obstacle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,ps")  # a header cut short
    drop_rows_after(path, 10)
    append_row(path, {"step": 2, "psnr": 20.5})
    assert path.read_text() == "step,psnr\n2,20.5\n"
    with path.open("a") as file:
        file.write("three,20.5\n")
    drop_rows_after(path, 10)
    assert path.read_text() == "step,psnr\n2,20.5\n"
    append_row(path, {"step": 4, "psnr": 20.5, "ssim": 0.5})  # of a version with other columns
    assert path.read_text() == "step,psnr,ssim\n4,20.5,0.5\n"
    assert (tmp_path / "metrics-before.csv").read_text() == "step,psnr\n2,20.5\n"
    assert "metrics-before.csv" in capsys.readouterr().err


def test_steps_left_out_take_time_but_are_not_in_the_means() -> None:
    meter = Meter()
    meter.add(Step(loss=1.0, gradient=3.0, rate=1e-3, patches=4, seconds=0.5, waited=0.1))
    meter.add(Step(loss=math.nan, gradient=math.nan, rate=1e-3, patches=4, seconds=1.5, waited=0.3))
    assert meter.row() == pytest.approx({"loss": 1.0, "gradient": 3.0, "patches_per_s": 4.0, "data_wait": 0.2})
