"""An engine that is there and not the one asked for: the fields that differ are said, with both values, first."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import edgedeblur
from edgedeblur import ExitCode, Failure
from engines import build_command
from engines.artefact import key_of
from tests.engines.conftest import Build

PORTABLE = ("--toolkit", "tensorrt_rtx", "--compute-capability", "portable")


def rewrite(engine: Path, **parts: Any) -> Path:
    """Make the engine one that was built elsewhere: name, key and key parts as its own build would have made them."""
    sidecar = json.loads(engine.with_suffix(".json").read_text())
    sidecar["key_parts"] |= parts
    sidecar["key"], old = key_of(sidecar["key_parts"]), sidecar["key"]
    sidecar["build"]["seconds"] = 312.4
    renamed = engine.with_name(engine.name.replace(old, sidecar["key"]))
    engine.with_suffix(".json").rename(renamed.with_suffix(".json")).write_text(json.dumps(sidecar))
    return engine.rename(renamed)


def rebuild(onnx_file: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert edgedeblur.main(["build", str(onnx_file), "--size", "64x96", *PORTABLE, *words]) == 0
    return capsys.readouterr().err


ELSEWHERE: dict[str, Any] = {
    "toolkit_version": "1.6.1.120",
    "gpu": "Orin",
    "sm": ["87"],
    "platform": "jetson",
    "onnx_sha256": "ab" * 32,
    "plugin_sha256": "cd" * 32,
    "deform": "plugin",
    "workspace_gib": 2.0,
}
SAID = [
    "toolkit_version is 1.6.1.120, now 1.",
    "gpu is Orin, now portable",
    "sm is 87, now 80 86 89 ",
    "platform is jetson, now x86",
    "onnx_sha256 is abababababab…, now ",
    "plugin_sha256 is cdcdcdcdcdcd…, now none",
    "deform is plugin, now gather",
    "workspace_gib is 2.0, now none",
]


def test_every_field_that_differs_is_named(build: Build, onnx_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    older = rewrite(Path(build(onnx_file)["engine"]), **ELSEWHERE)
    err = rebuild(onnx_file, capsys)
    line = next(line for line in err.splitlines() if line.startswith(f"not used: {older.stem}: "))
    assert [said for said in SAID if said not in line] == []
    assert line.count("; ") == len(SAID) - 1, "and no other"
    assert "which took 312 s last time" in err
    assert older.is_file(), "an engine for another machine may still be wanted there"


def test_other_sizes_and_precisions_are_other_engines(
    build: Build, onnx_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build(onnx_file, size="64x128")
    build(onnx_file, "--fp32")
    err = rebuild(onnx_file, capsys)
    assert "not used" not in err
    assert "last time" not in err


def test_damaged_and_foreign_files_beside_it_say_nothing(
    build: Build, onnx_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(build(onnx_file)["engine"]).parent
    for path in folder.iterdir():
        path.unlink()
    (folder / "m.64x96.b1.fp16.notes.json").write_text("{")
    (folder / "m.64x96.b1.fp16.old.json").write_text('{"schema": "edgedeblur.engine/1"}')
    (folder / "m.64x96.b1.fp16.odd.json").write_text('{"schema": "edgedeblur.engine/2", "key_parts": 3, "build": []}')
    (folder / "m.64x96.b1.fp16.new.json").write_text(
        '{"schema": "edgedeblur.engine/2", "key_parts": {}, "build": {"seconds": "long"}}'
    )
    assert "last time" not in rebuild(onnx_file, capsys)


def test_a_sidecar_that_somebody_edited_is_not_used(
    build: Build, onnx_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def making(*_: object) -> None:
        raise Failure("would be built again", ExitCode.SOURCE)

    sidecar = Path(build(onnx_file)["engine"]).with_suffix(".json")
    written = json.loads(sidecar.read_text())
    parity = {"psnr": 60.0, "worst_frame": "one", "frames": ["one"]}
    monkeypatch.setattr(build_command, "make_engine", making)

    def code(**quality: object) -> int:
        sidecar.write_text(json.dumps({**written, "quality": {**written["quality"], **quality}}))
        return edgedeblur.main(["build", str(onnx_file), "--size", "64x96", *PORTABLE])

    assert code(parity=parity) == 0
    for below in ({"fp16_psnr_to_fp32": 3}, {"fp16_psnr_to_fp32": math.nan}, {"parity": {**parity, "psnr": math.nan}}):
        assert code(**below) == ExitCode.QUALITY
    capsys.readouterr()
    for damaged in (3, "x", [1], {"psnr": 60.0}, {**parity, "psnr": None}, {**parity, "frames": 3}):
        assert code(parity=damaged) == ExitCode.SOURCE
        assert "'quality' is not what build writes" in capsys.readouterr().err
    for wrong in ("x", [1], {"a": 1}):
        assert code(fp16_psnr_to_fp32=wrong) == ExitCode.SOURCE
    sidecar.write_text(json.dumps({**written, "quality": [1]}))
    assert edgedeblur.main(["build", str(onnx_file), "--size", "64x96", *PORTABLE]) == ExitCode.SOURCE


def test_a_name_of_ones_own_says_what_differs_too(
    build: Build, onnx_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = tmp_path / "a.engine"
    build(onnx_file, "--save-engine", str(engine))
    words = ["build", str(onnx_file), "--size", "64x96", *PORTABLE, "--save-engine", str(engine), "--fp32"]
    assert edgedeblur.main(words) == ExitCode.USAGE
    assert "not used: a.engine: precision is fp16, now fp32" in capsys.readouterr().err


def test_the_same_words_build_the_same_again(build: Build, onnx_file: Path, tmp_path: Path) -> None:
    """What the sidecar keeps for `run`, which builds again from it, gives the same key."""
    options = ("--workspace", "0.5", "--builder-optimization-level", "1", "--fp32", "--min-psnr", "40")
    first = build(onnx_file, *options)
    words = first["rebuild"]
    assert {"--size", "--workspace", "--precision", "--toolkit", "--compute-capability", "--min-psnr"} <= set(words)
    assert not {"--force", "--json", "--save-engine", "--engine-dir", str(onnx_file)} & set(words)
    command = ["build", str(onnx_file), *words, "--engine-dir", str(tmp_path / "again")]
    assert edgedeblur.main(command) == 0
    again = next((tmp_path / "again").rglob("*.engine"))
    assert again.name == Path(first["engine"]).name


def test_paths_in_the_words_hold_from_anywhere(
    rtx: None, onnx_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--size", "64x96", *PORTABLE, "--timing-cache", "mine.timing", "--save-engine", "a.engine"]
    assert edgedeblur.main(["build", str(onnx_file), *words]) == 0
    assert str(tmp_path / "mine.timing") in json.loads((tmp_path / "a.json").read_text())["rebuild"]
