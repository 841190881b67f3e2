"""A soak lets a pipeline that keeps nothing pass, and names what grows in one that does not."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runtime.measure.profiles.soak
import runtime.profile_command
from edgedeblur import ExitCode, main
from runtime.frame import Frame, Image
from runtime.measure.profiles.soak import TENTHS, judge, soak, soak_text
from runtime.stop import Stop
from tests.runtime.fakes import SlowSession


def quiet(text: str) -> None:
    pass


class LeakingSession(SlowSession):
    """Does `leak` for every frame."""

    def __init__(self, leak: Callable[[int], None]) -> None:
        super().__init__()
        self._leak = leak

    def infer(self, frame: Image) -> Image:
        self._leak(self.done)
        return super().infer(frame)


def soaked(session: SlowSession, count: int = 400) -> dict[str, Any]:
    frames = [Frame(np.full((12, 16, 3), index, np.uint8), index, 0) for index in range(5)]
    return soak(session, frames, count, Stop(), quiet)


def passed(result: dict[str, Any]) -> dict[str, bool]:
    return {check["name"]: check["passed"] for check in result["checks"]}


def test_a_soak_of_the_command(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = main(["profile", "--soak", "3000", "--model", str(model), "--json"])
    result = json.loads(capfd.readouterr().out)
    assert result["frames"] == 3000
    assert result["captured"] == 3000 + sum(result["drops"].values())
    assert len(result["tenths"]) == TENTHS
    found = passed(result)
    assert found["threads"]
    assert found["descriptors"]
    assert code == (ExitCode.OK if all(found.values()) else ExitCode.QUALITY)
    assert result["passed"] is all(found.values())


def test_memory_that_grows_is_found() -> None:
    kept: list[bytearray] = []
    # Much, since other tests of this process have left it large: a hundredth of that is the limit.
    result = soaked(LeakingSession(lambda number: kept.append(bytearray(b"x" * 1_000_000))))
    assert not passed(result)["memory"]
    assert "FAIL memory" in soak_text(result)


def test_descriptors_that_stay_open_are_found() -> None:
    files: list[int] = []
    try:
        result = soaked(LeakingSession(lambda number: files.append(os.open(os.devnull, os.O_RDONLY))), 100)
    finally:
        for file in files:
            os.close(file)
    assert not passed(result)["descriptors"]


def test_threads_that_stay_are_found() -> None:
    end = threading.Event()

    def leak(number: int) -> None:
        if number % 100 == 0:
            threading.Thread(target=end.wait, daemon=True).start()

    try:
        result = soaked(LeakingSession(leak))
    finally:
        end.set()
    assert not passed(result)["threads"]


def test_frames_that_get_older_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        runtime.measure.profiles.soak, "MEASURED_S", 0.3
    )  # of the bare loop, in which it gets slower, too
    result = soaked(LeakingSession(lambda number: time.sleep(0.001 + 0.00005 * number)), 200)
    assert not passed(result)["frame age"]


def rows(**last: Any) -> list[dict[str, Any]]:
    """Ten tenths of a steady run, but for what the last three are given."""
    steady = {"age_p10_ms": 2.0, "age_p50_ms": 3.0, "memory_mib": 100.0, "threads": 6, "descriptors": 8}
    return [dict(steady) for _ in range(7)] + [steady | last for _ in range(3)]


@pytest.mark.parametrize(
    ("last", "failing"),
    [
        ({}, set()),
        ({"memory_mib": 100.9}, set()),
        ({"memory_mib": 101.1}, {"memory"}),
        ({"age_p10_ms": 3.4}, set()),
        ({"age_p10_ms": 3.6}, {"frame age"}),
        ({"threads": 7}, {"threads"}),
        ({"descriptors": 9}, {"descriptors"}),
    ],
)
def test_each_promise_has_its_limit(last: dict[str, Any], failing: set[str]) -> None:
    around = {"threads": 4, "descriptors": 8}
    checks = judge(rows(**last), around, around)
    assert {check["name"] for check in checks if not check["passed"]} == failing


def test_what_is_still_there_after_the_run_is_found() -> None:
    checks = judge(rows(), {"threads": 4, "descriptors": 8}, {"threads": 5, "descriptors": 9})
    assert {check["name"] for check in checks if not check["passed"]} == {"threads", "descriptors"}


def test_a_soak_that_was_stopped_gives_no_verdict(
    model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def stopped(*arguments: Any) -> dict[str, Any]:
        session, held, count, stop, say = arguments
        timer = threading.Timer(0.3, stop.set)
        timer.start()
        try:
            return soak(session, held, count, stop, say)
        finally:
            timer.cancel()
            stop.signal_name = "SIGINT"

    monkeypatch.setattr(runtime.profile_command, "soak", stopped)
    assert main(["profile", "--soak", "1000000", "--model", str(model)]) == ExitCode.INTERRUPTED
    assert "no verdict" in capfd.readouterr().out
