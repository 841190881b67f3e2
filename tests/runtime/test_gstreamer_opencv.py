"""Without gi: an OpenCV with GStreamer stands in, one from pip cannot, and each message says what to do."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgedeblur import ExitCode, Failure
from runtime.frame import Image
from runtime.sources.source import open_source
from runtime.stop import Stop

MISSING = Failure("Gst of GStreamer cannot be used from Python; install python3-gi", ExitCode.ENVIRONMENT)


@pytest.fixture(autouse=True)
def no_gi(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise MISSING

    monkeypatch.setattr("runtime.sources.gst_source.import_gst", missing)


class Capture:
    """cv2.VideoCapture, as far as it is used."""

    def __init__(self, pictures: int) -> None:
        self.pictures, self.released = pictures, False

    def isOpened(self) -> bool:
        return self.pictures > 0

    def get(self, what: int) -> float:
        return 29.97

    def read(self) -> tuple[bool, Image | None]:
        self.pictures -= 1
        return (True, np.full((20, 30, 3), 9, np.uint8)) if self.pictures >= 0 else (False, None)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def opencv(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """An OpenCV with GStreamer, as JetPack has it, whose pipelines give two pictures."""
    module = SimpleNamespace(CAP_GSTREAMER=1800, CAP_PROP_FPS=5, __version__="4.8.0", asked=[], pictures=2)

    def capture(text: str, kind: int) -> Any:
        module.asked.append((text, kind))
        return Capture(module.pictures)

    module.VideoCapture = capture
    module.getBuildInformation = lambda: "  Video I/O:\n    GStreamer:                   YES (1.20.3)\n"
    monkeypatch.setitem(sys.modules, "cv2", module)
    return module


def test_an_opencv_with_gstreamer_stands_in(opencv: SimpleNamespace) -> None:
    source = open_source("csi://0")
    assert source.live
    assert "stamped on arrival" in source.describe()
    assert any("ages count from arrival" in note for note in source.notes)
    frames = [source.read(Stop()) for _ in range(2)]
    assert all(frame is not None and frame.size == (20, 30) and not frame.sensor_stamped for frame in frames)
    with pytest.raises(Failure, match="broke after 2 frames") as caught:
        source.read(Stop())
    assert caught.value.code == ExitCode.SOURCE
    text, kind = opencv.asked[0]
    assert kind == opencv.CAP_GSTREAMER
    assert text.startswith("nvarguscamerasrc sensor-id=0 ! ")
    assert "format=BGRx ! videoconvert ! appsink" in text
    source.close()


def test_a_pipeline_that_it_does_not_start(opencv: SimpleNamespace) -> None:
    opencv.pictures = 0
    with pytest.raises(Failure, match="does not say why") as caught:
        open_source("gst://videotestsrc")
    assert "format=(string)BGR ! appsink" in opencv.asked[0][0]
    assert "install python3-gi" in str(caught.value)


def test_the_opencv_of_pip_has_no_gstreamer() -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    if "GStreamer:                   NO" not in cv2.getBuildInformation():
        pytest.skip("this OpenCV has GStreamer")
    with pytest.raises(Failure) as caught:
        open_source("csi://0")
    assert "install python3-gi" in str(caught.value)
    assert f"OpenCV {cv2.__version__} is here" in str(caught.value)
    assert "GStreamer: NO" in str(caught.value)
    assert caught.value.code == ExitCode.ENVIRONMENT


def test_without_any_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(Failure, match="install python3-gi") as caught:
        open_source("gst://rtspsrc location=rtsp://me:secret@host/a")
    assert caught.value.code == ExitCode.ENVIRONMENT
    assert "secret" not in str(caught.value)
