"""Stamps of frames, the statistics over them and the file of all times, against what they are defined to be."""

from __future__ import annotations

import csv
import io
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.measure.distribution import TOO_SMALL, percentile, percentile_name, summary_of, values_needed
from runtime.measure.profiles.stamps import HOWS, WARM_UP, StampBook, Stamps
from runtime.measure.series import Series
from runtime.report.times_file import times_bytes
from runtime.sessions.session import GpuTimes
from tests.runtime.test_timing import delivery

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=120)


def stamps(count: int = 6, warm: int = 2, gpu: GpuTimes | None = None, stamped: bool = True) -> Stamps:
    """Frames 20 ms apart: 1 ms to memory, 2 ms waiting, 5 ms inference, 3 ms to the sink, 4 ms in it."""
    book, before_ns = StampBook(), 0
    for index in range(count):
        item = delivery(index, 20, stamped)
        item.gpu = gpu
        book.add(item, before_ns or item.handed_ns, WARM_UP if index < warm else (index - warm) % 2)
        before_ns = item.handed_ns
    return book.stamps()


def test_stages_are_between_their_points() -> None:
    stages = stamps().measured.stages_ms()
    expected = {"age": 11, "capture": 1, "queue": 2, "inference": 5, "handover": 3, "sink": 4, "interval": 20}
    for name, ms in expected.items():
        assert stages[name] == pytest.approx([ms] * 4), name
    assert np.isnan(stages["compute"]).all()
    parts = sum(stages[name] for name in ("capture", "queue", "inference", "handover"))
    assert parts == pytest.approx(stages["age"])  # the frame age is all accounted for


def test_what_was_not_measured_is_no_number() -> None:
    assert np.isnan(stamps(stamped=False).stages_ms()["capture"]).all()
    shared = stamps(gpu=GpuTimes(None, 4.0, None)).stages_ms()
    assert np.isnan(shared["upload"]).all()
    assert shared["compute"] == pytest.approx([4.0] * 6)


def test_only_unique_frames_after_the_warm_up_count() -> None:
    book = StampBook()
    for index, how in enumerate(HOWS):
        item = delivery(index, 20)
        item.how = how
        book.add(item, item.handed_ns, 0)
    counted = {HOWS[how] for how in book.stamps().measured.how}
    assert counted == {"deblurred", "sharp", "guarded"}
    assert len(stamps(count=6, warm=2).measured) == 4


@settings(deadline=None)
@given(VALUES)
def test_a_summary_says_what_a_series_says(values: list[float]) -> None:
    series = Series(1024)
    for value in values:
        series.add(value)
    ours, theirs = summary_of(np.array(values)), series.summary()
    assert ours.keys() == theirs.keys()
    for key, said in theirs.items():
        assert ours[key] == (pytest.approx(said, abs=1e-5) if isinstance(said, float) else said), key


@settings(deadline=None)
@given(VALUES, st.fractions(Fraction(1, 10), Fraction(98)))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(values: list[float], percent: Fraction) -> None:
    found = percentile(np.sort(values), percent)
    enough = [value for value in values if 100 * sum(other <= value for other in values) >= percent * len(values)]
    assert found == min(enough)


@pytest.mark.parametrize(("percent", "needed"), [("50", 1), ("98", 1), ("99", 1000), ("99.5", 2000), ("99.9", 10000)])
def test_a_far_percentile_needs_ten_values_beyond_it(percent: str, needed: int) -> None:
    assert values_needed(Fraction(percent)) == needed
    values = np.arange(needed, dtype=np.float64)
    assert percentile(values, Fraction(percent)) == math.ceil(Fraction(percent) / 100 * needed) - 1
    if needed > 1:
        assert percentile(values[1:], Fraction(percent)) == TOO_SMALL


def test_names_of_percentiles() -> None:
    wanted = [Fraction(text) for text in ("50", "99.9")]
    assert [percentile_name(percent) for percent in wanted] == ["p50", "p99.9"]
    assert summary_of(np.array([]), wanted) == {
        "n": 0, "mean": None, "std": None, "p50": None, "p99.9": None, "max": None
    }  # fmt: skip


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_the_file_of_times_has_trtexecs_names(suffix: str) -> None:
    gpu = GpuTimes(0.5, 4.0, 0.25)
    content = times_bytes(stamps(gpu=gpu), Path("times" + suffix)).decode()
    rows = json.loads(content) if suffix == ".json" else list(csv.DictReader(io.StringIO(content)))
    assert len(rows) == 6
    row = {key: float(value) for key, value in rows[3].items() if key.endswith("Ms")}
    assert [row[key] for key in ("h2dMs", "computeMs", "d2hMs", "latencyMs")] == [0.5, 4.0, 0.25, 5.0]
    assert row["endComputeMs"] - row["startComputeMs"] == pytest.approx(4.0)
    assert row["startH2dMs"] == pytest.approx(row["endD2hMs"] - 4.75)
    assert row["endD2hMs"] == row["finishedMs"] == pytest.approx(3 * 20 + 8)  # from the first frame's capture on
    assert (row["ageMs"], row["queueMs"], row["captureDelayMs"]) == pytest.approx((11, 2, 1))
    assert str(rows[0]["warmUp"]) == "True"
    assert rows[5]["how"] == "deblurred"


def test_without_a_gpu_computing_is_the_whole_of_it() -> None:
    row = json.loads(times_bytes(stamps(stamped=False), Path("t.json")))[2]
    assert (row["h2dMs"], row["computeMs"], row["latencyMs"], row["captureDelayMs"]) == (0, 5, 5, None)


def test_a_run_without_frames_gives_an_empty_file() -> None:
    empty = StampBook().stamps()
    assert json.loads(times_bytes(empty, Path("t.json"))) == []
    assert times_bytes(empty, Path("t.csv")) == b"index\n"
