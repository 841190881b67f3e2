"""OpenCvSource: GStreamer pipelines through an OpenCV that was built with it, where gi is missing."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, now_ns
from runtime.sources.source import SourceOptions
from runtime.stop import Stop


class OpenCvSource:
    """A pipeline that OpenCV reads. It tells neither when a picture was captured nor what went wrong."""

    live = True
    inputs: tuple[Path, ...] = ()
    time_base: Fraction | None = None
    corrupt = missed = superseded = 0

    def __init__(self, name: str, capture: Any, rate: float) -> None:
        """capture: an open cv2.VideoCapture."""
        self.frame_rate = Fraction(rate).limit_denominator(1001) if rate > 0 else None
        self.notes = [f"{name} is read through OpenCV, which tells no capture times: ages count from arrival"]
        self._name, self._capture = name, capture
        self._index = 0

    def describe(self) -> str:
        return f"{self._name}, GStreamer through OpenCV (stamped on arrival)"

    def read(self, stop: Stop) -> Frame | None:
        """The next frame; None once `stop` is set. Raises: Failure (SOURCE) when there is none."""
        good, picture = self._capture.read() if not stop.is_set() else (False, None)
        if stop.is_set():
            return None
        if not good:
            raise Failure(f"{self._name} broke after {self._index} frames; OpenCV does not say why", ExitCode.SOURCE)
        frame = Frame(np.ascontiguousarray(picture), self._index, now_ns())
        self._index += 1
        return frame

    def close(self) -> None:
        self._capture.release()


def open_through_opencv(name: str, description: str, options: SourceOptions, missing: Failure) -> OpenCvSource:
    """Open a whole pipeline. missing: why gi is not used.

    Raises: Failure (ENVIRONMENT) where there is no OpenCV with GStreamer, (SOURCE) where the pipeline does not start.
    """
    try:
        import cv2
    except ImportError:
        raise Failure(f"{name}: {missing}. (There is no OpenCV with GStreamer either.)", ExitCode.ENVIRONMENT) from None
    if not re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()):
        raise Failure(
            f"{name}: {missing}. OpenCV {cv2.__version__} is here and cannot stand in: it was built without GStreamer "
            "(its build information says GStreamer: NO), as is every OpenCV from pip",
            ExitCode.ENVIRONMENT,
        )
    text = re.sub(r"\{BGR,[^}]*\}", "BGR", description).replace("format=BGRx !", "format=BGRx ! videoconvert !")
    capture = cv2.VideoCapture(text, cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        raise Failure(
            f"{name} does not start in OpenCV, which does not say why; try the pipeline with gst-launch-1.0, or "
            f"install gi, which does: {missing}",
            ExitCode.SOURCE,
        )
    return OpenCvSource(name, capture, capture.get(cv2.CAP_PROP_FPS))
