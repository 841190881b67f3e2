"""Every edge preset, exported with random weights: FP32 and FP16 compute alike, and both become real engines."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import edgedeblur
from engines.precision_gate import DEFAULT_MIN_PSNR
from export.passes import apply_passes, passes_for
from export.passes.model_file import load_model, model_bytes
from tests.engines.conftest import Build

EDGE = ["edge-n", "edge-s", "edge-m"]
SIZE = (64, 96)


@pytest.fixture(params=EDGE)
def preset_file(request: pytest.FixtureRequest, exported: Callable[[str], Path]) -> Path:
    """The preset's canonical ONNX file; random weights, because a new network changes nothing."""
    return exported(request.param)


def pixels(data: bytes, frame: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of Casts it adds where the CPU has no FP16 kernel
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"frame": frame})[0], dtype=int)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("size", [None, SIZE], ids=["dynamic", "fixed"])
def test_target_graph_computes_the_same(preset_file: Path, precision: str, size: tuple[int, int] | None) -> None:
    """The Gather form in each precision, within one grey level of the canonical file."""
    frame = np.random.default_rng(0).integers(0, 256, (*(size or (61, 90)), 3), dtype=np.uint8)
    expected = pixels(preset_file.read_bytes(), frame)
    converted = apply_passes(load_model(preset_file), passes_for("gather", precision, size))
    difference = np.abs(pixels(model_bytes(converted), frame) - expected)
    assert difference.max() <= 1
    assert difference.mean() < (0.001 if precision == "fp32" else 0.05)
    assert np.abs(expected - frame).mean() > 2, "a network that changes nothing would prove nothing"


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_engine_builds(build: Build, preset_file: Path, precision: str, tmp_path: Path) -> None:
    result = build(preset_file, "--precision", precision, "--engine-dir", str(tmp_path), size=f"{SIZE[0]}x{SIZE[1]}")
    assert Path(result["engine"]).read_bytes().startswith(b"vtrt")
    assert result["model"]["preset"] in EDGE
    measured = result["quality"]["fp16_psnr_to_fp32"]
    assert measured is None if precision == "fp32" else measured > DEFAULT_MIN_PSNR + 5
    assert result["build"]["warnings"] == []


@pytest.mark.parametrize(("preset", "deform"), [("edge-n", "gather"), ("edge-m", "gather"), ("edge-n", "native")])
def test_int8_engine_builds(
    build: Build, exported: Callable[[str], Path], preset: str, deform: str, tmp_path: Path
) -> None:
    """What calibrate writes, in either form, is strongly typed for TensorRT-RTX, which sees quantised convolutions."""
    int8 = tmp_path / "m.int8.onnx"
    words = ["--data", "test://96x64", "--frames", "2", "--evaluations", "0", "--max-psnr-drop", "100"]
    assert edgedeblur.main(["calibrate", str(exported(preset)), *words, "--deform", deform, "-o", str(int8)]) == 0
    onnx.checker.check_model(onnx.load(int8), full_check=True)
    result = build(int8, "--engine-dir", str(tmp_path), size=f"{SIZE[0]}x{SIZE[1]}")
    assert ".int8." in Path(result["engine"]).name.removeprefix(int8.stem)
    assert Path(result["engine"]).read_bytes().startswith(b"vtrt")
    warnings = result["build"]["warnings"]
    assert all(re.search(r"Converting conv (activation|weight) scales to fp32", warning) for warning in warnings)
    assert warnings


def test_fp16_file_of_calibrate_builds(build: Build, exported: Callable[[str], Path], tmp_path: Path) -> None:
    half = tmp_path / "m.fp16.onnx"
    words = ["--data", "test://96x64", "--frames", "2", "--precision", "fp16", "-o", str(half)]
    assert edgedeblur.main(["calibrate", str(exported("edge-n")), *words]) == 0
    result = build(half, "--engine-dir", str(tmp_path), size=f"{SIZE[0]}x{SIZE[1]}")
    assert Path(result["engine"]).read_bytes().startswith(b"vtrt")
    assert result["build"]["warnings"] == []
