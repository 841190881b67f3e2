"""What `val` concludes from its rows, and what it still does when a row cannot be kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgedeblur import ExitCode, Failure
from tests.training.val_material import onnx_file, val, write_pairs
from training.evaluation.models import Model
from training.evaluation.outputs import RowsFile
from training.evaluation.report import SHARP
from training.evaluation.results import Results
from training.evaluation.rows import Measured, Row


def test_one_changed_frame_outweighs_any_number_that_are_left_alone() -> None:
    model = Model("m", lambda frame: frame, (1, 1), "cpu", None)
    results = Results(SHARP, [model], csv=None, pictures=None, quiet=True)
    frame = np.zeros((8, 8, 3), np.uint8)
    for index, psnr in enumerate((100, 100, 30, 100)):
        results.add(Measured([Row("", str(index), "m", {"psnr": psnr, "ms": 1})], {"m": frame}))
    said = "m changes sharp frames too much: 30.00 dB to its input at worst, expected at least 40 dB"
    assert said in results.text("sharp frames")


def test_a_first_row_that_cannot_be_kept_is_what_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(file: RowsFile, rows: list[Row]) -> None:
        raise Failure("the disk is full", ExitCode.ENVIRONMENT)

    monkeypatch.setattr(RowsFile, "add", full)
    model, pairs = onnx_file(tmp_path / "m.onnx"), write_pairs(tmp_path / "pairs")
    words = ("--csv", tmp_path / "rows.csv", "--pictures", tmp_path / "a.png")
    assert val("--model", model, "--data", pairs, *words) == ExitCode.ENVIRONMENT
    assert "the disk is full" in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()
