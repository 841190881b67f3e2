"""Which engine is run: hashes, machine, plugin."""

from __future__ import annotations

import contextlib
import errno
import json
from pathlib import Path
from typing import Any

import pytest

from edgedeblur import ExitCode, Failure
from runtime.sessions.engine_file import read_engine
from runtime.sessions.engine_rebuild import usable_engine
from runtime.sessions.engine_search import engines_for, fits
from runtime.sessions.gpu import Gpu
from runtime.sessions.tensorrt_session import TensorRTSession
from tests.runtime.cuda_stub.fixtures import SIZE, Change, MakeEngine

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
