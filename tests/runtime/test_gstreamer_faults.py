"""Pipelines of GStreamer that fail, fall silent or do not stop: errors with what helps; nothing is left."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame
from runtime.sources import gst_source
from runtime.sources.gst_source import GstSource
from runtime.sources.source import frames_of, open_source
from runtime.stop import Stop
from tests.runtime.conftest import Run
from tests.runtime.gst_pipelines import GST, LIVE, opened


@pytest.mark.parametrize(
    ("description", "code", "words"),
    [
        (
            "nosuchelement ! x264nonsense",
            ExitCode.ENVIRONMENT,
            "nosuchelement, x264nonsense; check the names with gst-ins",
        ),
        ("videotestsrc ! (", ExitCode.USAGE, "is not a GStreamer pipeline"),
        ("", ExitCode.USAGE, "is not a GStreamer pipeline"),
        ("videotestsrc nosuch=1", ExitCode.USAGE, 'no property "nosuch"'),
        ("audiotestsrc", ExitCode.USAGE, "formats of two neighbours"),
        ("videotestsrc ! fakesink", ExitCode.USAGE, "ends before its sink"),
        ("filesrc location=/none ! decodebin", ExitCode.SOURCE, 'No such file "/none"'),
        ("v4l2src device=/dev/video77", ExitCode.SOURCE, "No such file"),
        ("rtspsrc location=rtsp://me:secret@127.0.0.1:1/x ! decodebin", ExitCode.SOURCE, "rtsp://127.0.0.1:1/x"),
        ("videotestsrc num-buffers=0", ExitCode.SOURCE, "ended without a picture"),
        (
            "fakesrc is-live=true ! typefind force-caps=audio/x-raw ! capsfilter name=c ! decodebin",
            ExitCode.SOURCE,
            "broke after 0 frames",
        ),
    ],
)
def test_pipelines_that_do_not_work(description: str, code: ExitCode, words: str) -> None:
    with pytest.raises(Failure) as caught:
        opened(f"gst://{description}")
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.code == code


def test_formats_that_turn_out_not_to_fit() -> None:
    """At the second buffer the size changes, and something asks for the old one."""
    parts = [f"videotestsrc num-buffers=3 ! video/x-raw,width={width},height=36 ! c." for width in (64, 99)]
    with pytest.raises(Failure, match="put videoconvert or videoscale between") as caught:
        list(frames_of(opened(f"gst://concat name=c {' '.join(parts)} c. ! identity ! video/x-raw,width=64")))
    assert caught.value.code == ExitCode.SOURCE


def test_an_error_comes_after_the_pictures_before_it() -> None:
    source = opened("gst://videotestsrc num-buffers=50 ! video/x-raw,width=96,height=50 ! identity error-after=11")
    seen: list[Frame] = []
    with pytest.raises(Failure, match=r"broke after \d+ frames: Failed after iterations") as caught:
        seen.extend(frame for frame in iter(lambda: source.read(Stop()), None))
    source.close()
    assert len(seen) == 10
    assert caught.value.code == ExitCode.SOURCE


@pytest.mark.parametrize("live", ["true", "false"])
def test_a_silent_pipeline_is_given_up(live: str) -> None:
    began = time.monotonic()
    with pytest.raises(Failure, match=r"gave no whole picture for 0.5 s") as caught:
        opened(f"gst://videotestsrc is-live={live} ! valve drop=true", 0.5)
    assert time.monotonic() - began < 4
    assert caught.value.code == ExitCode.SOURCE


def test_a_pipeline_that_falls_silent_is_given_up() -> None:
    source = opened("gst://videotestsrc is-live=true ! identity name=x drop-probability=0 ! identity sleep-time=0", 0.5)
    assert isinstance(source, GstSource)
    assert source.read(Stop()) is not None
    source._pipeline.get_by_name("x").set_property("drop-probability", 1.0)
    began = time.monotonic()
    with pytest.raises(Failure, match=r"gave no whole picture for 0.5 s, after \d+ frames"):
        list(iter(lambda: source.read(Stop()), None))
    assert time.monotonic() - began < 4
    source.close()


def test_a_stop_ends_the_wait() -> None:
    source = opened("gst://videotestsrc is-live=true ! video/x-raw,framerate=1/20", 30)
    assert source.read(Stop()) is not None
    stop, began = Stop(), time.monotonic()
    threading.Timer(0.1, stop.set).start()
    assert source.read(stop) is None
    assert time.monotonic() - began < 2
    source.close()


def test_pipelines_are_stopped_and_leave_nothing() -> None:
    threads, descriptors = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    tasks = len(list(Path("/proc/self/task").iterdir()))
    for _ in range(5):
        source = opened(LIVE)
        assert source.read(Stop()) is not None
        source.close()
        source.close()
        with pytest.raises(Failure):
            opened("gst://videotestsrc is-live=true ! identity error-after=1")
    assert threading.active_count() == threads
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors + 2
    until = time.monotonic() + 5  # GStreamer keeps a streaming thread for the next pipeline, for a while
    while len(list(Path("/proc/self/task").iterdir())) > tasks + 2 and time.monotonic() < until:
        time.sleep(0.05)
    assert len(list(Path("/proc/self/task").iterdir())) <= tasks + 2


def test_a_pipeline_that_does_not_stop_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gst_source, "END_PATIENCE_S", 0.1)
    source = opened(LIVE)
    assert isinstance(source, GstSource)
    whole, release = source._pipeline, threading.Event()

    class Hanging:
        def set_state(self, state: object) -> None:
            release.wait(5)

    source._pipeline = Hanging()
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 2
    assert any("left behind" in note for note in source.notes)
    release.set()
    whole.set_state(GST.State.NULL)


@pytest.mark.skipif(GST.ElementFactory.find("nvarguscamerasrc") is not None, reason="this is a Jetson")
def test_without_the_cameras_of_a_jetson(run: Run) -> None:
    code, text = run("csi://0")
    assert code == ExitCode.ENVIRONMENT
    assert "nvarguscamerasrc" in text
    assert "nvidia-l4t-gstreamer" in text


@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        ("videotestsrc num-buffers=0 ! video/x-raw,format=BGRx", "csi://0 gave no picture"),
        (
            "videotestsrc is-live=true ! valve drop=true ! video/x-raw,format=BGRx",
            "csi://0 gave no whole picture for 0.3 s",
        ),
        (
            "videotestsrc is-live=true ! identity error-after=1 ! video/x-raw,format=BGRx",
            "csi://0 broke after 0 frames",
        ),
    ],
    ids=["it ends", "it is silent", "it fails"],
)
@pytest.mark.parametrize("daemon", [True, False])
def test_a_csi_camera_that_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pipeline: str, words: str, daemon: bool
) -> None:
    """Its element prints why it fails and tells its pipeline little: it ends, says nothing, or says TIMEOUT."""
    socket = tmp_path / "argus_socket"
    if daemon:
        socket.touch()
    monkeypatch.setattr("runtime.sources.gst_errors.ARGUS_SOCKET", str(socket))
    monkeypatch.setattr(gst_source, "csi_pipeline", lambda number, options: pipeline)
    with pytest.raises(Failure, match=words) as caught:
        opened("csi://0", 0.3)
    assert caught.value.code == ExitCode.SOURCE
    assert "sudo systemctl restart nvargus-daemon" in str(caught.value)
    assert ("ribbon cable" in str(caught.value)) == daemon
    assert ("-v /tmp/argus_socket:/tmp/argus_socket" in str(caught.value)) != daemon


@pytest.mark.parametrize("uri", ["csi://", "csi://x", "csi:///dev/video0", "csi://-1"])
def test_other_csi_cameras_are_refused(uri: str) -> None:
    with pytest.raises(Failure, match="expected csi://N") as caught:
        open_source(uri)
    assert caught.value.code == ExitCode.USAGE


def test_a_bare_number_is_asked_about() -> None:
    with pytest.raises(Failure, match=r"csi://1 .* /dev/video1 ") as caught:
        open_source("1")
    assert caught.value.code == ExitCode.USAGE
