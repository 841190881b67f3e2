"""The timing cache of full TensorRT, tried on TensorRT-RTX: it has the same methods, though they measure nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import onnx_ir as ir
import pytest

import edgedeblur
from edgedeblur import ExitCode, Failure
from engines import build_command
from engines.artefact import timing_cache_path
from engines.build import BuildConfig, _set_timing_cache, engine_from_onnx
from engines.toolkit import Toolkit, find_toolkit
from runtime.sessions.gpu import Gpu
from runtime.sessions.size_range import fixed_size
from tests.engines.frame_graph import frame_graph


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")
def test_cache_comes_back_and_is_used_again(rtx: None) -> None:
    toolkit = dataclasses.replace(find_toolkit("tensorrt_rtx"), name="tensorrt")
    config = BuildConfig(fixed_size((64, 96)), capabilities=("86",))
    kept: list[bytes] = []
    assert engine_from_onnx(ir.from_proto(frame_graph()), config, toolkit, b"", kept.append).timing_cache
    assert kept[0]
    assert engine_from_onnx(ir.from_proto(frame_graph()), config, toolkit, kept[0], kept.append).timing_cache
    assert len(kept) == 2


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")
def test_what_was_measured_is_kept_when_the_build_fails(rtx: None) -> None:
    """FP32 for Turing is what TensorRT-RTX refuses only while it builds."""
    toolkit = dataclasses.replace(find_toolkit("tensorrt_rtx"), name="tensorrt")
    config = BuildConfig(fixed_size((64, 96)), precision="fp32", capabilities=("75",))
    kept: list[bytes] = []
    with pytest.raises(Failure, match="Turing"):
        engine_from_onnx(ir.from_proto(frame_graph()), config, toolkit, b"", kept.append)
    assert len(kept) == 1


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")
@pytest.mark.parametrize("saved", [b"x", b"not a timing cache" * 50])
def test_damaged_cache_is_not_used(rtx: None, saved: bytes) -> None:
    toolkit = dataclasses.replace(find_toolkit("tensorrt_rtx"), name="tensorrt")
    config = BuildConfig(fixed_size((64, 96)), capabilities=("86",))
    assert engine_from_onnx(ir.from_proto(frame_graph()), config, toolkit, saved).timing_cache


@pytest.fixture
def as_tensorrt(rtx: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command takes TensorRT-RTX for TensorRT, which has a timing cache."""
    toolkit = dataclasses.replace(find_toolkit("tensorrt_rtx"), name="tensorrt")
    monkeypatch.setattr(build_command, "find_toolkit", lambda asked: toolkit)


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")
def test_the_command_keeps_it_beside_the_engines(as_tensorrt: None, onnx_file: Path) -> None:
    words = ["build", str(onnx_file), "--size", "64x96", "--compute-capability", "86"]
    assert edgedeblur.main(words) == 0
    caches = list((onnx_file.parent / "m").glob("trt*.smnone.timing"))
    assert len(caches) == 1
    assert caches[0].stat().st_size > 0
    assert edgedeblur.main([*words, "--force", "--timing-cache", str(caches[0].with_name("mine.timing"))]) == 0
    assert caches[0].with_name("mine.timing").is_file()


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")
def test_an_engine_is_not_lost_for_its_timings(
    as_tensorrt: None, onnx_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["build", str(onnx_file), "--size", "64x96", "--compute-capability", "86", "--timing-cache"]
    assert edgedeblur.main([*words, str(tmp_path / "no" / "t.timing")]) == 0
    assert "kernel timings are not kept: " in capsys.readouterr().err
    (tmp_path / "folder.timing").mkdir()
    assert edgedeblur.main([*words, str(tmp_path / "folder.timing"), "--force"]) == ExitCode.ENVIRONMENT
    assert "folder.timing cannot be read: Is a directory; see --timing-cache" in capsys.readouterr().err


def test_rtx_has_none(rtx: None) -> None:
    toolkit = find_toolkit("tensorrt_rtx")
    config = BuildConfig(fixed_size((64, 96)), capabilities=("86",))
    assert not engine_from_onnx(ir.from_proto(frame_graph()), config, toolkit).timing_cache


def test_cache_of_another_gpu_is_replaced_by_an_empty_one() -> None:
    """`set_timing_cache` answers False for a cache that was measured elsewhere."""
    settings = SimpleNamespace(
        create_timing_cache=lambda saved: saved,
        set_timing_cache=lambda cache, ignore_mismatch: cache == b"" and not ignore_mismatch,
    )
    assert _set_timing_cache(settings, b"other") == b""


def test_a_cache_that_tensorrt_cannot_read_is_replaced() -> None:
    settings = SimpleNamespace(
        create_timing_cache=lambda saved: None if saved else saved, set_timing_cache=lambda *_: True
    )
    assert _set_timing_cache(settings, b"damaged") == b""


def test_one_cache_for_each_version_and_gpu(tmp_path: Path) -> None:
    orin = Toolkit(None, "tensorrt", "10.3.0", Gpu("Orin", 87, True))
    assert timing_cache_path(tmp_path, orin).name == "trt10.3.0.sm87.orin.timing"
    ours, theirs = (dataclasses.replace(orin, gpu=Gpu(f"NVIDIA RTX {model}", 86, False)) for model in ("3060", "3090"))
    assert timing_cache_path(tmp_path, ours) != timing_cache_path(tmp_path, theirs)
