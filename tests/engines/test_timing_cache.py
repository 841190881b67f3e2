"""The timing cache of full TensorRT, tried on TensorRT-RTX: it has the same methods, though they measure nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import onnx_ir as ir
import pytest

from engines.artefact import timing_cache_path
from engines.build import BuildConfig, _set_timing_cache, engine_from_onnx
from engines.gpu import Gpu
from engines.toolkit import Toolkit, find_toolkit
from tests.engines.frame_graph import frame_graph


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")
def test_cache_comes_back_and_is_used_again(rtx: None) -> None:
    toolkit = dataclasses.replace(find_toolkit("tensorrt_rtx"), name="tensorrt")
    config = BuildConfig(size=(64, 96), capabilities=("86",))
    first = engine_from_onnx(ir.from_proto(frame_graph()), config, toolkit)
    assert first.timing_cache
    assert engine_from_onnx(ir.from_proto(frame_graph()), config, toolkit, first.timing_cache).timing_cache


def test_rtx_has_none(rtx: None) -> None:
    toolkit = find_toolkit("tensorrt_rtx")
    config = BuildConfig(size=(64, 96), capabilities=("86",))
    assert engine_from_onnx(ir.from_proto(frame_graph()), config, toolkit).timing_cache is None


def test_cache_of_another_gpu_is_replaced_by_an_empty_one() -> None:
    """`set_timing_cache` answers False for a cache that was measured elsewhere."""
    settings = SimpleNamespace(
        create_timing_cache=lambda saved: saved,
        set_timing_cache=lambda cache, ignore_mismatch: cache == b"" and not ignore_mismatch,
    )
    assert _set_timing_cache(settings, b"other") == b""


def test_one_cache_for_each_version_and_gpu(tmp_path: Path) -> None:
    orin = Toolkit(None, "tensorrt", "10.3.0", Gpu("Orin", 87, "12.6"))
    assert timing_cache_path(tmp_path, orin).name == "trt10.3.0.sm87.timing"
