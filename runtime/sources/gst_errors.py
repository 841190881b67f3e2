"""Errors of GStreamer in words: what it says, and what to do about it."""

from __future__ import annotations

import os
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.gst_import import import_gst
from runtime.sources.address import hidden

ARGUS_SOCKET = "/tmp/argus_socket"  # of the daemon that has the cameras of a Jetson
FORMATS_DIFFER = (
    "; the formats of two neighbours do not fit: put videoconvert or videoscale between them, and nvvidconv behind "
    "elements that give memory:NVMM"
)
WEDGED = (
    "; end other programs that use it, then restart its daemon: sudo systemctl restart nvargus-daemon. If 'No cameras "
    "available' was printed, check the ribbon cable and switch the camera on: sudo /opt/nvidia/jetson-io/jetson-io.py. "
    "If 'EGL display' was printed: unset DISPLAY"
)
NO_DAEMON = (
    "; nvargus-daemon does not run (no /tmp/argus_socket): sudo systemctl restart nvargus-daemon, or in a container "
    "add -v /tmp/argus_socket:/tmp/argus_socket"
)


def not_parsed(name: str, error: Any, missing: list[str]) -> Failure:
    """A description that GStreamer does not take. error: GLib.Error. missing: elements that it does not have."""
    parse = import_gst("Gst").ParseError
    code, text = error.code, hidden(error.message)
    if code == parse.NO_SUCH_ELEMENT and "nvarguscamerasrc" in missing:
        return Failure(
            f"{name} needs NVIDIA's GStreamer element nvarguscamerasrc, which is not here. On a Jetson: sudo apt "
            "install nvidia-l4t-gstreamer, then rm -rf ~/.cache/gstreamer-1.0; in a container: --runtime nvidia. "
            "Other machines have no such cameras; a USB camera is /dev/videoN",
            ExitCode.ENVIRONMENT,
        )
    if code == parse.NO_SUCH_ELEMENT:
        names = ", ".join(dict.fromkeys(missing))
        return Failure(
            f"{name} has elements that this GStreamer has not: {names}; check the names with gst-inspect-1.0, and "
            "install what they are in: sudo apt install gstreamer1.0-plugins-good gstreamer1.0-plugins-bad "
            "gstreamer1.0-plugins-ugly gstreamer1.0-libav",
            ExitCode.ENVIRONMENT,
        )
    if code == parse.LINK:
        return Failure(f"{name}: {text}{FORMATS_DIFFER}. The description ends before its sink")
    return Failure(f"{name} is not a GStreamer pipeline: {text}; expected gst://ELEMENT ! ELEMENT …, without a sink")


def broke(name: str, frames: int, camera: bool, error: Any, details: str) -> Failure:
    """An error of a running pipeline. camera: it is that of a Jetson. error: GLib.Error with its debug text."""
    last = details.strip().rpartition("\n")[2]
    text = hidden(f"{error.message} ({last})" if last and last not in error.message else error.message)
    advice = argus_advice() if camera else FORMATS_DIFFER if "not-negotiated" in details else "; check its source"
    return Failure(f"{name} broke after {frames} frames: {text}{advice}", ExitCode.SOURCE)


def silent(name: str, frames: int, camera: bool, timeout_s: float) -> Failure:
    """A pipeline that gives no picture, or damaged ones only, for too long."""
    advice = argus_advice() if camera else "; check its source, and that no element holds pictures back"
    return Failure(f"{name} gave no whole picture for {timeout_s:g} s, after {frames} frames{advice}", ExitCode.SOURCE)


def argus_advice() -> str:
    """What helps with a camera of a Jetson: its element prints why it fails, and tells its pipeline little."""
    return WEDGED if os.path.exists(ARGUS_SOCKET) else NO_DAEMON
