"""`edgedeblur run` from a V4L2 camera to files and to a virtual camera."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgedeblur import ExitCode
from runtime.frame import Frame
from runtime.sources.source import frames_of, open_source
from tests.runtime.stand_in import write_model
from tests.runtime.v4l2_stub.devices import LOOP, StubDevices


def command(tmp_path: Path, *words: object) -> list[str]:
    model = write_model(tmp_path / "stand-in.onnx")
    return [sys.executable, "-m", "edgedeblur", "run", *map(str, words), "--model", str(model)]


def run(tmp_path: Path, *words: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(tmp_path, *words), capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    return done


def frames(path: Path) -> list[Frame]:
    return list(frames_of(open_source(str(path))))


def test_a_camera_into_a_file_and_a_virtual_camera(stub: StubDevices, tmp_path: Path) -> None:
    stub.camera("video0", rates="30")
    stub.output("video9")
    out, virtual = tmp_path / "out.mp4", f"v4l2loopback://{stub.path('video9')}"
    done = run(tmp_path, f"v4l2://{stub.path('video0')}", out, virtual, "--frames", 20)
    assert done.returncode == ExitCode.OK, done.stderr
    assert "(Stub Camera), YUYV 64x48, 30.00 frames/s" in done.stderr
    assert "arrival-stamped" not in done.stdout
    kept = frames(out)
    assert f"{len(kept)} delivered" in done.stdout
    assert 0 < len(kept) == len(stub.written("video9")) <= 20  # fewer where this machine is busy
    # Each picture at its time: what the camera showed then is in its brightness, whatever was dropped between.
    times = [round(float(frame.time or 0) * 30) for frame in kept]
    places = [round((float(frame.image.mean()) / 255 * 219 + 16 - 40) / 8) % LOOP for frame in kept]
    assert [(place - places[0]) % LOOP for place in places] == [at % LOOP for at in times]


def test_size_rate_and_their_notes(stub: StubDevices, tmp_path: Path) -> None:
    stub.camera("video0", rates="60 30")
    asked = ("--input-width", 80, "--input-height", 60, "--input-rate", 60)
    done = run(tmp_path, f"v4l2://{stub.path('video0')}", "--frames", 5, *asked)
    assert done.returncode == ExitCode.OK, done.stderr
    assert "60.00 frames/s" in done.stderr
    assert "gives 64x48, not 80x60" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_camera_and_finishes_the_file(stub: StubDevices, tmp_path: Path, number: int) -> None:
    stub.camera("video0", rates="60")
    out = tmp_path / "out.mkv"
    words = command(tmp_path, f"v4l2://{stub.path('video0')}", out)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 40
    while not (out.exists() and out.stat().st_size > 4000):
        assert time.monotonic() < deadline, "nothing was written"
        time.sleep(0.02)
    process.send_signal(number)
    printed, errors = process.communicate(timeout=30)
    assert process.returncode == ExitCode.INTERRUPTED, errors
    assert f"{len(frames(out))} delivered" in printed
    assert stub.log()[-2:] == ["STREAMOFF video0", "close video0"]


def test_a_camera_in_use_is_told_without_a_traceback(stub: StubDevices, tmp_path: Path) -> None:
    stub.camera("video0", "refuse S_FMT 16")
    done = run(tmp_path, f"v4l2://{stub.path('video0')}", "--frames", 3)
    assert done.returncode == ExitCode.SOURCE
    assert "in use by another program" in done.stderr
