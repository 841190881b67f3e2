"""Shared by the engine tests: a stand-in ONNX file, and the command run in this process."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edgedeblur
from tests.engines.frame_graph import frame_graph

Build = Callable[..., dict[str, Any]]


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    path.write_bytes(frame_graph().SerializeToString())
    return path


@pytest.fixture(scope="session")
def rtx() -> None:
    """Real engines are built ahead of time, which TensorRT-RTX does without a GPU."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        pytest.skip("needs tensorrt_rtx, which is not installed: pip install -e '.[engines]' (x86-64 only)")


@pytest.fixture
def build(rtx: None, capsys: pytest.CaptureFixture[str]) -> Build:
    """`edgedeblur build` with portable TensorRT-RTX; gives what --json prints."""

    def run(onnx: Path, *options: str, size: str = "64x96") -> dict[str, Any]:
        portable = ("--toolkit", "tensorrt_rtx", "--compute-capability", "portable")
        capsys.readouterr()
        sizes = ("--size", size) if size else ()
        assert edgedeblur.main(["build", str(onnx), *sizes, *portable, "--json", *options]) == 0
        printed: dict[str, Any] = json.loads(capsys.readouterr().out)
        return printed

    return run
