"""Runs that end in every way there is, each once (tests/training/forks.py), and what they left."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgedeblur import ExitCode
from tests.training.tiny import write_pairs
from training import distributed
from training.checkpoint import read_checkpoint
from training.data.batches import batch_indices

MEASURED = {"time", "patches_per_s", "data_wait"}  # columns that no two runs share


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pairs/, and odd/ with the same names, whose sharp frames have another size."""
    folder = tmp_path_factory.mktemp("forks")
    write_pairs(folder / "pairs")
    write_pairs(folder / "odd", sharp_height=40)
    return folder


@pytest.fixture(scope="module")
def codes(folder: Path) -> dict[str, list[int]]:
    """Exit codes of the processes by the name of their run."""
    # One thread: a fork does not inherit the others.
    command = [sys.executable, "-m", "tests.training.forks", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert ended.returncode == 0, ended.stderr
    (folder / "stderr").write_text(ended.stderr)
    found: dict[str, list[int]] = json.loads(ended.stdout.splitlines()[-1])
    return found


def checkpoint(folder: Path, run: str, name: str = "last.pt") -> dict[str, Any]:
    """What a run saved."""
    return read_checkpoint(folder / "runs" / run / name)


def table(folder: Path, run: str) -> list[dict[str, str]]:
    """metrics.csv without what depends on the machine."""
    with (folder / "runs" / run / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if name not in MEASURED} for row in csv.DictReader(file)]


def tensors(content: Any) -> list[torch.Tensor]:
    """All tensors in a checkpoint, in order."""
    if isinstance(content, torch.Tensor):
        return [content]
    inner = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return [tensor for part in inner for tensor in tensors(part)]


@pytest.mark.parametrize("name", ["last.pt", "best.pt"])
def test_a_run_killed_again_and_again_ends_with_the_very_bits(
    folder: Path, codes: dict[str, list[int]], name: str
) -> None:
    assert codes["killed"] == [-signal.SIGKILL] * 8 + [0]
    whole, killed = (tensors(checkpoint(folder, run, name)) for run in ("whole", "killed"))
    # Of each weight: itself, its average, and what an optimiser remembers of it.
    content = checkpoint(folder, "whole", name)
    assert sum(len(saved["state"]) for saved in content["training"]["optimisers"]) == len(content["weights"])
    assert len(whole) >= 3 * len(content["weights"])
    assert all(torch.equal(*both) for both in zip(whole, killed, strict=True))
    assert checkpoint(folder, "whole", name)["metrics"] == checkpoint(folder, "killed", name)["metrics"]


def test_its_table_has_every_row_once(folder: Path, codes: dict[str, list[int]]) -> None:
    assert [row["step"] for row in table(folder, "whole")] == ["7", "14", "21", "28", "30"]
    assert table(folder, "killed") == table(folder, "whole")


def test_two_processes_train_as_one(folder: Path, codes: dict[str, list[int]]) -> None:
    """A batch of three is two crops here and one there; 3e-8 (one unit in the last place) was measured."""
    assert codes["two"] == [0, 0]
    one, two = (checkpoint(folder, run)["training"]["network"] for run in ("whole", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-6, msg=name)
    losses = [[float(row["loss"]) for row in table(folder, run)] for run in ("whole", "two")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_a_failure_in_one_process_ends_all_with_its_code(folder: Path, codes: dict[str, list[int]]) -> None:
    assert codes["odd"] == [ExitCode.SOURCE, ExitCode.SOURCE]
    assert not (folder / "runs" / "odd").exists()


def test_one_interrupted_process_stops_all_with_a_checkpoint(folder: Path, codes: dict[str, list[int]]) -> None:
    assert codes["stopped"] == [ExitCode.INTERRUPTED, ExitCode.INTERRUPTED]
    assert checkpoint(folder, "stopped")["training"]["step"] >= 1
    assert f"saved {folder}/runs/stopped/last.pt" in (folder / "stderr").read_text()


def test_a_process_that_is_gone_is_named(folder: Path, codes: dict[str, list[int]]) -> None:
    assert codes["lost"] == [ExitCode.ENVIRONMENT, -signal.SIGKILL]
    assert "another process of this run is gone" in (folder / "stderr").read_text()


def test_torchrun_passes_one_interrupt_on_and_all_is_saved(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "training"]
    command += ["train", "--data", str(folder / "pairs"), "--patch", "32", "--batch", "2", "--val-crops", "1"]
    command += ["--workers", "1", "--device", "cpu", "--save-every", "0", "--project", str(tmp_path)]
    last = tmp_path / "edge-n" / "last.pt"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not last.exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        printed = process.communicate()[1]
    assert f"saved {last}" in printed, printed
    assert read_checkpoint(last)["training"]["step"] >= 1


@given(batch=st.integers(1, 9), size=st.integers(1, 4), first=st.integers(0, 100))
def test_the_parts_of_a_batch_are_the_batch(batch: int, size: int, first: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed, "size", lambda: size)
        parts = []
        for rank in range(size):
            patch.setattr(distributed, "rank", lambda rank=rank: rank)
            indices = batch_indices(first, batch)
            parts.append(next(indices) + next(indices))
    assert sorted(index for part in parts for index in part) == list(range(first, first + 2 * batch))
    assert max(map(len, parts)) - min(map(len, parts)) <= 2
