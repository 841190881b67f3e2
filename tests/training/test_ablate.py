"""`edgedeblur ablate`: every switch in its turn, rows that are kept, and a table that adds up."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import edgedeblur
from edgedeblur import ExitCode, Failure
from tests.training.tiny import write_pairs
from training.checkpoint import load_network
from training.config import PRESETS, ModelConfig
from training.cost import macs, parameters
from training.data.pairs import Pairs
from training.data.samples import Crop
from training.explain.ablation import Row
from training.explain.ablation_table import as_markdown, as_text, table
from training.explain.switches import SWITCHES, variants
from training.loop import Trainer

TINY = ["--steps", "2", "--patch", "32", "--batch", "2", "--val-crops", "2", "--workers", "0", "--device", "cpu"]
EDGE_N = ["full", "no global branch", "no local branch", "offsets fixed", "modulation fixed", "fusion fixed at 1/2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three lopsided pairs in blur/ and sharp/."""
    return write_pairs(tmp_path_factory.mktemp("pairs"))


def ablate(data: Path, out: Path, *arguments: object) -> int:
    """Run `edgedeblur ablate` in this process on tiny crops."""
    return edgedeblur.main(["ablate", "--data", str(data), "-o", str(out), *TINY, *map(str, arguments)])


def rows_in(out: Path) -> list[dict[str, Any]]:
    """The rows kept so far."""
    rows: list[dict[str, Any]] = json.loads((out / "ablation.json").read_text())["rows"]
    return rows


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished ablation with seed 0."""
    out = tmp_path_factory.mktemp("ablations") / "whole"
    assert ablate(data, out) == 0
    return out


def test_every_switch_of_the_papers_shape_makes_another_network() -> None:
    models, left_out = variants(PRESETS["paper"])
    assert list(models) == ["full", *SWITCHES, "2 of 3 levels", "1 of 3 levels"]
    assert not left_out
    sizes = {name: parameters(model) for name, model in models.items()}
    assert all(size < sizes["full"] for name, size in sizes.items() if name != "full")


def test_switches_that_change_nothing_are_left_out_with_their_reason() -> None:
    models, left_out = variants(PRESETS["edge-n"])
    assert list(models) == EDGE_N
    assert left_out == {
        "fewer levels": "the model has one level",
        "skips added": "changes nothing in this model",
        "levels added": "changes nothing in this model",
    }
    local_only = dataclasses.replace(PRESETS["edge-n"], global_branch=False)
    models, left_out = variants(local_only)
    assert list(models) == ["full", "offsets fixed", "modulation fixed"]
    assert "need global_branch or local_branch" in left_out["no local branch"]


def test_the_table_is_measured_kept_and_extended(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    assert [row["variant"] for row in rows_in(out)] == EDGE_N
    network, _ = load_network(out / "seed0" / "offsets-fixed" / "last.pt")
    assert network.config == dataclasses.replace(PRESETS["edge-n"], learn_offsets=False)
    with (out / "ablation.csv").open() as file:
        lines = {line["variant"]: line for line in csv.DictReader(file)}
    assert float(lines["full"]["delta_psnr"]) == 0
    for name, row in zip(EDGE_N, rows_in(out), strict=True):
        assert float(lines[name]["psnr"]) == row["psnr"]
        assert float(lines[name]["delta_psnr"]) == pytest.approx(row["psnr"] - rows_in(out)[0]["psnr"])

    before = rows_in(out)
    assert ablate(data, out) == ExitCode.USAGE
    assert "--resume" in capsys.readouterr().err
    assert ablate(data, out, "--resume", "--lr", "2e-3") == ExitCode.USAGE
    assert "lr 0.001, now 0.002" in capsys.readouterr().err
    assert ablate(data, out, "--resume") == 0
    printed = capsys.readouterr().out
    assert "left out: skips added: changes nothing" in printed
    assert "give --seeds" in printed
    assert rows_in(out) == before
    assert ablate(data, out, "--resume", "--seeds", "0,3") == 0
    captured = capsys.readouterr()
    assert rows_in(out)[: len(before)] == before
    assert [(row["variant"], row["seed"]) for row in rows_in(out)[len(before) :]] == [(name, 3) for name in EDGE_N]
    assert "seed 0" not in captured.err
    assert " ± " in captured.out
    assert (out / "ablation.md").read_text().count("\n") == 2 + len(EDGE_N)


def test_interrupting_keeps_the_finished_rows(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "edgedeblur", "ablate", "--data", str(data), "-o", str(out), *TINY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        printed = ""
        while "no local branch, seed 0" not in printed:  # two rows are done
            assert process.poll() is None, printed
            printed += process.stderr.readline()
        process.send_signal(signal.SIGINT)
        shown, rest = process.communicate()
    assert process.returncode == ExitCode.INTERRUPTED
    assert "Traceback" not in printed + rest
    assert "rows are kept" in rest
    assert "no global branch" in shown
    assert len(rows_in(out)) >= 2
    assert ablate(data, out, "--resume") == 0
    assert rows_in(out) == rows_in(whole)  # as without an interruption: equal seeds, equal samples


@pytest.mark.parametrize("left", ["last.pt", "previous.pt"])
def test_a_row_that_was_interrupted_goes_on(
    left: str, data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    starts = []

    def interrupted(trainer: Trainer, pairs: Pairs, crops: list[Crop]) -> dict[str, float]:
        trainer.save(left)
        raise KeyboardInterrupt

    fit = Trainer.fit

    def watched(trainer: Trainer, pairs: Pairs, crops: list[Crop]) -> dict[str, float]:
        starts.append(trainer.saved)
        return fit(trainer, pairs, crops)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "fit", interrupted)
        assert ablate(data, out) == ExitCode.INTERRUPTED
    assert rows_in(out) == []
    assert ablate(data, out) == ExitCode.USAGE
    monkeypatch.setattr(Trainer, "fit", watched)
    assert ablate(data, out, "--resume") == 0
    assert starts == [0, *[None] * (len(EDGE_N) - 1)]
    assert rows_in(out) == rows_in(whole)


def test_a_table_of_known_rows() -> None:
    model = ModelConfig(levels=1, widths=(4, 6, 8), encoder_blocks=(1, 1, 1), decoder_blocks=(0, 1, 1), descriptors=5)
    models = {"full": model, "no x": dataclasses.replace(model, local_branch=False), "no y": model}
    rows = [Row("full", 0, 30.0, 0.9, 25), Row("full", 1, 32.0, 0.92, 25), Row("no x", 0, 29.0, 0.8, 25)]
    rows += [Row("no x", 1, 30.0, 0.82, 25), Row("no x", 2, 31.0, 0.84, 25)]
    full, without = table(rows, models)
    assert full.psnr == pytest.approx((31, 2**0.5))
    assert without.psnr == pytest.approx((30, 1))
    assert without.delta_psnr == pytest.approx((-1.5, 0.5**0.5))  # over the seeds that both have
    assert without.delta_parameters == parameters(models["no x"]) - parameters(model) < 0
    assert without.delta_macs == macs(models["no x"]) - macs(model) < 0
    assert "| no x | 3 | 30.000 ± 1.000 | -1.500 ± 0.707 | 0.8200 ± 0.0200 |" in as_markdown([full, without])
    assert len({len(line) for line in as_text([full, without]).splitlines()}) == 1
    (alone,) = table(rows[4:], models)
    assert "|  3" not in as_text([alone])
    assert " - " in as_text([alone])  # no full model with this seed: no difference


def test_a_variant_that_diverges_is_noted_and_the_others_go_on(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, fit = tmp_path / "out", Trainer.fit

    def diverging(trainer: Trainer, pairs: Pairs, crops: list[Crop]) -> dict[str, float]:
        if not trainer.config.model.global_branch:
            raise Failure("the loss was not finite", ExitCode.QUALITY)
        return fit(trainer, pairs, crops)

    monkeypatch.setattr(Trainer, "fit", diverging)
    assert ablate(data, out) == ExitCode.QUALITY
    assert rows_in(out) == [row for row in rows_in(whole) if row["variant"] != "no global branch"]
    printed = capsys.readouterr()
    assert "no global branch, seed 0: the loss was not finite" in printed.err
    assert "the table is without no global branch, seed 0" in printed.err
    assert "no local branch" in printed.out
    assert (out / "ablation.md").read_text().count("\n") == 2 + len(EDGE_N) - 1


def test_other_failures_end_the_ablation(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def failing(trainer: Trainer, pairs: Pairs, crops: list[Crop]) -> dict[str, float]:
        started.append(trainer)
        raise Failure("too little memory", ExitCode.MEMORY)

    monkeypatch.setattr(Trainer, "fit", failing)
    assert ablate(data, tmp_path / "out") == ExitCode.MEMORY
    assert len(started) == 1


@pytest.mark.parametrize(("name", "before", "now"), [("device", "cuda", "cpu"), ("precision", "bf16", "off")])
def test_rows_of_other_devices_and_precisions_are_not_mixed(
    name: str, before: str, now: str, data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    content = json.loads((whole / "ablation.json").read_text())
    content["settings"][name] = before
    (out / "ablation.json").write_text(json.dumps(content))
    assert ablate(data, out, "--resume") == ExitCode.USAGE
    assert f"had {name} {before}, now {now}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--seeds", "a"], ExitCode.USAGE, "--seeds is 'a'"),
        (["--steps", "0"], ExitCode.USAGE, "--steps is 0"),
        (["--lr", "nan"], ExitCode.USAGE, "--lr is nan"),
        (["--patch", "40"], ExitCode.USAGE, "--patch is 40"),
        (["--data", "none"], ExitCode.SOURCE, "not a folder"),
        (["-o", "{}/full"], ExitCode.USAGE, "holds other files"),
        (["-o", "{}/full/file"], ExitCode.USAGE, "holds other files"),
        (["-o", "{}/damaged", "--resume"], ExitCode.SOURCE, "is damaged"),
        (["-o", "{}/list", "--resume"], ExitCode.SOURCE, "is damaged"),
    ],
)
def test_mistakes_get_a_message_and_their_code(
    arguments: list[str],
    code: int,
    message: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    damaged = {"damaged": '{"rows": [{"a": 1}], "settings": {}}', "list": '{"rows": [], "settings": []}'}
    for folder, content in damaged.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ablation.json").write_text(content)
    before = sorted(tmp_path.rglob("*"))
    assert ablate(data, tmp_path / "out", *(word.format(tmp_path) for word in arguments)) == code
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before  # whichever folder -o names
