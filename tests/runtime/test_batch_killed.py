"""`edgedeblur batch` that is killed, stopped or in another's way: nothing half made is left, nothing is lost."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from edgedeblur import ExitCode, main
from runtime.batch.jobs import leftovers
from tests.runtime.batches import frame_count, in_mid_file, runs_on, started, wait_for
from tests.runtime.stand_in import write_model

LONG = 40  # frames
ENDS_WITHIN_S = 6.0  # after Ctrl-C; two of them are what a run may take to end by itself


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes seconds for a film."""
    return write_model(tmp_path_factory.mktemp("slow") / "slow.onnx", rounds=70)


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A film large enough that the slow model is in mid-file for seconds."""
    path = tmp_path_factory.mktemp("long") / "film.mp4"
    assert main(["run", "test://320x240", str(path), "--frames", str(LONG), "--model", str(model)]) == 0
    return path


def test_one_batch_for_one_folder(tmp_path: Path, long_film: Path, slow: Path, capfd: Any) -> None:
    out = tmp_path / "out"
    with started(long_film, "-o", out, "--model", slow):
        in_mid_file(long_film, out)
        assert main(["batch", str(long_film), "-o", str(out), "--model", str(slow)]) == ExitCode.USAGE
        assert "another batch works on" in capfd.readouterr().err
        assert list(leftovers(out))  # the first one's are not touched


def test_a_killed_run_is_redone(tmp_path: Path, long_film: Path, slow: Path) -> None:
    with started(long_film, "-o", tmp_path / "out", "--model", slow) as process:
        os.kill(in_mid_file(long_film, tmp_path / "out"), signal.SIGKILL)
        printed, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "1 done" in printed
    assert frame_count(tmp_path / "out" / "film.mp4") == LONG
    assert not list(leftovers(tmp_path / "out"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_half_file_and_no_process(tmp_path: Path, long_film: Path, slow: Path, number: int) -> None:
    with started(long_film, "-o", tmp_path / "out", "--model", slow) as process:
        in_mid_file(long_film, tmp_path / "out")
        began = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert time.monotonic() - began < ENDS_WITHIN_S
    assert process.returncode == ExitCode.INTERRUPTED
    assert "Traceback" not in errors
    assert runs_on(long_film) == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".edgedeblur-batch.lock"]


def test_a_batch_that_is_killed_takes_its_runs_along(tmp_path: Path, long_film: Path, slow: Path, model: Path) -> None:
    out = tmp_path / "out"
    with started(long_film, "-o", out, "--model", slow):
        in_mid_file(long_film, out)
    wait_for(lambda: not runs_on(long_film))
    assert list(leftovers(out))
    assert main(["batch", str(long_film), "-o", str(out), "--model", str(model)]) == 0
    assert not list(leftovers(out))
    assert frame_count(out / "film.mp4") == LONG
