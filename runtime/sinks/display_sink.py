"""DisplaySink: a window, drawn by OpenCV where one with windows is installed."""

from __future__ import annotations

import os
import sys
from types import ModuleType

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, Image
from runtime.sinks.sink import Quit

TITLE = "edgedeblur"
QUIT_KEYS = (27, ord("q"))


class DisplaySink:
    """A window on this machine's screen; q or Esc ends the run."""

    any_size = True

    def __init__(self, screen: str) -> None:
        """screen: empty or 0; the desktop decides where a window goes.

        Raises: Failure (ENVIRONMENT) without a desktop or without an OpenCV that has windows.
        """
        if screen not in ("", "0"):
            raise Failure(f"display://{screen}: there is one display, display://0")
        self._cv2 = _cv2_with_windows()
        self._frames = 0

    def write(self, picture: Image, frame: Frame) -> None:
        """Draw (H, W, 3) uint8 BGR. Raises: Quit when a person asked to end, Failure without a screen."""
        try:
            self._cv2.imshow(TITLE, picture)
            key = self._cv2.waitKey(1) & 0xFF
        except self._cv2.error as error:
            raise Failure(
                f"the window cannot be drawn: {error}; write to a file instead", ExitCode.ENVIRONMENT
            ) from error
        self._frames += 1
        if key in QUIT_KEYS:
            raise Quit

    def close(self) -> None:
        if self._frames:
            self._cv2.destroyAllWindows()

    def describe(self) -> str:
        return f"display://: {self._frames} frames drawn"


def _cv2_with_windows() -> ModuleType:
    # Asked first: OpenCV's window toolkit ends the whole process when there is no desktop.
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise Failure(
            "display:// needs a desktop and neither DISPLAY nor WAYLAND_DISPLAY is set; write to a file instead, e.g. "
            "out.mp4",
            ExitCode.ENVIRONMENT,
        )
    try:
        import cv2
    except ImportError as error:
        raise Failure(
            "display:// draws with OpenCV, which is not installed; pip install opencv-python", ExitCode.ENVIRONMENT
        ) from error
    gui = [line.split(":")[-1].strip() for line in cv2.getBuildInformation().splitlines() if "GUI:" in line]
    if gui and gui[0] in ("", "NONE"):
        raise Failure(
            "display:// needs an OpenCV with windows and this one is headless; pip uninstall opencv-python-headless, "
            "then pip install opencv-python",
            ExitCode.ENVIRONMENT,
        )
    return cv2
