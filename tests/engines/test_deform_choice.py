"""Plugin or Gather form: which is taken, why not the other, and where the plugin's library goes."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx_ir as ir
import pytest

import edgedeblur
from edgedeblur import ExitCode, Failure
from engines import build, build_command, deform_choice, making
from engines.artefact import Artefact, key_of, key_parts_of
from engines.build import BuildConfig, BuiltEngine
from engines.deform_choice import choose_deform
from engines.existing import find_existing
from engines.making import plugin_beside
from engines.plugin_library import PluginLibrary
from engines.sidecar import Source, sidecar_bytes, sidecar_of
from engines.toolkit import Toolkit
from export.passes import apply_passes, passes_for
from runtime.sessions.engine_file import read_engine
from runtime.sessions.gpu import Gpu
from runtime.sessions.size_range import fixed_size
from tests.engines.frame_graph import frame_graph
from tests.full_disk import full_disk

SOURCE = Path("m.onnx")
ORIN = Gpu("Orin", 87, True)
TENSORRT = Toolkit(SimpleNamespace(INetworkDefinition=SimpleNamespace(add_plugin_v3=None)), "tensorrt", "10.3.0", ORIN)
RTX = Toolkit(SimpleNamespace(INetworkDefinition=SimpleNamespace()), "tensorrt_rtx", "1.7", None)
COMPILED = PluginLibrary(Path("/cache/plugin.so"), "ab" * 32)
NAMED = PluginLibrary(Path("/mine/plugin.so"), "cd" * 32)


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for nvcc and TensorRT's headers: the plugin is to be had."""
    monkeypatch.setattr(deform_choice, "plugin_library", lambda toolkit: COMPILED)
    monkeypatch.setattr(deform_choice, "named_plugin", lambda path: NAMED)


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(toolkit: Toolkit) -> None:
        raise Failure("nvcc is not installed", ExitCode.ENVIRONMENT)

    monkeypatch.setattr(deform_choice, "plugin_library", missing)


def graph(form: str = "native") -> ir.Model:
    return apply_passes(ir.from_proto(frame_graph()), passes_for(form, "fp32"))


def choose(asked: str, toolkit: Toolkit = TENSORRT, named: str | None = None, form: str = "native") -> Any:
    return choose_deform(asked, None if named is None else Path(named), graph(form), SOURCE, toolkit)


def test_the_plugin_where_it_is_to_be_had(compiler: None) -> None:
    assert choose("auto") == choose("plugin") == ("plugin", COMPILED)
    assert choose("auto", named="mine.so") == ("plugin", NAMED)
    assert choose("auto", form="plugin") == ("plugin", COMPILED)
    assert choose("gather") == ("gather", None)
    assert choose("auto", RTX) == ("gather", None)
    assert choose("auto", form="gather") == ("gather", None), "what is lowered needs no plugin"


def test_a_lowered_file_that_could_have_had_the_plugin(compiler: None, capsys: pytest.CaptureFixture[str]) -> None:
    """What calibrate writes by default is lowered: users of the plugin are told what to do."""
    assert choose("auto", form="gather") == ("gather", None)
    assert "calibrate with --deform native" in capsys.readouterr().err
    assert choose("gather", form="gather") == choose("auto", RTX, form="gather") == ("gather", None)
    assert capsys.readouterr().err == ""


def test_auto_says_in_one_line_why_it_is_not_the_plugin(no_compiler: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert choose("auto") == ("gather", None)
    said = capsys.readouterr().err
    assert said == "building without our plugin, from standard operators (slower): nvcc is not installed\n"


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        ({"asked": "plugin"}, "nvcc is not installed", ExitCode.ENVIRONMENT),
        ({"asked": "auto", "form": "plugin"}, "nvcc is not installed", ExitCode.ENVIRONMENT),
        ({"asked": "plugin", "toolkit": RTX}, "tensorrt_rtx takes no plugins", ExitCode.USAGE),
        ({"asked": "auto", "toolkit": RTX, "named": "mine.so"}, "tensorrt_rtx takes no plugins", ExitCode.USAGE),
        ({"asked": "auto", "toolkit": RTX, "form": "plugin"}, "the file that export wrote", ExitCode.USAGE),
        ({"asked": "gather", "named": "mine.so"}, "leave one of them out", ExitCode.USAGE),
        ({"asked": "plugin", "form": "gather"}, "in gather form already", ExitCode.MODEL),
        ({"asked": "gather", "form": "plugin"}, "in plugin form already", ExitCode.MODEL),
    ],
)
def test_what_cannot_be(no_compiler: None, words: dict[str, Any], message: str, code: ExitCode) -> None:
    with pytest.raises(Failure, match=message) as caught:
        choose(**words)
    assert caught.value.code == code


@pytest.mark.parametrize("content", [None, b"", b"not a library"])
def test_a_named_library_that_is_none(
    onnx_file: Path, tmp_path: Path, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "p.so"
    if content is not None:
        library.write_bytes(content)
    with pytest.raises(Failure, match=r"p\.so") as caught:
        choose_deform("auto", library, graph(), onnx_file, TENSORRT)
    assert caught.value.code == ExitCode.USAGE


def test_command_passes_the_choice_on(rtx: None, onnx_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["build", str(onnx_file), "--size", "64x96", "--toolkit", "tensorrt_rtx", "--deform", "plugin"]
    assert edgedeblur.main(words) == ExitCode.USAGE
    assert "tensorrt_rtx takes no plugins" in capsys.readouterr().err


@pytest.fixture
def library(tmp_path: Path) -> PluginLibrary:
    path = tmp_path / "cache" / "plugin.so"
    path.parent.mkdir()
    path.write_bytes(b"\x7fELF and so on")
    return PluginLibrary(path, hashlib.sha256(path.read_bytes()).hexdigest())


def test_engine_and_library_are_written_together(
    library: PluginLibrary, rtx: None, onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT-RTX builds the Gather form here and is told that it was the plugin's: it takes none."""
    words = ["build", str(onnx_file), "--size", "64x96", "--toolkit", "tensorrt_rtx", "--save-engine"]
    engine = onnx_file.with_name("a.engine")
    really = build.engine_from_onnx

    def without_plugin(model: ir.Model, config: BuildConfig, *more: Any) -> BuiltEngine:
        assert config.plugin == library
        return really(model, dataclasses.replace(config, deform="gather", plugin=None), *more)

    monkeypatch.setattr(build_command, "choose_deform", lambda *_: ("plugin", library))
    monkeypatch.setattr(making, "engine_from_onnx", without_plugin)
    before = set(onnx_file.parent.iterdir())
    with full_disk(100_000):  # the library fits, the engine does not
        assert edgedeblur.main([*words, str(engine)]) == ExitCode.ENVIRONMENT
    assert set(onnx_file.parent.iterdir()) == before
    assert edgedeblur.main([*words, str(engine)]) == 0
    placed = engine.with_name(f"edgedeblur-plugin.{library.sha256[:12]}.so")
    assert read_engine(engine).plugin == placed
    assert placed.read_bytes() == library.path.read_bytes()
    assert read_engine(engine).hash_differences() == []


def test_engine_with_a_plugin(
    library: PluginLibrary, onnx_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sidecar says where the library is and its hash; another one is another engine; a lost one is named."""
    config = BuildConfig(fixed_size((64, 96)), deform="plugin", plugin=library)
    parts = key_parts_of("00", config, TENSORRT, "1")
    assert parts["plugin_sha256"] == library.sha256
    assert key_of(parts) != key_of({**parts, "plugin_sha256": "12" * 32})
    artefact = Artefact(tmp_path / "m" / "m.engine")
    artefact.engine.parent.mkdir()
    placed = plugin_beside(library, artefact.engine)
    placed.path.write_bytes(library.path.read_bytes())
    built = BuiltEngine(b"ftrt plan", [], [], False, [], 1.0, 1, None)
    sidecar = sidecar_of(built, parts, Source(onnx_file, "00", {}, None, []), artefact, placed)
    assert sidecar["plugin"] == {"file": placed.path.name, "sha256": library.sha256}
    artefact.engine.write_bytes(built.plan)
    artefact.sidecar.write_bytes(sidecar_bytes(sidecar))
    assert read_engine(artefact.engine).plugin == placed.path
    assert find_existing(artefact, parts) is not None
    placed.path.unlink()
    assert find_existing(artefact, parts) is None

    assert "not used: m.engine: plugin.sha256 is missing, expected " in capsys.readouterr().err
