"""`edgedeblur inspect`: engines with, without and against their sidecar, and ONNX files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import edgedeblur
from edgedeblur import ExitCode
from engines.inspection import trtexec_command
from runtime.sessions.engine_file import EngineFile
from runtime.sessions.gpu import find_gpu
from tests.engines.conftest import Build


def inspect(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = edgedeblur.main(["inspect", *map(str, arguments)])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return code, printed.out, printed.err


@pytest.fixture
def engine(build: Build, onnx_file: Path) -> Path:
    return Path(build(onnx_file)["engine"])


def test_engine(engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = inspect(capsys, engine)
    assert code == 0
    for part in ("tensorrt_rtx plan", "precision: fp16", "name frame", "CONVOLUTION", "FP16", "parity: -"):
        assert part in out


def test_json_is_the_whole_story(engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = inspect(capsys, engine, "--json")
    described = json.loads(out)
    assert (code, described["plan_toolkit"], described["differs"]) == (0, "tensorrt_rtx", [])
    assert described["sidecar"] == json.loads(engine.with_suffix(".json").read_text())
    assert {"name", "type", "precision", "shape"} == set(described["layers"][0])


def test_engine_without_sidecar(engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine.with_suffix(".json").unlink()
    code, out, _ = inspect(capsys, engine)
    assert code == 0
    assert "tensorrt_rtx plan" in out
    assert "no sidecar" in out


def test_sidecar_that_somebody_edited(engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not as build writes it is not shown as layers; the rest is."""
    path = engine.with_suffix(".json")
    written = json.loads(path.read_text())
    layer = written["layers"][0]
    for layers in (3, "x", [1], {"a": 1}, [layer, None], [{"name": "x"}], [{**layer, "shape": 3}]):
        path.write_text(json.dumps({**written, "layers": layers}))
        code, out, _ = inspect(capsys, engine)
        assert code == 0
        assert "precision: fp16" in out
        assert "layers: " not in out
    for size in (3, "x", [1], None):
        edited = {**written, "key_parts": {**written["key_parts"], "size": size, "min_size": [1, 1]}}
        path.write_text(json.dumps(edited))
        code, _, err = inspect(capsys, engine)
        assert code == ExitCode.MODEL
        assert "key is" in err


def test_plan_that_is_not_the_sidecars(engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = bytearray(engine.read_bytes())
    plan[-1] ^= 1
    engine.write_bytes(plan)
    code, _, err = inspect(capsys, engine)
    assert code == ExitCode.MODEL
    assert "plan_sha256 is" in err
    assert "plan_bytes" not in err, "only what differs is named"
    assert "--force" in err


def test_sidecar_that_was_edited(engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sidecar = json.loads(engine.with_suffix(".json").read_text())
    sidecar["key_parts"]["precision"] = "fp32"
    engine.with_suffix(".json").write_text(json.dumps(sidecar))
    code, _, err = inspect(capsys, engine)
    assert code == ExitCode.MODEL
    assert "key is" in err


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": "else/9"}', ""])
def test_damaged_sidecar(engine: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    engine.with_suffix(".json").write_text(content)
    code, _, err = inspect(capsys, engine)
    assert code == ExitCode.MODEL
    assert "--force" in err


@pytest.mark.parametrize("content", [b"", b"vtr", b"\x00\x01\x02\x03 plan", b"{}"])
def test_file_that_is_no_plan(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.engine").write_bytes(content)
    code, _, err = inspect(capsys, tmp_path / "m.engine")
    assert code == ExitCode.MODEL
    assert "is no TensorRT plan" in err


def test_full_tensorrt_plan_is_told_by_its_header(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Works where TensorRT is not installed: the header alone says who wrote it."""
    (tmp_path / "m.engine").write_bytes(b"ftrt" + bytes(60))
    code, out, _ = inspect(capsys, tmp_path / "m.engine")
    assert code == 0
    assert "tensorrt plan, 64 bytes" in out


def test_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("no.engine", "no.onnx"):
        code, _, err = inspect(capsys, tmp_path / name)
        assert code == ExitCode.MODEL
        assert "does not exist" in err


def test_onnx(onnx_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = inspect(capsys, onnx_file)
    assert code == 0
    for part in ("edgedeblur.preset: stand-in", "DeformConv: 2", "frame UINT8", "FLOAT: "):
        assert part in out
    described = json.loads(inspect(capsys, onnx_file, "--json")[1])
    assert described["operators"]["DeformConv"] == 2


def test_suffix_in_capitals(onnx_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = inspect(capsys, onnx_file.rename(onnx_file.with_name("M.ONNX")))
    assert code == 0
    assert "DeformConv: 2" in out


@pytest.mark.parametrize("name", ["folder", "folder.engine", "folder.onnx"])
def test_folder(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).mkdir()
    code, _, err = inspect(capsys, tmp_path / name)
    assert code == ExitCode.MODEL
    assert "is a folder" in err


def test_the_toolkits_own_program(engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The plan is the plain plan, so trtexec loads it; a range of sizes and a plugin are said on its command line."""
    assert json.loads(inspect(capsys, engine, "--json")[1])["trtexec"] == f"tensorrt_rtx --loadEngine={engine}"
    sidecar = {"schema": "edgedeblur.engine/2", "plugin": {"file": "p lib.so", "sha256": "00"}}
    sizes = {"min_size": [32, 48], "size": [64, 96], "max_size": [128, 192]}
    file = EngineFile(tmp_path / "m.engine", b"ftrt", "tensorrt", {**sidecar, "key_parts": sizes})
    assert trtexec_command(file) == (
        f"trtexec --loadEngine={tmp_path}/m.engine '--dynamicPlugins={tmp_path}/p lib.so' --shapes=frame:64x96x3"
    )


def test_onnx_that_changed_since(engine: Path, onnx_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx_file.write_bytes(onnx_file.read_bytes() + b"\x00")
    code, out, _ = inspect(capsys, engine)
    assert code == 0, "the engine is whole"
    assert "the ONNX file has changed since (onnx.sha256 is " in out


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU: times are measured, by `make gpu`")
def test_times_need_a_gpu(engine: Path, onnx_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = inspect(capsys, engine, "--times")
    assert code == ExitCode.ENVIRONMENT
    assert "cannot be measured: this machine has no GPU" in err
    code, _, err = inspect(capsys, onnx_file, "--times")
    assert code == ExitCode.USAGE
    assert "--times is for engines" in err
