"""What a run tells while it goes on: its rate and the age of its frames, whose they are, and no password."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from runtime.frame import Frame, How, now_ns
from runtime.measure.ticker import Ticker
from runtime.measure.timing import Delivery, Timing
from tests.runtime.conftest import Run


def told(ages_ms: list[float], hows: list[How], every: int) -> list[str]:
    """The lines of a ticker that has one after each `every` frames."""
    timing, lines = Timing(now_ns()), list[str]()
    ticker = Ticker(1.0, timing, lines.append)
    image = np.zeros((3, 5, 3), np.uint8)
    for number, (age_ms, how) in enumerate(zip(ages_ms, hows, strict=True), 1):
        handed_ns = now_ns()
        captured_ns = handed_ns - int(age_ms * 1e6)
        item = Delivery(
            Frame(image, number, captured_ns), captured_ns, captured_ns, image, handed_ns, None, handed_ns, handed_ns
        )
        item.how = how
        timing.add(item)
        ticker._every_ns = 0 if number % every == 0 else 10**15
        ticker.watch(item)
    return lines


def test_the_age_is_that_of_the_frames_since_the_last_line() -> None:
    first, second = told([500.0] * 30 + [20.0] * 29 + [30.0], ["deblurred"] * 60, 30)
    assert re.match(r"30 frames, [\d.]+ frames/s now, frame age p50 500\.0 ms, max 500\.0 ms", first)
    assert re.match(r"60 frames, [\d.]+ frames/s now, frame age p50 20\.0 ms, max 30\.0 ms", second)


def test_frames_that_have_no_age_are_told_too() -> None:
    assert told([1.0] * 4, ["passthrough", "held", "blank", "passthrough"], 4) == ["0 frames, 0.0 frames/s now"]


@pytest.mark.parametrize("uri", ["test://64x48", "test://64x48@60"])
def test_a_run_goes_on_where_nothing_can_be_told(model: Path, tmp_path: Path, uri: str) -> None:
    # Its messages go to a full disk, as in `edgedeblur run … 2> run.log`.
    words = [uri, str(tmp_path / "out.mkv"), "--frames", "20", "--stats", "0.01", "--model", str(model)]
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "edgedeblur", "run", *words]
        done = subprocess.run(command, stderr=full, stdout=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 0
    assert "out.mkv: " in done.stdout


def test_streams_say_who_they_are(run: Run) -> None:
    code, text = run("test://64x48", "--also", "test://52x36", "--frames", 200, "--stats", 0.01)
    assert code == 0
    for name in ("test-64x48", "test-52x36"):
        assert re.search(rf"^{name}: \d+ frames, .* frames/s now", text, re.MULTILINE)


def test_outputs_are_told_as_they_were_asked_for_without_passwords(run: Run) -> None:
    outputs = ("http://@:0", "rtsp://me:secret@127.0.0.1:9/x", "null://")
    code, text = run("test://64x48@50", *outputs, "--frames", 5)
    assert code == 0
    assert "→ http://@:0, rtsp://127.0.0.1:9/x, null://" in text
    assert "secret" not in text
