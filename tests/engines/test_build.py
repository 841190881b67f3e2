"""Real engines from the stand-in graph: names, sidecars, reuse, and nothing half-written."""

from __future__ import annotations

import _thread
import errno
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import onnx_ir as ir
import pytest

import edgedeblur
from calibration.graph.layers import find_layers
from calibration.graph.quantise import quantise
from edgedeblur import ExitCode
from engines import build_command, making
from engines.build import AskedTwice, _build
from engines.progress import Progress
from engines.toolkit import find_toolkit
from export.passes import whole_files
from export.passes.model_file import model_bytes
from tests.engines.conftest import Build
from tests.engines.frame_graph import frame_graph

NAME = re.compile(r"m\.64x96\.b1\.fp16\.rtx[\d.]+\.sm[\d-]+\.portable\.[0-9a-f]{8}\.engine")


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("size", ["64x96", "61x90"])
def test_engine_and_sidecar(build: Build, onnx_file: Path, precision: str, size: str) -> None:
    result = build(onnx_file, "--precision", precision, size=size)
    engine = Path(result["engine"])
    plan, sidecar = engine.read_bytes(), json.loads(engine.with_suffix(".json").read_text())
    assert plan.startswith(b"vtrt"), "the engine is the plain plan, with nothing before it"
    assert sidecar["schema"] == "edgedeblur.engine/2"
    assert (sidecar["plan_sha256"], sidecar["plan_bytes"]) == (hashlib.sha256(plan).hexdigest(), len(plan))
    assert sidecar["key_parts"]["onnx_sha256"] == hashlib.sha256(onnx_file.read_bytes()).hexdigest()
    assert sidecar["key_parts"]["size"] == [int(side) for side in size.split("x")]
    assert [(io["name"], io["dtype"], io["shape"]) for io in sidecar["io"]] == [
        (name, "uint8", [*sidecar["key_parts"]["size"], 3]) for name in ("frame", "sharp")
    ]
    assert sidecar["multiple_of"] == "8x8"
    assert (sidecar["calibration"], sidecar["key_parts"]["calibration_sha256"]) == (None, None)
    assert sidecar["quality"]["parity"] is None, "nothing is claimed that was not measured"
    assert (sidecar["plugin"], sidecar["rebuild"][:2]) == (None, ["--size", size])
    assert (engine.parent / sidecar["onnx"]["path"]).resolve() == onnx_file.resolve()
    kinds = {layer["precision"] for layer in sidecar["layers"] if layer["type"] == "CONVOLUTION"}
    assert kinds == {"FP16" if precision == "fp16" else "FP32"}


def test_name_says_what_it_is(build: Build, onnx_file: Path) -> None:
    engine = Path(build(onnx_file)["engine"])
    assert NAME.fullmatch(engine.name), engine.name
    assert engine.parent == onnx_file.parent / "m"
    assert engine.name.split(".")[-2] == json.loads(engine.with_suffix(".json").read_text())["key"]
    assert written(engine.parent) == [engine.name, engine.with_suffix(".json").name], "no lock, no temporary file"


def test_existing_engine_is_reused_unless_forced(build: Build, onnx_file: Path) -> None:
    first = build(onnx_file)
    engine = Path(first["engine"])
    made = engine.stat().st_mtime_ns
    assert build(onnx_file)["reused"]
    assert engine.stat().st_mtime_ns == made
    assert not build(onnx_file, "--force")["reused"]
    assert engine.stat().st_mtime_ns > made
    other = build(onnx_file, "--builder-optimization-level", "1")
    assert other["key"] != first["key"], "another option is another engine"


@pytest.mark.parametrize("damage", ["plan", "sidecar"])
def test_damaged_engine_is_built_again(build: Build, onnx_file: Path, damage: str) -> None:
    engine = Path(build(onnx_file)["engine"])
    harmed = engine if damage == "plan" else engine.with_suffix(".json")
    harmed.write_bytes(harmed.read_bytes()[:-100])
    assert not build(onnx_file)["reused"]
    assert build(onnx_file)["reused"]


def test_options_reach_the_builder(build: Build, onnx_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "here.engine"
    result = build(
        onnx_file, "--save-engine", str(file), "--workspace", "0.5", "--builder-optimization-level", "0", "--fp32"
    )
    parts = result["key_parts"]
    assert Path(result["engine"]) == file
    assert (parts["workspace_gib"], parts["optimization_level"], parts["precision"]) == (0.5, 0, "fp32")
    chosen = build(onnx_file, "--compute-capability", "89,86")["key_parts"]["sm"]
    assert chosen == ["86", "89"]


def test_portable_engine_is_the_default_without_a_gpu(build: Build, onnx_file: Path) -> None:
    toolkit = find_toolkit("tensorrt_rtx")
    if toolkit.gpu is not None:
        pytest.skip(f"this machine has a GPU ({toolkit.gpu.name}), which is then the default")
    assert build(onnx_file, "--compute-capability", "auto")["key_parts"]["sm"] == list(toolkit.portable_capabilities)


@pytest.mark.parametrize("moment", ["first file", "second file", "rename"])
def test_full_disk_keeps_the_old_engine(
    build: Build, onnx_file: Path, moment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Path(build(onnx_file)["engine"])
    before = {path: path.read_bytes() for path in engine.parent.iterdir()}
    fill_disk(monkeypatch, moment)
    command = ["build", str(onnx_file), "--size", "64x96", "--toolkit", "tensorrt_rtx", "--force"]
    assert edgedeblur.main([*command, "--compute-capability", "portable"]) == ExitCode.ENVIRONMENT
    assert "No space left" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in engine.parent.iterdir()} == before


def fill_disk(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Let writing fail at the given moment."""
    calls: list[Any] = []
    writes = whole_files.write_durably

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fails_second(path: Path, data: bytes) -> None:
        calls.append(path)
        if len(calls) == 2:
            path.write_bytes(data[: len(data) // 2])
            full()
        writes(path, data)

    if moment == "rename":
        monkeypatch.setattr(os, "replace", full)
    else:
        monkeypatch.setattr(whole_files, "write_durably", full if moment == "first file" else fails_second)


def test_calibrated_graph_becomes_an_int8_engine(build: Build, onnx_file: Path) -> None:
    """Q/DQ around convolutions, FP16 elsewhere; INT8 is the default, and the only choice, for such a file."""
    made = {"method": "mse", "frames": 2, "psnr_to_fp32": 41.5}
    model = ir.from_proto(frame_graph())
    layers = [layer for layer in find_layers(model) if layer.kind == "conv"]
    quantise(model, layers, {str(layer.activation.name): 4.0 for layer in layers})
    model.metadata_props["edgedeblur.calibration"] = json.dumps(made)
    onnx_file.write_bytes(model_bytes(model))
    result = build(onnx_file)
    assert result["calibration"] == made
    assert result["key_parts"]["calibration_sha256"] == hashlib.sha256(json.dumps(made).encode()).hexdigest()
    assert result["quality"]["fp16_psnr_to_fp32"] is None, "calibrate has the gate of INT8"
    built = json.loads(Path(result["engine"]).with_suffix(".json").read_text())["layers"]
    assert result["key_parts"]["precision"] == "int8"
    assert {layer["precision"] for layer in built if layer["type"] == "QUANTIZE"} == {"INT8"}
    assert {layer["precision"] for layer in built if layer["type"] in ("CONVOLUTION", "DEQUANTIZE")} == {"FP16"}


def test_two_builds_of_one_engine_are_one_build(build: Build, onnx_file: Path) -> None:
    """The second waits for the first and then finds its engine."""
    options = ["--size", "64x96", "--toolkit", "tensorrt_rtx", "--compute-capability", "portable", "--json"]
    command = [sys.executable, "-m", "edgedeblur", "build", str(onnx_file), *options]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    results = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], results
    assert sorted(json.loads(out)["reused"] for out, _ in results) == [False, True]
    assert len(written(onnx_file.parent / "m")) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_build_and_leaves_nothing(rtx: None, onnx_file: Path, number: int) -> None:
    """The signal comes while TensorRT builds: it says so on a line of its own."""
    options = ["--size", "720x1280", "--toolkit", "tensorrt_rtx", "--compute-capability", "portable"]
    command = [sys.executable, "-m", "edgedeblur", "build", str(onnx_file), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "steps)" not in process.stderr.readline():
        assert process.poll() is None, "the build ended before it reported a phase"
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == ExitCode.INTERRUPTED, err
    assert "Traceback" not in err + out
    assert written(onnx_file.parent) == ["m.onnx"]


def test_second_signal_does_not_wait_for_the_step() -> None:
    left = threading.Event()
    asked = threading.Event()

    class Stopping:
        stopped = property(lambda _: asked.is_set())
        stop = staticmethod(asked.set)

    def long_step(*_: object) -> None:
        time.sleep(0.2)  # the main thread is to wait for the build by then
        _thread.interrupt_main()
        asked.wait(60)
        time.sleep(0.2)
        _thread.interrupt_main()
        left.wait(60)

    try:
        with pytest.raises(AskedTwice):
            _build(SimpleNamespace(build_serialized_network=long_step), None, None, cast(Progress, Stopping()))
    finally:
        left.set()


def test_second_signal_leaves_no_lock(rtx: None, onnx_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Left(Exception):
        """Stands for the end of the process."""

    def asked_twice(*_: object) -> None:
        assert [name for name in written(onnx_file.parent) if name.endswith(".lock")], "locked while it builds"
        raise AskedTwice

    def leave(code: int) -> None:
        assert (code, written(onnx_file.parent)) == (ExitCode.INTERRUPTED, ["m.onnx"])
        raise Left

    monkeypatch.setattr(making, "engine_from_onnx", asked_twice)
    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(Left):
        edgedeblur.main(["build", str(onnx_file), "--size", "64x96", "--toolkit", "tensorrt_rtx"])


def test_timing_cache_that_would_do_nothing_is_told(
    rtx: None, onnx_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--size", "64x96", "--toolkit", "tensorrt_rtx", "--compute-capability", "86"]
    assert edgedeblur.main(["build", str(onnx_file), *options, "--timing-cache", str(tmp_path / "t.timing")]) == 0
    assert "--timing-cache is ignored: tensorrt_rtx has" in capsys.readouterr().err


def test_verbose_prints_what_tensorrt_says(build: Build, onnx_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["build", str(onnx_file), "--size", "64x96", "--toolkit", "tensorrt_rtx", "--verbose"]
    assert edgedeblur.main([*command, "--compute-capability", "86"]) == 0
    assert "[INFO]" in capsys.readouterr().err


def test_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        edgedeblur.main(["build", "--help"])
    assert caught.value.code == 0
    assert "height x width" in capsys.readouterr().out
    assert build_command.__doc__ is not None
