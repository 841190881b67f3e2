"""`edgedeblur train --qat` as users run it: what it leaves, how it goes on, and that it never ends below its start."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import edgedeblur
from edgedeblur import ExitCode
from tests.training.plans import PLAN, changed, write
from tests.training.tiny import MODEL, write_pairs
from training.checkpoint import load_network, read_checkpoint
from training.config import PRESETS
from training.loop import Trainer
from training.network import SAPHNet
from training.qat import add_to_biases
from training.quantisation_plan import QuantisationPlan
from training.train_options import QAT_RATE

TINY = ["--patch", "32", "--batch", "2", "--val-crops", "2", "--workers", "0", "--device", "cpu", "--steps", "4"]
Train = Callable[..., int]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pairs/, base/best.pt, whose weights a plan is for, and that plan.json."""
    folder = tmp_path_factory.mktemp("qat")
    write_pairs(folder / "pairs")
    write(folder / "plan.json", PLAN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", MODEL)
        command = ["train", *TINY, "--preset", "tiny", "--data", str(folder / "pairs"), "--project", str(folder)]
        assert edgedeblur.main([*command, "--name", "base", "--steps", "20", "--lr", "0.01"]) == 0
    return folder


@pytest.fixture
def train(material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Run `edgedeblur train` in this process on the tiny network, into tmp_path."""
    monkeypatch.setitem(PRESETS, "tiny", MODEL)
    command = ["train", *TINY, "--preset", "tiny", "--data", str(material / "pairs"), "--project", str(tmp_path)]
    return lambda *arguments: edgedeblur.main([*command, *map(str, arguments)])


def qat(material: Path) -> list[Any]:
    """Options of a run under quantisation."""
    return ["--qat", material / "plan.json", "--init", material / "base" / "best.pt"]


def test_a_run_leaves_plain_weights_a_plan_of_them_and_the_next_commands(
    train: Train, material: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(*qat(material)) == 0
    run, printed = tmp_path / "tiny-qat", capsys.readouterr()
    assert printed.out.splitlines()[-1] == f"{run}/best.pt"
    assert f"edgedeblur export {run}/best.pt\n" in printed.err
    assert f"edgedeblur calibrate {run}/best.onnx --plan {run}/plan.json" in printed.err
    network, content = load_network(run / "best.pt")
    assert network.state_dict().keys() == SAPHNet(MODEL).state_dict().keys()
    assert content["training"]["run"]["lr"] == QAT_RATE
    plan = QuantisationPlan(content["training"]["run"]["plan"]["content"])
    assert plan == QuantisationPlan(PLAN).for_trained_weights()
    assert train("--qat", run / "plan.json", "--init", run / "best.pt", "--name", "again") == 0
    assert (tmp_path / "again" / "plan.json").read_bytes() == (run / "plan.json").read_bytes()


def test_training_that_only_harms_ends_with_the_weights_as_quantised(
    train: Train, material: Path, tmp_path: Path
) -> None:
    assert train(*qat(material), "--lr", "1", "--ema", "0", "--validate-every", "1") == 0
    with (tmp_path / "tiny-qat" / "metrics.csv").open() as table:
        rows = [(float(row["step"]), float(row["psnr"])) for row in csv.DictReader(table)]
    assert [number for number, _ in rows] == [0, 1, 2, 3, 4]
    assert rows[0] == max(rows, key=lambda row: row[1])
    best = load_network(tmp_path / "tiny-qat" / "best.pt")
    base = load_network(material / "base" / "best.pt")[0]
    add_to_biases(base, PLAN["bias"])
    assert best[1]["metrics"]["psnr"] == pytest.approx(rows[0][1])
    assert all(torch.equal(value, base.state_dict()[name]) for name, value in best[0].state_dict().items())


def tensors(content: Any) -> list[Tensor]:
    """All tensors in a checkpoint, in order."""
    if isinstance(content, Tensor):
        return [content]
    inner = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return [tensor for part in inner for tensor in tensors(part)]


@pytest.mark.parametrize("again", [False, True], ids=["without --qat", "with --qat"])
def test_a_resumed_run_ends_with_the_very_bits(
    train: Train, material: Path, again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, options = Trainer.save, [*qat(material), "--validate-every", "2", "--lr", "1e-3"]

    def save_and_keep(trainer: Trainer, name: str) -> None:
        save(trainer, name)
        shutil.copy(trainer.folder / name, trainer.folder / f"{trainer.state.step}.pt")

    monkeypatch.setattr(Trainer, "save", save_and_keep)
    assert train(*options) == 0
    whole, halfway = tmp_path / "tiny-qat", tmp_path / "halfway"
    halfway.mkdir()
    for file, kept in (("last.pt", "2.pt"), ("metrics.csv", "metrics.csv")):
        shutil.copy(whole / kept, halfway / file)
    same = ["--validate-every", "2", "--lr", "1e-3", *options[: 2 * again]]
    assert train("--resume", halfway / "last.pt", *same) == 0
    ended, resumed = (read_checkpoint(folder / "last.pt") for folder in (whole, halfway))
    assert resumed["training"]["step"] == 4
    assert all(torch.equal(*both) for both in zip(tensors(ended), tensors(resumed), strict=True))
    assert ended["metrics"] == resumed["metrics"]
    assert (whole / "plan.json").read_bytes() == (halfway / "plan.json").read_bytes()
    rows = [(folder / "metrics.csv").read_text().splitlines() for folder in (whole, halfway)]
    assert [[row.split(",")[0] for row in table] for table in rows] == [["step", "0", "2", "4"]] * 2


def test_what_does_not_fit_together_is_refused(
    train: Train, material: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = material / "plan.json"
    assert train("--qat", plan) == ExitCode.USAGE
    assert "--qat trains weights that calibrate has seen; give them with --init" in capsys.readouterr().err
    assert train("--qat", material / "none.json", *qat(material)[2:]) == ExitCode.USAGE
    assert "none.json cannot be read" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
    assert train("--steps", 1) == 0
    assert train("--qat", plan, "--resume", tmp_path / "tiny" / "last.pt") == ExitCode.USAGE
    assert "the run to resume was not begun with --qat" in capsys.readouterr().err
    other = write(tmp_path / "other.json", changed("layers", 0, "range", value=2.5))
    assert train(*qat(material), "--steps", 1) == 0
    assert train("--qat", other, "--steps", 2, "--resume", "auto") == ExitCode.USAGE
    assert "the run to resume trains for other layers or ranges" in capsys.readouterr().err
    assert train(*qat(material), "--steps", 2, "--resume", "auto") == 0
