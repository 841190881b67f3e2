"""`build --save-engine NAME`: no file beside it, and none of its name, is lost that is not ours to replace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import edgedeblur
from edgedeblur import ExitCode
from tests.engines.conftest import Build


def save(onnx: Path, engine: Path, *options: str) -> int:
    portable = ("--toolkit", "tensorrt_rtx", "--compute-capability", "portable")
    return edgedeblur.main(["build", str(onnx), "--size", "64x96", *portable, "--save-engine", str(engine), *options])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    "name", ["best.pt", "x.json", "x.lock", "m.onnx", "x", ".engine", "x.ENGINE.txt", "x.timing", "x.partial"]
)
def test_other_names_are_refused(onnx_file: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (onnx_file.parent / "best.pt").write_bytes(b"weeks of training")
    before = contents(onnx_file.parent)
    assert save(onnx_file, onnx_file.parent / name, "--force") == ExitCode.USAGE
    assert "ending in .engine or .plan" in capsys.readouterr().err
    assert contents(onnx_file.parent) == before


def test_files_named_alike_are_left_alone(rtx: None, onnx_file: Path, tmp_path: Path) -> None:
    for name in ("poetry.lock", "poetry.engine.lock", "poetry.engine.tmp"):
        (tmp_path / name).write_text("mine")
    before = contents(tmp_path)
    assert save(onnx_file, tmp_path / "poetry.engine") == 0
    after = contents(tmp_path)
    assert before.items() <= after.items()
    assert set(after) - set(before) == {"poetry.engine", "poetry.json"}


@pytest.mark.parametrize("force", [(), ("--force",)])
@pytest.mark.parametrize("content", ['{"name": "web"}', "[]", "", "{"])
def test_json_of_somebody_else(
    rtx: None, onnx_file: Path, tmp_path: Path, content: str, force: tuple[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "package.json").write_text(content)
    before = contents(tmp_path)
    assert save(onnx_file, tmp_path / "package.engine", *force) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert "package.json" in error
    assert "another name" in error
    assert contents(tmp_path) == before


def test_plan_of_somebody_else(rtx: None, onnx_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "holiday.plan").write_text("Monday: beach")
    assert save(onnx_file, tmp_path / "holiday.plan") == ExitCode.USAGE
    assert "add --force" in capsys.readouterr().err
    assert contents(tmp_path)["holiday.plan"] == b"Monday: beach"
    assert save(onnx_file, tmp_path / "holiday.plan", "--force") == 0


def test_another_engine_needs_force(build: Build, onnx_file: Path, tmp_path: Path) -> None:
    engine = tmp_path / "a.engine"
    build(onnx_file, "--save-engine", str(engine))
    assert build(onnx_file, "--save-engine", str(engine))["reused"]
    before = contents(tmp_path)
    assert save(onnx_file, engine, "--fp32") == ExitCode.USAGE
    assert contents(tmp_path) == before
    assert save(onnx_file, engine, "--fp32", "--force") == 0
    assert json.loads(engine.with_suffix(".json").read_text())["key_parts"]["precision"] == "fp32"


@pytest.mark.parametrize("harmed", [".engine", ".json"])
def test_damaged_engine_needs_force(build: Build, onnx_file: Path, tmp_path: Path, harmed: str) -> None:
    build(onnx_file, "--save-engine", str(tmp_path / "a.engine"))
    path = tmp_path / f"a{harmed}"
    path.write_bytes(path.read_bytes()[:-100])
    assert save(onnx_file, tmp_path / "a.engine") == ExitCode.USAGE
    assert save(onnx_file, tmp_path / "a.engine", "--force") == 0
    assert build(onnx_file, "--save-engine", str(tmp_path / "a.engine"))["reused"]


def test_sidecar_of_the_engine_beside(
    build: Build, onnx_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """a.engine and a.plan would share a.json."""
    build(onnx_file, "--save-engine", str(tmp_path / "a.engine"))
    before = contents(tmp_path)
    assert save(onnx_file, tmp_path / "a.plan", "--fp32", "--force") == ExitCode.USAGE
    assert "is the sidecar of a.engine" in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_folder_and_device(rtx: None, onnx_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder.engine").mkdir()
    (tmp_path / "device.engine").symlink_to("/dev/null")
    (tmp_path / "side.json").mkdir()
    for name, found in (("folder", "is a folder"), ("device", "is a device"), ("side", "is a folder")):
        assert save(onnx_file, tmp_path / f"{name}.engine", "--force") == ExitCode.ENVIRONMENT
        assert found in capsys.readouterr().err
    shutil.rmtree(tmp_path / "side.json")
    assert save(onnx_file, tmp_path / "side.engine") == 0
