"""What `--model auto` takes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edgedeblur import ExitCode, Failure
from runtime.sessions import models
from runtime.sessions.engine_file import EngineFile, read_engine
from runtime.sessions.models import ModelOptions, open_session
from tests.runtime.cuda_stub.fixtures import SIZE, MakeEngine, write_sidecar


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`--model auto` looks for engines in an empty place."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("runtime.sessions.models.WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(
        "runtime.sessions.models.shipped_weights",
        lambda name, version: (models_weights / f"{name}.onnx", "shipped weights"),
    )
    return tmp_path / "weights"


models_weights = models.WEIGHTS


def place(engine: EngineFile, folder: Path, onnx: Path, **parts: Any) -> EngineFile:
    """The engine as `edgedeblur build` puts it beside the weights; its model is edge-n."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / engine.path.name
    path.write_bytes(engine.plan)
    write_sidecar(path, engine.plan, onnx, "tensorrt", SIZE, **parts)
    sidecar = json.loads(path.with_suffix(".json").read_text())
    sidecar["model"]["preset"] = "edge-n"
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    return read_engine(path)


def chosen(size: tuple[int, int] = SIZE) -> tuple[str, str]:
    session, why = open_session(ModelOptions(), lambda: size)
    session.close()
    return type(session).__name__, why


@pytest.mark.parametrize("where", ["weights/edge-n", "cache/edgedeblur/engines/edge-n"])
def test_auto_takes_an_engine_for_this_gpu(make_engine: MakeEngine, weights: Path, onnx: Path, where: str) -> None:
    place(make_engine(), weights.parent / where, onnx)
    name, why = chosen()
    assert name == "TensorRTSession"
    assert "the engine for this GPU" in why


@pytest.mark.parametrize(
    ("parts", "size", "words"),
    [
        ({"sm": ["75"]}, SIZE, "Stub GPU is not used: half.engine: sm is 75, expected 89"),
        ({}, (720, 1280), "no engine here takes frames of 1280x720"),
    ],
)
def test_auto_falls_back_and_says_why(
    make_engine: MakeEngine, weights: Path, onnx: Path, parts: dict[str, Any], size: tuple[int, int], words: str
) -> None:
    place(make_engine(), weights / "edge-n", onnx, **parts)
    name, why = chosen(size)
    assert name == "OnnxSession"
    assert words in why


def test_auto_survives_an_engine_that_does_not_load(make_engine: MakeEngine, weights: Path, onnx: Path) -> None:
    place(make_engine(work="refuse"), weights / "edge-n", onnx)
    name, why = chosen()
    assert name == "OnnxSession"
    assert "was not taken: engine" in why


def test_auto_without_an_engine_or_without_its_toolkit(
    make_engine: MakeEngine, weights: Path, onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, why = chosen()
    assert name == "OnnxSession"
    assert "no engine for it is here; make one with edgedeblur build" in why
    place(make_engine(), weights / "edge-n", onnx)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    name, why = chosen()
    assert name == "OnnxSession"
    assert "needs the Python package 'tensorrt', which is not installed" in why


def test_auto_without_a_home(make_engine: MakeEngine, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])  # a container's user whom nobody entered
    with pytest.raises(Failure, match=r"no home folder.*set HOME or XDG_CACHE_HOME") as caught:
        chosen()
    assert caught.value.code == ExitCode.ENVIRONMENT


def test_auto_without_pycuda(
    make_engine: MakeEngine, weights: Path, onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(make_engine(), weights / "edge-n", onnx)
    monkeypatch.setitem(sys.modules, "pycuda", None)
    name, why = chosen()
    assert name == "OnnxSession"
    assert "PyCUDA is not installed" in why
