"""Building an engine again that is not for this machine."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgedeblur import ExitCode, Failure
from runtime.sessions.engine_rebuild import usable_engine
from tests.runtime.cuda_stub.fixtures import Change, MakeEngine

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
        monkeypatch.setattr("runtime.sessions.engine_rebuild.edgedeblur.__file__", str(program))
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
