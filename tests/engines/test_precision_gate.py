"""The gate of FP16: what it measures, what it refuses, and what it does where ONNX Runtime cannot help."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import edgedeblur
from edgedeblur import ExitCode
from engines import precision_gate
from engines.precision_gate import measure_built, probe_frames
from runtime.measure.quality import MOST_DB
from runtime.sessions.size_range import fixed_size
from tests.engines.conftest import Build
from tests.engines.frame_graph import frame_graph

PORTABLE = ("--size", "64x96", "--toolkit", "tensorrt_rtx", "--compute-capability", "portable")


def overflowing() -> bytes:
    """Computes what the stand-in does, but with features 1e6 times as large, which FP16 does not hold."""
    model = frame_graph()
    kernels = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 4]
    for tensor, factor in ((kernels[0], 1e3), (kernels[1], 1e3)):
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), tensor.name))
    return bytes(model.SerializeToString())


@pytest.fixture
def overflowing_file(onnx_file: Path) -> Path:
    onnx_file.write_bytes(overflowing())
    return onnx_file


@pytest.mark.parametrize("size", [(5, 5), (64, 96), (61, 90), (720, 1280)])
def test_sound_network_is_far_above_the_gate(size: tuple[int, int]) -> None:
    measured = measure_built(frame_graph().SerializeToString(), Path("m.onnx"), fixed_size(size))
    assert measured is not None
    assert 60 < measured <= MOST_DB


def test_result_is_in_the_sidecar_and_on_the_screen(
    build: Build, onnx_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = build(onnx_file)
    assert 60 < result["quality"]["fp16_psnr_to_fp32"] < 90
    assert build(onnx_file, "--fp32")["quality"]["fp16_psnr_to_fp32"] is None
    assert edgedeblur.main(["build", str(onnx_file), *PORTABLE, "--force"]) == 0
    assert f"the FP16 graph is {result['quality']['fp16_psnr_to_fp32']:.1f} dB" in capsys.readouterr().err


def test_overflow_is_refused(rtx: None, overflowing_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert edgedeblur.main(["build", str(overflowing_file), *PORTABLE]) == ExitCode.QUALITY
    error = capsys.readouterr().err
    assert "expected at least 45 dB" in error
    assert "--precision fp32" in error
    assert [path.name for path in overflowing_file.parent.rglob("*") if path.is_file()] == ["m.onnx"]


def test_lower_limit_lets_it_pass_and_a_higher_one_does_not_take_it_back(
    build: Build, overflowing_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    low = build(overflowing_file, "--min-psnr", "-10")
    assert low["quality"]["fp16_psnr_to_fp32"] < 45
    assert build(overflowing_file, "--min-psnr", "-10")["reused"]
    assert edgedeblur.main(["build", str(overflowing_file), *PORTABLE]) == ExitCode.QUALITY, "an engine that is there"
    assert build(overflowing_file, "--fp32")["quality"]["fp16_psnr_to_fp32"] is None


def test_old_onnx_runtime_compares_the_gather_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 1.25 it has no DeformConv, and says so when the canonical graph is opened."""
    opened: list[set[str]] = []
    really = precision_gate._session

    def old(data: bytes) -> Any:
        opened.append({node.op_type for node in onnx.load_model_from_string(data).graph.node})
        if "DeformConv" in opened[-1]:
            raise RuntimeError("Could not find an implementation for DeformConv(19) node with name ''")
        return really(data)

    monkeypatch.setattr(precision_gate, "_session", old)
    measured = measure_built(frame_graph().SerializeToString(), Path("m.onnx"), fixed_size((64, 96)))
    assert measured is not None
    assert measured > 60
    assert len(opened) == 3
    assert "DeformConv" in opened[1]


def test_without_onnx_runtime_it_says_so_and_builds(
    rtx: None, onnx_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert edgedeblur.main(["build", str(onnx_file), *PORTABLE, "--json"]) == 0
    printed = capsys.readouterr()
    assert "FP16 was not compared with FP32" in printed.err
    assert "onnxruntime" in printed.err
    assert json.loads(printed.out)["quality"]["fp16_psnr_to_fp32"] is None


@pytest.mark.parametrize("size", [(1, 1), (61, 90), (360, 640)])
def test_frames_are_of_the_size_and_always_the_same(size: tuple[int, int]) -> None:
    for frame, again in zip(probe_frames(size), probe_frames(size), strict=True):
        assert frame.shape == (*size, 3)
        assert frame.dtype == np.uint8
        np.testing.assert_array_equal(frame, again)
        if size[0] > 60:
            assert frame.max() > 200
            assert frame.min() < 50
            assert frame.std() > 25
