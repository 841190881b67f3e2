"""The builder's progress: a bar on a terminal with what is left, a line for each phase elsewhere, and Ctrl-C."""

from __future__ import annotations

import importlib
import io
from types import SimpleNamespace

import pytest

from engines import progress
from engines.progress import Progress

TRT = SimpleNamespace(IProgressMonitor=object)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_time_left_is_what_the_last_build_took(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 100.0, 320.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))  # type: ignore[attr-defined]
    terminal = Terminal()
    bar = Progress(TRT, 312.0, terminal)
    assert bar._left() == ", about 212 s left"
    assert bar._left() == "", "once it is overdue nobody knows"


def test_nothing_is_foretold_of_a_first_build() -> None:
    assert Progress(TRT, None, Terminal())._left() == ""


def test_bar_on_a_terminal() -> None:
    terminal = Terminal()
    bar = Progress(TRT, 600.0, terminal)
    bar.monitor.phase_start("Building engine", None, 4)
    bar.monitor.phase_start("Timing", "Building engine", 9)
    assert bar.monitor.step_complete("Timing", 1)
    assert bar.monitor.step_complete("Building engine", 1)
    bar.monitor.phase_finish("Timing")
    bar.close()
    written = terminal.getvalue()
    assert "Building engine" in written
    assert "Timing, about 600 s left" in written or "Timing, about 599 s left" in written


def test_one_line_a_phase_elsewhere_and_stop() -> None:
    log = io.StringIO()
    bar = Progress(TRT, None, log)
    bar.monitor.phase_start("Building engine", None, 4)
    bar.monitor.phase_start("Timing", "Building engine", 9)
    bar.stop()
    assert not bar.monitor.step_complete("Building engine", 1)
    bar.close()
    assert log.getvalue().splitlines() == [
        "Building engine (4 steps)",
        "",
        "stopping after this step (Ctrl-C again leaves at once)",
    ]


def test_the_monitor_is_one_that_tensorrt_takes(rtx: None) -> None:
    trt = importlib.import_module("tensorrt_rtx")
    assert isinstance(Progress(trt, None, io.StringIO()).monitor, trt.IProgressMonitor)
