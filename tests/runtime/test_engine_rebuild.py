"""An engine that was really built, by TensorRT-RTX on the CPU, and is really built again where it does not fit."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from edgedeblur import ExitCode, Failure, main
from runtime.sessions.engine_check import Machine
from runtime.sessions.engine_context import EngineContext
from runtime.sessions.engine_file import read_engine
from runtime.sessions.engine_rebuild import usable_engine
from runtime.sessions.gpu import Gpu, find_gpu, find_platform

trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed (pip install -e '.[engines]')")
MODEL = Path(__file__).parents[2] / "runtime" / "weights" / "edge-n.onnx"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An engine of edge-n for 64x96, for no GPU in particular, with its sidecar."""
    folder = tmp_path_factory.mktemp("engines")
    assert main(["build", str(MODEL), "--size", "64x96", "--toolkit", "tensorrt_rtx", "--engine-dir", str(folder)]) == 0
    return next(folder.glob("edge-n/*.engine"))


@pytest.fixture
def engine(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, on a machine with a GPU that it is for."""
    machine = Machine(trt.__version__, Gpu("RTX", 89, False), find_platform())
    monkeypatch.setattr("runtime.sessions.engine_rebuild.this_machine", lambda toolkit: machine)
    folder = tmp_path / "edge-n"
    folder.mkdir()
    sidecar = json.loads(built.with_suffix(".json").read_text())
    sidecar["onnx"]["path"] = str(MODEL)
    (folder / built.name).write_bytes(built.read_bytes())
    (folder / built.name).with_suffix(".json").write_text(json.dumps(sidecar))
    return folder / built.name


def test_the_builders_sidecar_is_what_is_read(built: Path) -> None:
    engine = read_engine(built)
    assert engine.toolkit == "tensorrt_rtx"
    assert engine.onnx == MODEL.resolve()
    assert engine.plugin is None
    assert engine.model["preset"] == "edge-n"
    assert engine.key_parts["precision"] == "fp16"
    assert engine.hash_differences() == []


def test_an_engine_that_fits_is_taken_as_it_is(engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert usable_engine(engine, "auto", pytest.fail).path == engine


@pytest.mark.parametrize("what", ["version", "plan"])
def test_one_that_does_not_is_built_again(engine: Path, what: str) -> None:
    if what == "plan":
        engine.write_bytes(engine.read_bytes()[:-100])
    else:
        sidecar = json.loads(engine.with_suffix(".json").read_text())
        sidecar["key_parts"]["toolkit_version"] = "1.6.1"
        engine.with_suffix(".json").write_text(json.dumps(sidecar))
    with pytest.raises(Failure, match=r"plan_sha256 is|toolkit_version is 1\.6\.1") as caught:
        usable_engine(engine, "never", print)
    assert caught.value.code == ExitCode.MODEL
    notes: list[str] = []
    again = usable_engine(engine, "auto", notes.append)
    assert "Building it again: edgedeblur build" in notes[0]
    assert again.hash_differences() == []
    assert again.key_parts["toolkit_version"] == trt.__version__
    assert again.path.parent == engine.parent


@pytest.mark.parametrize("name", ["as it was", "mine.engine"])
def test_the_command_that_is_printed_mends(engine: Path, name: str) -> None:
    """Also for an engine whose name the user chose."""
    if name != "as it was":
        engine.with_suffix(".json").rename(engine.with_name("mine.json"))
        engine = engine.rename(engine.with_name(name))
    engine.write_bytes(engine.read_bytes()[:-100])
    with pytest.raises(Failure, match="build it again with: edgedeblur build") as caught:
        usable_engine(engine, "never", print)
    assert main(shlex.split(str(caught.value).partition("with: edgedeblur ")[2])) == 0
    assert usable_engine(engine, "never", pytest.fail).path == engine


def test_an_onnx_file_that_is_gone_is_named(engine: Path) -> None:
    sidecar = json.loads(engine.with_suffix(".json").read_text())
    sidecar["onnx"]["path"] = "gone/edge-n.onnx"
    engine.with_suffix(".json").write_text(json.dumps(sidecar))
    engine.write_bytes(engine.read_bytes()[:-100])
    with pytest.raises(Failure, match=r"its ONNX file is not at '.*gone/edge-n.onnx' any more.*build MODEL.onnx"):
        usable_engine(engine, "auto", print)


@pytest.mark.parametrize("sidecar", [True, False])
def test_nothing_is_built_where_nothing_could_run(built: Path, tmp_path: Path, sidecar: bool) -> None:
    if find_gpu() is not None:
        pytest.skip("this machine has a GPU")
    broken = tmp_path / built.name
    broken.write_bytes(built.read_bytes()[:-100])
    if sidecar:
        known = json.loads(built.with_suffix(".json").read_text())
        known["onnx"]["path"] = str(MODEL)
        broken.with_suffix(".json").write_text(json.dumps(known))
    with pytest.raises(Failure, match="this machine shows none") as caught:
        usable_engine(broken, "auto", print)
    assert caught.value.code == ExitCode.ENVIRONMENT
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ([".engine", ".json"] if sidecar else [".engine"])


def test_a_rebuild_that_fails_says_so_with_the_builds_code(engine: Path) -> None:
    sidecar = json.loads(engine.with_suffix(".json").read_text())
    sidecar["key_parts"]["toolkit_version"] = "1.6.1"
    sidecar["rebuild"] = ["--size", "1x1"]
    engine.with_suffix(".json").write_text(json.dumps(sidecar))
    with pytest.raises(Failure, match="again failed, see above") as caught:
        usable_engine(engine, "auto", print)
    assert caught.value.code == ExitCode.USAGE


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")
def test_what_the_real_toolkit_says_is_told(built: Path) -> None:
    with pytest.raises(
        Failure, match=r"cannot be loaded: .*driver version is insufficient.*update the NVIDIA driver"
    ) as (caught):
        EngineContext(read_engine(built))
    assert caught.value.code == ExitCode.ENVIRONMENT


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")
def test_without_a_gpu_the_machine_is_what_is_missing(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "test://96x64", "--frames", "3", "--model", str(built)]) == ExitCode.ENVIRONMENT
    assert "engines run on an NVIDIA GPU and this machine shows none" in capsys.readouterr().err
