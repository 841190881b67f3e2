"""The one command: verbs, help, exit codes and start-up without the heavy packages."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgedeblur
from edgedeblur import VERBS, ExitCode, Failure, main

ROOT = Path(__file__).parents[1]


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(verb in printed for verb in VERBS)


def test_an_unknown_verb_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deblur"]) == ExitCode.USAGE
    assert "no verb 'deblur'; expected one of: train" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([verb, "--help"])
    assert stopped.value.code == 0
    assert f"edgedeblur {verb}" in capsys.readouterr().out


def test_options_may_stand_between_input_and_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "test://64x48", "--frames", "2", "null://", "--view", "split"]) == 0
    assert "2 delivered" in capsys.readouterr().out


def test_a_package_with_one_verb_needs_no_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"], package="export")
    assert "edgedeblur export" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Failure("found, expected, next", ExitCode.QUALITY), ExitCode.QUALITY),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (MemoryError("12 GB"), ExitCode.MEMORY),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), ExitCode.ENVIRONMENT),
    ],
)
def test_what_a_user_can_act_on_is_a_message_and_a_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(name: str) -> None:
        raise error

    monkeypatch.setattr(importlib, "import_module", broken)
    assert main(["train"]) == code
    assert capsys.readouterr().err.startswith("edgedeblur train: ")


def test_help_and_runtime_start_without_heavy_packages() -> None:
    code = (
        "import sys, edgedeblur, runtime; edgedeblur.main(['--help'])\n"
        "heavy = {'torch', 'av', 'onnxruntime', 'cv2', 'onnx', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(edgedeblur.__file__).parent, check=True, capture_output=True)


@pytest.mark.parametrize(("messages", "code"), [(False, ExitCode.OK), (True, ExitCode.ENVIRONMENT)])
def test_a_reader_that_is_gone(messages: bool, code: ExitCode) -> None:
    """`| head` has what it wanted; with `2>&1` nobody knows whether the work was done."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        streams: dict[str, int] = {"stdout": writing, "stderr": writing if messages else subprocess.DEVNULL}
        words = ["run", "test://64x48", "null://", "--frames", "2"]
        done = subprocess.run([sys.executable, "-m", "edgedeblur", *words], cwd=ROOT, **streams)  # type: ignore[call-overload]
    finally:
        os.close(writing)
    assert done.returncode == code
