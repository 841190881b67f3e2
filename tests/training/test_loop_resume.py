"""Which run `--resume` goes on with, and what it refuses: others' runs, runs under way, work that would be lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import edgedeblur
from edgedeblur import ExitCode
from tests.training.tiny import MODEL, write_pairs
from training.checkpoint import read_checkpoint
from training.config import PRESETS
from training.learner import Learner

TINY = ["--patch", "32", "--batch", "2", "--val-crops", "1", "--workers", "0", "--device", "cpu"]
Train = Callable[..., int]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Run `edgedeblur train` in this process: tiny steps of a tiny network, in tmp_path/runs."""
    monkeypatch.setitem(PRESETS, "tiny", MODEL)
    data, project = write_pairs(tmp_path / "pairs"), tmp_path / "runs"
    command = ["train", *TINY, "--preset", "tiny", "--data", str(data), "--project", str(project)]
    return lambda *arguments: edgedeblur.main([*command, *map(str, arguments)])


def step_of(path: Path) -> int:
    """How far the run in a checkpoint is."""
    return int(read_checkpoint(path)["training"]["step"])


def forget(path: Path, field: str) -> None:
    """Make a checkpoint of a version that had no such field of a run."""
    content = read_checkpoint(path)
    del content["training"]["run"][field]
    torch.save(content, path)


@pytest.mark.parametrize("names", [("lr1", "lr10"), ("run[1]", "run[1]0")])
def test_a_name_that_ends_in_digits_is_another_run(train: Train, tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        assert train("--steps", 1, "--name", name) == 0
    assert train("--steps", 2, "--name", names[0], "--resume", "auto") == 0
    assert [step_of(tmp_path / "runs" / name / "last.pt") for name in names] == [2, 1]


def test_a_numbered_folder_stays_with_its_name(train: Train, tmp_path: Path) -> None:
    for _ in range(2):
        assert train("--steps", 1, "--name", "mine") == 0
    second = tmp_path / "runs" / "mine2" / "last.pt"
    assert train("--steps", 2, "--resume", second) == 0  # without the name, which the checkpoint knows
    assert train("--steps", 3, "--name", "mine", "--resume", "auto") == 0
    assert step_of(second) == 3
    assert train("--steps", 1, "--name", "mine2", "--resume", "auto") == 0
    assert (tmp_path / "runs" / "mine22").is_dir()


def test_a_run_of_a_version_without_names_is_found_by_its_folder(train: Train, tmp_path: Path) -> None:
    last = tmp_path / "runs" / "mine" / "last.pt"
    assert train("--steps", 1, "--name", "mine") == 0
    forget(last, "name")
    assert train("--steps", 2, "--name", "mine", "--resume", "auto") == 0
    assert step_of(last) == 2


@pytest.mark.parametrize("resumed", [False, True])
def test_a_run_under_way_is_not_joined(
    train: Train,
    resumed: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    codes, step = list[int | None](), Learner.step
    if resumed:
        assert train("--steps", 1) == 0

    def joined(*arguments: Any) -> tuple[float, float]:
        if not codes and (tmp_path / "runs" / "tiny" / "last.pt").exists():
            codes.append(None)
            codes.append(train("--steps", 2, "--resume", "auto"))
        return step(*arguments)

    monkeypatch.setattr(Learner, "step", joined)
    assert train("--steps", 2, "--validate-every", 1, *["--resume", "auto"][: 2 * resumed]) == 0
    assert codes == [None, ExitCode.ENVIRONMENT]
    assert f"another process trains in {tmp_path}/runs/tiny" in capsys.readouterr().err
    assert train("--steps", 3, "--resume", "auto") == 0


def test_other_validation_data_is_another_run(train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = tmp_path / "runs" / "tiny" / "last.pt"
    assert train("--steps", 1, "--val-data", tmp_path / "pairs") == 0
    other = tmp_path / "pairs2"
    shutil.copytree(tmp_path / "pairs", other)
    for side in ("blur", "sharp"):
        (other / side / "2.png").unlink()
    assert train("--steps", 2, "--resume", "auto", "--val-data", other) == ExitCode.USAGE
    assert "the run to resume had validation_data" in capsys.readouterr().err
    forget(last, "validation_data")
    assert train("--steps", 2, "--resume", "auto", "--val-data", other) == 0


def test_later_work_is_not_overwritten(train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last, best, previous = (tmp_path / "runs" / "tiny" / name for name in ("last.pt", "best.pt", "previous.pt"))
    assert train("--steps", 1) == 0
    first = best.read_bytes()
    assert train("--steps", 2, "--resume", "auto") == 0
    best.write_bytes(first)
    assert train("--steps", 3, "--resume", best) == ExitCode.USAGE
    assert f"give --resume {last}, or --init {best}" in capsys.readouterr().err
    assert step_of(last) == 2
    last.write_bytes(b"damaged")  # now the best is what there is
    assert train("--steps", 3, "--validate-every", 2, "--resume", best) == 0
    assert [step_of(path) for path in (last, previous)] == [3, 2]


def test_a_damaged_file_is_set_aside(train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "runs" / "tiny"
    assert train("--steps", 1) == 0
    shutil.copy(folder / "last.pt", folder / "previous.pt")
    (folder / "last.pt").write_bytes(b"damaged")
    assert train("--steps", 2, "--resume", "auto") == 0
    assert f"kept as {folder}/damaged.pt" in capsys.readouterr().err
    assert (folder / "damaged.pt").read_bytes() == b"damaged"


def test_a_row_whose_validation_no_checkpoint_knows_comes_once(train: Train, tmp_path: Path) -> None:
    """Killed between the row of the last step and the checkpoint behind it, with one saved just before that row."""
    assert train("--steps", 4, "--validate-every", 2, "--name", "whole") == 0
    folder = tmp_path / "runs" / "whole"
    steps = [line.split(",")[0] for line in (folder / "metrics.csv").read_text().splitlines()]
    content = read_checkpoint(folder / "last.pt")
    assert content["training"]["validated"] == 4
    content["training"]["validated"] = 2
    torch.save(content, folder / "last.pt")
    assert train("--steps", 4, "--validate-every", 2, "--name", "whole", "--resume", "auto") == 0
    again = [line.split(",")[0] for line in (folder / "metrics.csv").read_text().splitlines()]
    assert again == steps == ["step", "2", "4"]
