"""`edgedeblur triton`: what a server would load, what it would refuse, and what is left alone."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgedeblur import ExitCode, main
from runtime.sessions.engine_file import SCHEMA
from tests.full_disk import full_disk
from tests.runtime.stand_in import write_model

pytest.importorskip("google.protobuf", reason="protobuf is not installed (pip install protobuf)")
from tests.runtime.triton_schema import problems, read_config

Triton = Callable[..., tuple[int, str]]
PLAN = b"ftrt" + bytes(range(256)) * 8


@pytest.fixture
def triton(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Triton:
    """`edgedeblur triton … --repository models`: its exit code and all it printed."""

    def call(*words: object) -> tuple[int, str]:
        code = main(["triton", *map(str, words), "--repository", str(tmp_path / "models")])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return call


@pytest.fixture
def engine(tmp_path: Path) -> Callable[..., Path]:
    """An engine file with a sidecar as `edgedeblur build` writes it."""

    def make(height: int = 720, width: int = 1280, plan: bytes = PLAN, plugin: bool = False, **fields: Any) -> Path:
        path = tmp_path / "edge-n.360x640.b1.fp16.trt10.3.0.sm87.orin.35ffbff5.engine"
        path.write_bytes(plan)
        io = [
            {"name": name, "mode": mode, "dtype": "uint8", "shape": [height, width, 3]}
            for name, mode in (("frame", "input"), ("sharp", "output"))
        ]
        sidecar: dict[str, Any] = {
            "schema": SCHEMA,
            "plan_sha256": hashlib.sha256(plan).hexdigest(),
            "key_parts": {"toolkit_version": "10.3.0", "gpu": "Orin", "sm": ["87"], "size": [360, 640]},
            "io": io,
            "plugin": None,
        }
        if plugin:
            (tmp_path / "deform.so").write_bytes(b"a library")
            sidecar["plugin"] = {"file": "deform.so", "sha256": hashlib.sha256(b"a library").hexdigest()}
        path.with_suffix(".json").write_text(json.dumps({**sidecar, **fields}))
        return path

    return make


def test_an_engine_for_one_size(triton: Triton, engine: Callable[..., Path], tmp_path: Path) -> None:
    code, text = triton("--engine", engine())
    assert code == 0
    folder = tmp_path / "models" / "edge-n"
    assert problems(folder) == []
    assert (folder / "1" / "model.plan").read_bytes() == PLAN
    config = read_config(folder / "config.pbtxt")
    assert list(config.input[0].dims) == list(config.output[0].dims) == [720, 1280, 3]
    assert (config.input[0].name, config.output[0].name) == ("frame", "sharp")
    assert config.max_batch_size == 0
    assert config.optimization.cuda.graphs
    assert not config.HasField("dynamic_batching")
    assert "TensorRT 10.3.0" in text
    assert "Orin, compute capability 87" in text
    assert f"--model-repository={tmp_path}/models" in text
    assert sorted(path.name for path in folder.parent.iterdir()) == ["edge-n"]


def test_an_engine_for_a_range_records_its_usual_size(
    triton: Triton, engine: Callable[..., Path], tmp_path: Path
) -> None:
    assert triton("--engine", engine(-1, -1), "--name", "front", "--instances", 3)[0] == 0
    assert problems(tmp_path / "models" / "front") == []
    config = read_config(tmp_path / "models" / "front" / "config.pbtxt")
    assert list(config.input[0].dims) == [-1, -1, 3]
    assert list(config.optimization.cuda.graph_spec[0].input[0].value.dim) == [360, 640, 3]
    assert config.instance_group[0].count == 3


@pytest.mark.parametrize("words", [["--queue", 4], ["--queue-ms", 100], ["--queue", 4, "--queue-ms", 100]])
def test_a_queue_that_refuses_old_frames(
    triton: Triton, engine: Callable[..., Path], tmp_path: Path, words: list[object]
) -> None:
    assert triton("--engine", engine(), *words)[0] == 0
    assert problems(tmp_path / "models" / "edge-n") == []
    policy = read_config(tmp_path / "models" / "edge-n" / "config.pbtxt").dynamic_batching.default_queue_policy
    assert policy.max_queue_size == (4 if "--queue" in words else 0)
    assert policy.default_timeout_microseconds == (100_000 if "--queue-ms" in words else 0)
    assert policy.timeout_action == 0


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_an_onnx_file(triton: Triton, tmp_path: Path, kind: str) -> None:
    model = write_model(tmp_path / "stand-in.int8.onnx")
    assert triton("--model", model, "--kind", kind)[0] == 0
    folder = tmp_path / "models" / "stand-in"
    assert problems(folder) == []
    assert (folder / "1" / "model.onnx").read_bytes() == model.read_bytes()
    config = read_config(folder / "config.pbtxt")
    assert list(config.input[0].dims) == [-1, -1, 3]
    assert config.instance_group[0].kind == {"cpu": 2, "gpu": 1}[kind]
    assert not config.HasField("optimization")


def test_a_model_that_is_there_is_replaced_as_a_whole_or_not_at_all(
    triton: Triton, engine: Callable[..., Path], tmp_path: Path
) -> None:
    assert triton("--engine", engine(plugin=True))[0] == 0
    folder = tmp_path / "models" / "edge-n"
    before = (folder / "config.pbtxt").read_bytes()
    code, text = triton("--engine", engine(480, 640))
    assert code == ExitCode.USAGE
    assert "--force" in text
    path = engine(480, 640)
    with full_disk(1000):
        code, text = triton("--engine", path, "--force")
    assert code == ExitCode.ENVIRONMENT
    assert "File too large" in text
    assert (folder / "config.pbtxt").read_bytes() == before
    assert (folder / "plugin.so").exists()
    assert triton("--engine", engine(480, 640), "--force")[0] == 0
    assert problems(folder) == []
    assert sorted(path.name for path in folder.iterdir()) == ["1", "config.pbtxt"]
    assert sorted(path.name for path in folder.parent.iterdir()) == ["edge-n"]


def test_ctrl_c_in_the_middle_of_a_replacement_leaves_the_old_one(
    triton: Triton, engine: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert triton("--engine", engine())[0] == 0
    folder = tmp_path / "models" / "edge-n"
    rename = Path.rename

    def interrupted(path: Path, target: Path) -> Any:
        if path.name.startswith(".new"):
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    assert triton("--engine", engine(480, 640), "--force")[0] == ExitCode.INTERRUPTED
    assert problems(folder) == []
    assert list(read_config(folder / "config.pbtxt").input[0].dims) == [720, 1280, 3]
    assert [path.name for path in folder.parent.iterdir()] == ["edge-n"]


IO = [{"name": "frame", "mode": "input", "dtype": "uint8", "shape": [720, 1280, 3]}]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"plan": b"vtrt" + PLAN}, "TensorRT-RTX"),
        ({"plan": b"ONNX"}, "no TensorRT plan"),
        ({"plan_sha256": "0"}, "plan_sha256 is"),
        ({"io": IO}, "not one of our models"),
        ({"io": [*IO, {**IO[0], "name": "sharp", "mode": "output", "dtype": "float"}]}, "not one of our models"),
        ({"io": [{"name": "frame"}]}, "does not say what goes in and out"),
        ({"io": 3}, "does not say what goes in and out"),
        ({"height": 0}, "not one of our models"),
        ({"schema": "other"}, "has schema"),
    ],
)
def test_engines_that_triton_would_not_load(
    triton: Triton, engine: Callable[..., Path], tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    code, text = triton("--engine", engine(**change))
    assert code == ExitCode.MODEL
    assert words in text
    assert not (tmp_path / "models").exists()


def test_an_engine_alone_is_not_enough(triton: Triton, engine: Callable[..., Path]) -> None:
    path = engine()
    path.with_suffix(".json").unlink()
    code, text = triton("--engine", path)
    assert code == ExitCode.MODEL
    assert "no .json beside it" in text


def test_what_is_no_model(triton: Triton, engine: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_text("no")
    assert triton("--model", tmp_path / "no.onnx")[0] == ExitCode.MODEL
    assert triton("--model", tmp_path / "none.onnx")[0] == ExitCode.MODEL
    assert triton("--engine", engine(), "--kind", "cpu")[0] == ExitCode.USAGE
    for name in ("../up", "a/b", ".hidden", "two words", 'quo"te', ""):
        if name:
            assert triton("--engine", engine(), "--name", name)[0] == ExitCode.USAGE


def test_the_server_would_refuse_these(triton: Triton, engine: Callable[..., Path], tmp_path: Path) -> None:
    """The rules of the tests, tried on what breaks them."""
    assert triton("--engine", engine(-1, 1280))[0] == 0
    folder = tmp_path / "models" / "edge-n"
    text = (folder / "config.pbtxt").read_text()
    assert problems(folder) == []
    breaks = {
        'name: "edge-n"': 'name: "other"',
        "tensorrt_plan": "onnxruntime_onnx",
        "max_batch_size: 0": "max_batch_size: -1",
        "-1, 1280": "0, 1280",
        "TYPE_UINT8": "TYPE_INVALID",
        "count: 1": "count: 0",
        "KIND_GPU": "KIND_CPU",
        "dim: [ 360": "dim: [ -1",
        "version_policy { latest { num_versions: 1 } }": "",
    }
    for right, wrong in breaks.items():
        assert right in text
        (folder / "config.pbtxt").write_text(text.replace(right, wrong))
        assert problems(folder), wrong
    (folder / "config.pbtxt").write_text(text)
    (folder / "1").rename(folder / "first")
    assert problems(folder)


def test_a_sidecar_says_what_the_toolkit_calls_its_tensors() -> None:
    """`io`, as `edgedeblur build` gets it of a real network."""
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed (pip install -e '.[engines]')")
    from engines.errors import Messages
    from engines.network import network_from_onnx, tensors_of
    from runtime.triton_input import _frame_dims, _tensor

    messages = Messages(trt)
    model = Path(__file__).parents[2] / "runtime" / "weights" / "edge-n.gather.onnx"
    builder = trt.Builder(messages.logger)
    tensors = tensors_of(network_from_onnx(trt, builder, model.read_bytes(), messages))
    assert _frame_dims(model, [_tensor(tensor) for tensor in tensors]) == (-1, -1, 3)


HEADER = """
#pragma once
namespace nvinfer1 {
struct IPluginRegistry {
    virtual void* loadLibrary(const char* path) noexcept = 0;
};
}
extern "C" nvinfer1::IPluginRegistry* getPluginRegistry() noexcept;
"""
REGISTRY = """
#include "NvInferRuntime.h"
#include <string>
static std::string asked;
struct Registry : nvinfer1::IPluginRegistry {
    void* loadLibrary(const char* path) noexcept override { asked = path; return this; }
} registry;
extern "C" nvinfer1::IPluginRegistry* getPluginRegistry() noexcept { return &registry; }
extern "C" const char* asked_for() { return asked.c_str(); }
"""


def test_a_plugin_is_registered_by_opening_the_loader(
    triton: Triton, engine: Callable[..., Path], tmp_path: Path
) -> None:
    """As Triton opens it; the registry is a stand-in that keeps what it is asked to load."""
    code, text = triton("--engine", engine(plugin=True))
    folder = tmp_path / "models" / "edge-n"
    assert code == 0
    assert (folder / "plugin.so").read_bytes() == b"a library"
    assert problems(folder) == []
    assert f"plugins={folder}/load_plugin.so" in text
    if not shutil.which("g++"):
        pytest.skip("no g++ to compile the plugin's loader with")
    command = text.split("headers are: ")[1].split(";")[0].split()
    (tmp_path / "NvInferRuntime.h").write_text(HEADER)
    (tmp_path / "registry.cpp").write_text(REGISTRY)
    nvinfer = tmp_path / "libnvinfer.so"
    subprocess.run(["g++", "-shared", "-fPIC", "-o", str(nvinfer), str(tmp_path / "registry.cpp")], check=True)
    subprocess.run([*command, f"-I{tmp_path}", f"-L{tmp_path}", "-Wall", "-Wextra", "-Werror"], check=True)
    script = f"""
import ctypes
registry = ctypes.CDLL({str(nvinfer)!r}, ctypes.RTLD_GLOBAL)
ctypes.CDLL({str(folder / "load_plugin.so")!r})
registry.asked_for.restype = ctypes.c_char_p
print(registry.asked_for().decode())
"""
    environment = {"LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == str(folder / "plugin.so")
    assert done.stderr == ""
