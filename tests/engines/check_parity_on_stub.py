"""Parity through the real session: PyCUDA over a driver on host memory, an engine that ONNX Runtime stands in for.

Run by test_parity_on_stub.py in a process of its own, with the fixtures of tests/runtime/cuda_stub.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from edgedeblur import ExitCode, Failure
from engines.parity import check_parity, measure, references
from engines.sizes import fixed_size
from runtime.size_range import SizeRange
from runtime.tensorrt_session import TensorRTSession
from tests.runtime.stand_in import write_model

RANGE = SizeRange((18, 30), (36, 52), (54, 70))


def test_right_engine(make_engine: Any, onnx: Path) -> None:
    expected = references(onnx.read_bytes(), onnx, "fp32", [], fixed_size((36, 52)))
    with contextlib.closing(TensorRTSession(make_engine())) as session:
        found = measure(session, expected)
    assert (found.worst, len(found.frames)) == (999.0, 2)


def test_engine_for_a_range(make_engine: Any, onnx: Path) -> None:
    expected = references(onnx.read_bytes(), onnx, "fp32", [], RANGE)
    with contextlib.closing(TensorRTSession(make_engine(RANGE.smallest, RANGE.usual, RANGE.largest))) as session:
        assert measure(session, expected).worst == 999.0
    assert {item.pair[0].shape[:2] for item in expected} == {(18, 30), (36, 52), (54, 70)}


def test_wrong_engine(make_engine: Any, onnx: Path, tmp_path: Path) -> None:
    wrong = write_model(tmp_path / "wrong.onnx", gain=0.45)
    expected = references(onnx.read_bytes(), onnx, "fp32", [], fixed_size((36, 52)))
    with contextlib.closing(TensorRTSession(make_engine(work=str(wrong)))) as session:
        found = measure(session, expected)
    with pytest.raises(Failure, match=r"probe frame \d \(36x52\)") as caught:
        check_parity(found, "fp16", None)
    assert caught.value.code == ExitCode.QUALITY
