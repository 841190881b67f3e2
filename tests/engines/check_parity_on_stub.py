"""Parity through the real session: PyCUDA over a driver on host memory, an engine that ONNX Runtime stands in for.

Run by test_parity_on_stub.py in a process of its own, with the fixtures of tests/runtime/cuda_stub.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx as onnx_format
import pytest

from edgedeblur import ExitCode, Failure
from engines import plugin_probe
from engines.build import BuildConfig
from engines.parity import check_parity, measure, references
from engines.plugin_library import PluginLibrary
from engines.plugin_probe import SIZE, check_plugin, probe_bytes
from engines.toolkit import Toolkit
from runtime.sessions.gpu import Gpu
from runtime.sessions.size_range import SizeRange, fixed_size
from runtime.sessions.tensorrt_session import TensorRTSession
from tests.runtime import fake_tensorrt
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


def test_plugin_probe(kernels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan that was built is run as it is, without a file or a sidecar."""
    work = tmp_path / "computed.onnx"
    plan = fake_tensorrt.plan_bytes(str(work), SIZE, SIZE, SIZE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(plugin_probe, "engine_from_onnx", lambda *_: SimpleNamespace(plan=plan))
    library = PluginLibrary(Path("plugin.so"), "ab" * 32)
    config = BuildConfig(fixed_size((36, 52)), "fp32", "plugin", library)
    toolkit = Toolkit(SimpleNamespace(), "tensorrt", fake_tensorrt.VERSION, Gpu("Stub GPU", 89, False))

    without_mask = onnx_format.load_model_from_string(probe_bytes())
    (deform,) = [node for node in without_mask.graph.node if node.op_type == "DeformConv"]
    del deform.input[4]
    work.write_bytes(without_mask.SerializeToString())
    with pytest.raises(Failure, match=r"dB on probe frame \d \(24x2040\)"):
        check_plugin(library, config, toolkit)
    work.write_bytes(probe_bytes())
    kernels._sessions.clear()  # the file is another now
    kernels._kernels.clear()
    check_plugin(library, config, toolkit)
    assert len(list((tmp_path / "cache" / "edgedeblur").glob("probe.*.json"))) == 1
