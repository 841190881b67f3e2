"""`edgedeblur doctor` on this machine: what it asks in other processes, and a camera that it tries."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from edgedeblur import ExitCode, main
from runtime.doctor import camera, probes
from runtime.doctor.camera import Trial, try_camera
from runtime.doctor.packages import DEFORM_CONV, NEEDED, numbers
from runtime.doctor.place import ask_python, is_port_free
from runtime.sources.source import Source, SourceOptions
from tests.runtime.doctor_orin import (
    SENSOR,
)

ROOT = Path(__file__).parents[2]


def test_questions_to_another_python(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask_python("print('noise'); print('{\"a\": 1}')").said == {"a": 1}
    assert ask_python("import no_such_module_at_all").is_missing
    crash = f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})"
    assert ask_python(crash).error == "it crashed (SIGSEGV)"
    assert ask_python("raise SystemExit(7)").error == "exit code 7"
    assert ask_python("print('no JSON')").error
    assert ask_python("pass").error
    monkeypatch.setattr("runtime.doctor.place.PATIENCE_S", 0.5)
    assert ask_python("import time; time.sleep(60)").error == "no answer within 0.5 s"


def test_what_lies_in_the_current_folder_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout of numpy, or anything that is called like a package, is not what `edgedeblur` would import."""
    (tmp_path / "numpy").mkdir()
    (tmp_path / "json.py").write_text("raise RuntimeError('of the current folder')")
    monkeypatch.chdir(tmp_path)
    assert ask_python(probes.version_of("numpy")).said["version"] == np.__version__


def test_what_is_needed_is_what_an_install_brings() -> None:
    asked = re.findall(r'^    "([\w-]+)>=([\d.]+)', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    wanted = {(name, numbers(f"{version}.0")) for name, version in asked}
    assert {*NEEDED.items(), ("onnxruntime", DEFORM_CONV)} <= wanted


def test_a_port_in_use() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert not is_port_free(server.getsockname()[1])


def test_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """The real questions, with what the tests need installed."""
    code = main(["doctor", "--json"])
    lines = {line["subject"]: line for line in json.loads(capsys.readouterr().out)}
    assert code == (ExitCode.ENVIRONMENT if any(line["colour"] == "red" for line in lines.values()) else 0)
    for subject in ("NumPy", "PyAV", "ONNX Runtime", "codecs"):
        assert lines[subject]["colour"] == "green", lines[subject]
    assert not [line for line in lines.values() if "cannot be told" in line["found"]]
    assert main(["doctor"]) == code
    text = capsys.readouterr().out
    assert "green  NumPy" in text
    assert text.strip().endswith("yellow")


def test_a_camera_is_tried(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json", "--camera", "test://96x64@30"])
    lines = {line["subject"]: line for line in json.loads(capsys.readouterr().out)}
    assert "96x64" in lines["camera"]["found"]
    assert "of 96x64 in" in lines["frames"]["found"]
    assert "announced 30" in lines["frames"]["found"]
    assert lines["losses"]["colour"] == "green"
    assert SENSOR.path not in lines


@pytest.mark.parametrize(
    ("uri", "words", "hidden"),
    [
        ("/dev/video77", "there is no camera /dev/video77", ""),
        ("rtsp://ann:secret@127.0.0.1:9/x", "127.0.0.1:9/x", "secret"),
        ("3", "could mean several cameras", ""),
    ],
)
def test_a_camera_that_does_not_work_is_red(uri: str, words: str, hidden: str) -> None:
    (line,) = try_camera(uri, SourceOptions(timeout_s=1.0))
    assert line.colour == "red"
    assert words in line.found
    assert line.fix
    assert not hidden or hidden not in line.found + line.fix


@pytest.mark.parametrize(
    ("uri", "slow", "lossy"),
    [
        ("/dev/video0", "--input-control exposure_dynamic_framerate=0", "another cable or port"),
        ("v4l2:///dev/v4l/by-id/x", "--input-codec mjpeg", "--input-codec mjpeg"),
        ("rtsp://camera/1", "the camera's own settings", "--rtsp-transport tcp"),
        ("csi://0", "the camera's own settings", "cable"),
    ],
)
def test_a_slow_or_lossy_camera_gets_advice_that_its_kind_can_follow(uri: str, slow: str, lossy: str) -> None:
    trial = Trial(about="camera", frames=10, seconds=3.0, announced=30.0, sizes={(48, 64)}, missed=5)
    trial.ages_ms = [1.0] * trial.frames
    fixes = {line.subject: line.fix for line in camera._lines(uri, trial)}
    assert slow in fixes["frames"]
    assert lossy in fixes["losses"]
    assert uri.startswith(("/dev", "v4l2")) or "--input-" not in "".join(fixes.values())


def test_a_red_camera_is_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--camera", "/dev/video77"]) == ExitCode.ENVIRONMENT
    assert "red    camera" in capsys.readouterr().out


def test_a_camera_whose_driver_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(uri: str, options: SourceOptions) -> Source:
        time.sleep(20)
        raise AssertionError("nobody waits for it")

    monkeypatch.setattr("runtime.doctor.camera.open_source", hangs)
    (line,) = try_camera("/dev/video0", SourceOptions(), patience_s=0.2)
    assert (line.colour, "its driver hangs" in line.found) == ("red", True)
    assert "unplug it" in line.fix
