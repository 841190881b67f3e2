"""Which engine is run: hashes, machine, plugin, rebuilding, and what `auto` takes."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgedeblur import ExitCode, Failure
from runtime import models
from runtime.engine_file import EngineFile, read_engine
from runtime.engine_rebuild import usable_engine
from runtime.engine_search import engines_for, fits
from runtime.gpu import Gpu
from runtime.models import ModelOptions, open_session
from runtime.tensorrt_session import TensorRTSession
from tests.runtime.cuda_stub.fixtures import SIZE, MakeEngine, write_sidecar

Change = Callable[..., EngineFile]


@pytest.fixture
def change(make_engine: MakeEngine) -> Change:
    """An engine whose sidecar's fields are others; a dotted name goes into an inner object."""

    def make(**fields: Any) -> EngineFile:
        engine = make_engine()
        path = engine.path.with_suffix(".json")
        sidecar = json.loads(path.read_text())
        for field, value in fields.items():
            outer, _, inner = field.rpartition("__")
            (sidecar[outer] if outer else sidecar)[inner] = value
        path.write_text(json.dumps(sidecar))
        return read_engine(engine.path)

    return make


MISMATCHES = [
    ("toolkit_version", "10.13.3", "10.3.0"),
    ("toolkit", "tensorrt_rtx", "tensorrt"),
    ("gpu", "Orin", "Stub GPU"),
    ("platform", "jetson", "x86"),
    ("sm", ["87", "90"], "89"),
]


@pytest.mark.parametrize(("field", "engine_has", "machine_has"), MISMATCHES, ids=lambda value: str(value))
def test_an_engine_of_another_machine_is_refused_by_field(
    change: Change, field: str, engine_has: Any, machine_has: str
) -> None:
    engine = change(**{f"key_parts__{field}": engine_has})
    found = " ".join(engine_has) if isinstance(engine_has, list) else engine_has
    words = (
        rf"{field} is {found}, expected {machine_has}; build it again with: edgedeblur build .*half.onnx --size 36x52"
    )
    with pytest.raises(Failure, match=words) as caught:
        usable_engine(engine.path, "never", print)
    assert caught.value.code == ExitCode.MODEL


def test_every_field_that_differs_is_named(change: Change) -> None:
    engine = change(key_parts__sm=["75"], key_parts__gpu="T4", key_parts__toolkit_version="8.6")
    with pytest.raises(Failure, match=r"toolkit_version is 8\.6.*gpu is T4.*sm is 75"):
        usable_engine(engine.path, "never", print)


def test_an_engine_for_several_gpus_may_be_portable(change: Change) -> None:
    engine = change(key_parts__sm=["86", "89"], key_parts__gpu="portable")
    assert usable_engine(engine.path, "never", print).plan == engine.plan


def test_a_plan_that_was_touched_is_never_loaded(make_engine: MakeEngine, toolkit: Any) -> None:
    engine = make_engine()
    engine.path.write_bytes(engine.plan + b" ")
    with pytest.raises(Failure, match=r"plan_sha256 is \w{64}, expected \w{64}") as caught:
        usable_engine(engine.path, "never", print)
    assert caught.value.code == ExitCode.MODEL


def test_an_onnx_file_that_changed(make_engine: MakeEngine, onnx: Path) -> None:
    engine = make_engine()
    onnx.write_bytes(onnx.read_bytes() + b"\x00")
    with pytest.raises(Failure, match=r"onnx\.sha256 is"):
        usable_engine(engine.path, "never", print)
    onnx.unlink()  # of one that is gone nobody can say anything
    usable_engine(engine.path, "never", print)


def test_a_plain_plan_is_run_with_a_warning(make_engine: MakeEngine) -> None:
    notes: list[str] = []
    engine = usable_engine(make_engine(sidecar=False).path, "auto", notes.append)
    assert "nothing could be checked" in notes[0]
    TensorRTSession(engine).close()


@pytest.mark.parametrize(
    ("content", "words"), [(b"{", "cannot be read"), (b'{"schema": "edgedeblur.engine/1"}', "has schema")]
)
def test_a_damaged_sidecar_is_not_passed_over(make_engine: MakeEngine, content: bytes, words: str) -> None:
    engine = make_engine()
    engine.path.with_suffix(".json").write_bytes(content)
    with pytest.raises(Failure, match=words) as caught:
        read_engine(engine.path)
    assert caught.value.code == ExitCode.MODEL


HOSTILE = ["null", "true", "-1", "1e400", "NaN", '"x"', "[]", "{}", "[null]", '["a", "b"]', "[1, 2, 3]", "[[1], {}]"]
HOSTILE += [
    str(10**40),
    "[" * 900 + "]" * 900,
    r'"a\u0000b"',
    r'"\ud800"',
    f'"{"a" * 5000}"',
    '"../../../dev/zero"',
    '"/"',
]
PLACES = ["plan_sha256", "key_parts", "model", "onnx", "plugin", "rebuild", "onnx/path", "onnx/sha256", "model/preset"]
PLACES += [f"key_parts/{part}" for part in ("toolkit", "toolkit_version", "sm", "gpu", "platform", "size", "min_size")]


@pytest.mark.parametrize("place", [*PLACES, "plugin/file"])
def test_a_sidecar_with_anything_in_it_ends_in_words(make_engine: MakeEngine, place: str) -> None:
    engine = make_engine()
    sidecar = json.loads(engine.path.with_suffix(".json").read_text())
    sidecar["plugin"] = {"file": "plugin.so", "sha256": "0"} if place == "plugin/file" else None
    *outer, field = place.split("/")
    (sidecar[outer[0]] if outer else sidecar)[field] = "HERE"
    for hostile in HOSTILE:
        engine.path.with_suffix(".json").write_text(json.dumps(sidecar).replace('"HERE"', hostile))
        for look in (lambda: usable_engine(engine.path, "never", print), lambda: chosen_by_auto(engine.path)):
            with contextlib.suppress(Failure):
                look()


def chosen_by_auto(path: Path) -> None:
    fits(read_engine(path), SIZE)
    assert engines_for(Gpu("Stub GPU", 89, False), path.parent.parent, [path.parent.name])


def test_an_onnx_file_that_may_not_be_looked_at_is_as_good_as_gone(
    make_engine: MakeEngine, onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that another user built from files of their own."""
    engine, is_file = make_engine(), Path.is_file

    def guarded(path: Path) -> bool:
        if path == onnx:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", guarded)
    assert usable_engine(engine.path, "auto", pytest.fail).plan == engine.plan


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no plan"])
def test_what_is_no_plan(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "no.engine").write_bytes(content)
    with pytest.raises(Failure, match="is no TensorRT plan"):
        read_engine(tmp_path / "no.engine")
    with pytest.raises(Failure, match="does not exist"):
        read_engine(tmp_path / "none.engine")


def test_the_plugin_is_loaded_once_its_hash_is_right(make_engine: MakeEngine, toolkit: Any, change: Change) -> None:
    import hashlib

    library = make_engine().path.with_name("plugin.so")
    library.write_bytes(b"a library")
    plugin = {"file": library.name, "sha256": hashlib.sha256(b"a library").hexdigest()}
    engine = usable_engine(change(plugin=plugin).path, "never", print)
    TensorRTSession(engine).close()
    TensorRTSession(engine).close()  # TensorRT refuses a library whose operator it knows
    assert toolkit.loaded_libraries == [str(library)]

    library.write_bytes(b"another library")
    with pytest.raises(Failure, match=r"plugin\.sha256 is \w{64}, expected"):
        usable_engine(engine.path, "never", print)
    library.unlink()
    with pytest.raises(Failure, match=r"plugin\.sha256 is missing, expected"):
        usable_engine(engine.path, "never", print)
    assert toolkit.loaded_libraries == [str(library)]


def test_a_plugin_that_cannot_be_loaded(change: Change) -> None:
    import hashlib

    engine = change(plugin={"file": "plugin.so", "sha256": hashlib.sha256(b"broken").hexdigest()})
    engine.path.with_name("plugin.so").write_bytes(b"broken")
    with pytest.raises(Failure, match=r"plugin library .*plugin.so' cannot be loaded.*edgedeblur build") as caught:
        TensorRTSession(usable_engine(engine.path, "never", print))
    assert caught.value.code == ExitCode.MODEL


BUILD = """
import json, shutil, sys
from pathlib import Path
if {code}:
    sys.exit({code})
words = sys.argv[1:]
Path({said!r}).write_text(json.dumps(words))
print(json.dumps({{"engine": {engine!r}}}))
"""


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`edgedeblur build` is a program that says which engine it built, and writes down how it was called."""

    def stand_in(engine: Path, code: int = 0) -> Path:
        program, said = tmp_path / "program" / "edgedeblur.py", tmp_path / "said.json"
        program.parent.mkdir(exist_ok=True)
        program.write_text(BUILD.format(code=code, said=str(said), engine=str(engine)))
        monkeypatch.setattr("runtime.engine_rebuild.edgedeblur.__file__", str(program))
        return said

    return stand_in


def test_an_engine_of_another_machine_is_built_again(
    change: Change, make_engine: MakeEngine, build: Callable[..., Path], onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")  # the program beside us must not be found instead
    good = make_engine(name="good.engine")
    said = build(good.path)
    engine = change(key_parts__sm=["75"])
    notes: list[str] = []
    assert usable_engine(engine.path, "auto", notes.append).path == good.path
    assert "sm is 75, expected 89. Building it again: edgedeblur build" in notes[0]
    words = ["build", str(onnx), "--size", "36x52", "--precision", "fp16"]
    assert json.loads(said.read_text()) == [*words, "--engine-dir", str(onnx.parent), "--json"]


def test_a_rebuild_that_does_not_mend_it_is_not_tried_for_ever(
    change: Change, build: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    engine = change(key_parts__sm=["75"])
    build(engine.path)
    with pytest.raises(Failure, match="sm is 75"):
        usable_engine(engine.path, "auto", print)


@pytest.mark.parametrize(("code", "expected"), [(7, ExitCode.MEMORY), (3, ExitCode.ENVIRONMENT), (99, ExitCode.MODEL)])
def test_a_rebuild_that_fails_gives_its_code(
    change: Change, build: Callable[..., Path], code: int, expected: ExitCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    engine = change(key_parts__sm=["75"])
    build(engine.path, code)
    with pytest.raises(Failure, match=r"building .* again failed, see above") as caught:
        usable_engine(engine.path, "auto", print)
    assert caught.value.code == expected


def test_a_rebuild_that_is_killed_says_what_kills(
    change: Change, build: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    engine = change(key_parts__sm=["75"])
    program = build(engine.path).parent / "program" / "edgedeblur.py"
    program.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(Failure, match=r"was killed \(SIGKILL\).*memory.*--workspace") as caught:
        usable_engine(engine.path, "auto", print)
    assert caught.value.code == ExitCode.MEMORY


WAITS = """
import pathlib, signal, sys, time
def end(*_):
    pathlib.Path({done!r}).touch()
    sys.exit(130)
signal.signal(signal.SIGTERM, end)
print("up", file=sys.stderr, flush=True)
pathlib.Path({up!r}).touch()
time.sleep(60)
"""


def test_a_rebuild_is_ended_with_us_and_may_clean_up(
    change: Change, build: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    engine, up, done = change(key_parts__sm=["75"]), tmp_path / "up", tmp_path / "done"
    program = build(engine.path).parent / "program" / "edgedeblur.py"
    program.write_text(WAITS.format(up=str(up), done=str(done)))

    def interrupt() -> None:
        while not up.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)  # to us alone, as a service manager does it

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        usable_engine(engine.path, "auto", print)
    assert done.exists()


def test_without_the_onnx_file_it_cannot_be_built_again(change: Change, onnx: Path) -> None:
    engine = change(key_parts__sm=["75"])
    onnx.unlink()
    with pytest.raises(Failure, match="sm is 75"):
        usable_engine(engine.path, "auto", print)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`--model auto` looks for engines in an empty place."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("runtime.models.WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(
        "runtime.models.shipped_weights", lambda name, version: (models_weights / f"{name}.onnx", "shipped weights")
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
