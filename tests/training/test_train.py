"""`edgedeblur train` and `val` as a user runs them: runs, resuming, interruption, bad input."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnx.parser
import pytest
import torch

import edgedeblur
from tests.training.tiny import write_pairs
from training.checkpoint import load_network
from training.config import PRESETS
from training.data.pairs import open_pairs
from training.data.samples import validation_crops
from training.loop import TrainConfig, Trainer
from training.schedule import learning_rate
from training.synthesis.deadleaves import dead_leaves

FOREIGN_MODEL = '<ir_version: 9, opset_import: ["" : 19]> g (float[1] frame) => (float[1] sharp) { sharp = Abs(frame) }'
TINY = ["--patch", "32", "--batch", "2", "--val-crops", "2", "--workers", "0", "--device", "cpu"]


def train(*arguments: object) -> int:
    """Run `edgedeblur train` in this process on tiny crops."""
    return edgedeblur.main(["train", *TINY, *map(str, arguments)])


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with blur/ and sharp/, three lopsided pairs."""
    return write_pairs(tmp_path_factory.mktemp("pairs"))


def test_training_learns(pairs: Path, tmp_path: Path) -> None:
    assert train("--data", pairs, "--steps", "60", "--lr", "2e-3", "--validate-every", "30", "--project", tmp_path) == 0
    _, content = load_network(tmp_path / "edge-n" / "best.pt")
    assert content["metrics"]["psnr"] > content["metrics"]["psnr_blurred"]
    assert (tmp_path / "edge-n" / "metrics.csv").read_text().count("\n") == 3


def test_a_resumed_run_ends_where_an_unbroken_one_does(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Trainer.save

    def save_and_keep(trainer: Trainer, name: str) -> None:
        save(trainer, name)
        shutil.copy(trainer.folder / name, trainer.folder / f"{trainer.state.step}.pt")

    monkeypatch.setattr(Trainer, "save", save_and_keep)
    common = ["--data", pairs, "--steps", "6", "--validate-every", "3", "--project", tmp_path]
    assert train(*common) == 0
    whole = load_network(tmp_path / "edge-n" / "last.pt")[0].state_dict()
    (tmp_path / "halfway").mkdir()
    shutil.copy(tmp_path / "edge-n" / "3.pt", tmp_path / "halfway" / "last.pt")
    assert train(*common, "--resume", tmp_path / "halfway" / "last.pt") == 0
    resumed, content = load_network(tmp_path / "halfway" / "last.pt")
    assert content["training"]["step"] == 6
    assert all(torch.equal(value, whole[name]) for name, value in resumed.state_dict().items())


def test_another_run_is_not_resumed(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--data", pairs, "--steps", "1", "--project", tmp_path]
    assert train(*common) == 0
    last = tmp_path / "edge-n" / "last.pt"
    before = last.read_bytes()
    assert train(*common, "--seed", "3", "--batch", "4", "--resume", last) == edgedeblur.ExitCode.USAGE
    assert "batch 2, now 4; seed 0, now 3" in capsys.readouterr().err
    assert train("--steps", "1", "--project", tmp_path, "--resume", last) == edgedeblur.ExitCode.USAGE  # other data
    assert train(*common, "--resume", last) == 0
    assert "this run is finished" in capsys.readouterr().err
    assert last.read_bytes() == before


def test_a_run_that_never_began_leaves_no_folder(tmp_path: Path) -> None:
    assert train("--data", tmp_path, "--project", tmp_path / "runs") == edgedeblur.ExitCode.SOURCE
    assert not (tmp_path / "runs").exists()


def test_steps_that_are_not_finite_are_left_out_and_too_many_end_the_run(tmp_path: Path) -> None:
    config = TrainConfig("edge-n", PRESETS["edge-n"], "", 100, 1, 32, 1e-3, 0, 0, 0.9, "off", "cpu", 10, 1)
    trainer = Trainer(config, tmp_path)
    network = trainer.learner.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    broken, whole = torch.full((1, 3, 32, 32), torch.nan), torch.rand(1, 3, 32, 32)
    trainer._learn(broken, whole, 1e-3, 1)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert np.isfinite(trainer._learn(whole, whole * 0.5, 1e-3, 1)).all()
    for _ in range(19):
        trainer._learn(broken, whole, 1e-3, 1)
    with pytest.raises(edgedeblur.Failure, match=r"20 steps in a row.*start again with a smaller --lr"):
        trainer._learn(broken, whole, 1e-3, 1)


def test_resume_auto_takes_the_newest_run_of_the_name(pairs: Path, tmp_path: Path) -> None:
    common = ["--data", pairs, "--validate-every", "1", "--project", tmp_path, "--name", "mine"]
    for _ in range(2):
        assert train(*common, "--steps", "1") == 0
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["mine", "mine2"]
    assert train(*common, "--steps", "3", "--resume", "auto") == 0
    steps = [load_network(tmp_path / name / "last.pt")[1]["training"]["step"] for name in ("mine", "mine2")]
    assert steps == [1, 3]


def test_interrupting_saves(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgedeblur", "train", *TINY, "--workers", "1", "--steps", "100000"]
    command += ["--project", str(tmp_path), "--validate-every", "100000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        printed = ""
        while "loss=" not in printed:  # the first step is done
            printed += process.stderr.read(1)
        process.send_signal(signal.SIGINT)
        printed += process.stderr.read()
    assert process.returncode == edgedeblur.ExitCode.INTERRUPTED
    assert "Traceback" not in printed
    assert "--resume" in printed
    assert load_network(tmp_path / "edge-n" / "last.pt")[1]["training"]["step"] >= 1


def test_samples_depend_on_their_index_alone_and_validation_is_apart(pairs: Path) -> None:
    training, validation = open_pairs(pairs, 32)
    one, again = (validation_crops(validation, 32, 1, 3) for _ in range(2))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(one, again, strict=True))
    assert not set(training.paths) & set(validation.paths)  # type: ignore[union-attr]


def test_learning_rate_warms_up_and_ends_low() -> None:
    rates = [learning_rate(step, 1000, 1e-3) for step in range(1000)]
    assert rates[0] < rates[10] < rates[19] == pytest.approx(1e-3)
    assert rates[19:] == sorted(rates[19:], reverse=True)
    assert rates[-1] < 5e-6
    low = [learning_rate(step, 1000, 1e-8) for step in range(1000)]
    assert max(low[19:]) == low[19] == pytest.approx(1e-8)  # a peak below the usual end is not risen from


def test_val_measures_pt_and_says_what_the_input_was(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--data", pairs, "--steps", "1", "--project", tmp_path) == 0
    capsys.readouterr()
    model = str(tmp_path / "edge-n" / "best.pt")
    assert edgedeblur.main(["val", "--model", model, "--data", str(pairs), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert sorted(report["pairs"]) == ["0", "1", "2"]
    assert report["mean"]["psnr_blurred"] == pytest.approx(
        np.mean([r["psnr_blurred"] for r in report["pairs"].values()])
    )


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """Folders and files that go wrong, each in its own way."""
    (tmp_path / "empty").mkdir()
    sharp = dead_leaves(np.random.default_rng(0), (64, 64), leaves=10)
    for name, small in (("alone", False), ("sizes", True), ("good", False)):
        for side in ("blur", "sharp"):
            (tmp_path / name / side).mkdir(parents=True)
            cv2.imwrite(str(tmp_path / name / side / "a.png"), sharp[:32] if small and side == "blur" else sharp)
    cv2.imwrite(str(tmp_path / "alone" / "blur" / "b.png"), sharp)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "photo.jpg").write_bytes(b"not a picture")
    (tmp_path / "noise.pt").write_bytes(b"PK\x03\x04 not a checkpoint")
    torch.save({"weights": 1}, tmp_path / "other.pt")
    torch.save({"schema": 1}, tmp_path / "bare.pt")
    (tmp_path / "noise.onnx").write_bytes(b"not a model")
    onnx.save(onnx.parser.parse_model(FOREIGN_MODEL), tmp_path / "foreign.onnx")
    (tmp_path / "small").mkdir()
    cv2.imwrite(str(tmp_path / "small" / "a.png"), sharp[:4, :4])
    (tmp_path / "folder" / "a.png").mkdir(parents=True)
    for side, suffix in (("blur", "png"), ("blur", "jpg"), ("sharp", "png")):
        (tmp_path / "twice" / side).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "twice" / side / f"a.{suffix}"), sharp)
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("train --data {}/none", 4, "not a folder"),
        ("train --data {}/empty", 4, "holds no pictures"),
        ("train --data {}/alone", 4, "without a partner, first 'b'"),
        ("train --data {}/broken", 4, "none of the 1 photographs"),
        ("train --data {}/sizes --steps 1", 4, "expected one size"),
        ("train --data {}/sizes --val-data {}/good --workers 1", 4, "expected one size"),
        ("train --patch 50", 2, "--patch is 50"),
        ("train --patch 64,32", 2, "expected each larger than the one before"),
        ("train --minutes nan", 2, "--minutes is nan"),
        ("train --init {}/none.pt", 5, "does not exist"),
        ("train --steps 0", 2, "--steps is 0"),
        ("train --device cuda:99", 3, "cuda:99 cannot be used"),
        ("train --resume {}/none.pt", 5, "does not exist"),
        ("train --resume {}/noise.pt", 5, "damaged or not a checkpoint"),
        ("train --resume {}/bare.pt", 5, "lacks config, metrics, preset, training, weights"),
        ("train --resume {}/none", 5, "does not exist"),
        ("train --resume {}/empty", 5, "is a folder"),
        ("train --device meta", 2, "expected auto, cpu, cuda"),
        ("train --lr nan", 2, "--lr is nan"),
        ("train --name /tmp/x", 2, "--name is '/tmp/x'"),
        ("train --name ..", 2, "--name is '..'"),
        ("train --name= --resume auto", 2, "--name is ''"),
        ("train --resume {}/none.pt --name x", 2, "--name cannot be given with --resume"),
        ("train --resume {}/none.pt --init {}/none.pt", 2, "--init cannot be given with --resume"),
        ("train --resume {}/nowhere/last.pt", 5, "does not exist"),
        ("train --project {}/dangling --steps 1", 3, "cannot create"),
        ("train --ema 7", 2, "--ema is 7.0"),
        ("train --seed -1", 2, "--seed is -1"),
        ("train --data {}/small", 4, "none of the 1 photographs"),
        ("train --data {}/folder", 4, "holds no pictures"),
        ("train --data {}/twice", 4, "have one name"),
        ("val --model {}/other.pt --data {}/sizes --device nonsense", 2, "expected auto, cpu, cuda"),
        ("train --project {}/file --steps 1", 3, "cannot create"),
        ("val --model {}/other.pt --data {}/alone", 4, "without a partner"),
        ("val --model {}/m.engine --data {}/sizes", 2, "expected a .pt or an .onnx"),
        ("val --model {}/other.pt --data {}/sizes", 5, "has schema None"),
        ("val --model {}/none.onnx --data {}/sizes", 5, "does not exist"),
        ("val --model {}/noise.onnx --data {}/good", 5, "cannot be loaded by ONNX Runtime"),
        ("val --model {}/foreign.onnx --data {}/good", 5, "not a frame-in, frame-out model"),
    ],
)
def test_mistakes_get_a_message_and_their_code(
    arguments: str, code: int, message: str, bad: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = arguments.format(*[bad] * 2).split()
    quick = [*TINY, "--project", str(bad / "runs")] if words[0] == "train" else []
    assert edgedeblur.main([words[0], *quick, *words[1:]]) == code
    assert message in capsys.readouterr().err
