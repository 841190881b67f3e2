"""A V4L2 device node: opened, asked what it is, closed; and what its errors mean, in words."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import Structure, c_int
from pathlib import Path

from edgedeblur import ExitCode, Failure
from runtime.sources import v4l2_api as api
from runtime.sources.v4l2_api import Request

DEVICES = Path("/dev")
GONE = (errno.ENODEV, errno.ENXIO, errno.ESHUTDOWN)
NOT_V4L2 = (errno.ENOTTY, errno.EINVAL, errno.EISDIR)
ADVICE = {
    errno.EIO: "check its cable and power, then start again",
    errno.EPROTO: "check its cable and power, then start again",
    errno.ENOSPC: "its USB bus has no bandwidth left: ask for a smaller size, a lower rate or MJPEG, or use a port of "
    "another USB controller",
    errno.ENOMEM: "there is no memory for its buffers: ask for a smaller size or close other programs",
    errno.ENOLINK: "no signal at its input: connect and switch on what feeds it",
    errno.ENOLCK: "the signal at its input is not steady: check cable and length of cable",
    errno.ERANGE: "the signal at its input is of a size or rate that it does not take: choose another at its source",
}


class Device:
    """An open device node; `name` is what the driver calls it."""

    def __init__(self, path: str) -> None:
        """Raises: OSError where it cannot be opened or is no V4L2 device."""
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        try:
            capability = api.Capability()
            self.call(Request.QUERYCAP, capability)
        except OSError:
            self.close()
            raise
        self.name = _text(capability.card)
        self.driver = _text(capability.driver)
        self.bus = _text(capability.bus_info)
        # `capabilities` is what all nodes of a device can do together, `device_caps` what this one can.
        apart = capability.capabilities & api.CAP_DEVICE_CAPS
        self.can: int = capability.device_caps if apart else capability.capabilities

    def call(self, request: Request, argument: Structure | c_int) -> None:
        """One ioctl. Raises: OSError as the driver refuses."""
        api.call(self.descriptor, request, argument)

    def asks(self, request: Request, argument: Structure) -> bool:
        """One ioctl; False where the driver has no (further) answer. Raises: OSError where the device is gone."""
        try:
            self.call(request, argument)
        except OSError as error:
            if error.errno in GONE:
                raise
            return False
        return True

    @property
    def captures(self) -> bool:
        """Whether frames can be read from it in the way that is used here."""
        return bool(self.can & api.CAP_VIDEO_CAPTURE and self.can & api.CAP_STREAMING)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def open_camera(path: str) -> Device:
    """Open a device that frames can be read from.

    Raises: Failure (SOURCE) without such a camera, (ENVIRONMENT) without permission.
    """
    with failing("camera", path):
        try:
            device = Device(path)
        except FileNotFoundError:
            raise Failure(
                f"there is no camera {path}; cameras here: {_cameras_text()}. Plug it in and try again",
                ExitCode.SOURCE,
            ) from None
        except OSError as error:
            if error.errno not in NOT_V4L2:
                raise
            raise _no_camera(path, "is no V4L2 device") from None
    if not device.captures:
        device.close()
        raise _no_camera(path, _why_not(device))
    return device


@contextmanager
def failing(what: str, path: str, code: ExitCode = ExitCode.SOURCE) -> Iterator[None]:
    """Runs the block; what the operating system or the driver refuses in it becomes a Failure that says what to do.

    what: "camera" or "output". Raises: Failure (code), (ENVIRONMENT) without permission.
    """
    try:
        yield
    except PermissionError as error:
        raise Failure(
            f"no permission to use {path}; add yourself to its group: sudo usermod -aG video $USER, then log in again",
            ExitCode.ENVIRONMENT,
        ) from error
    except OSError as error:
        raise Failure(f"{what} {path} {_words(error, path)}", code) from error


def capture_nodes(folder: Path) -> list[str]:
    """The paths of the video nodes in a folder that frames can be read from, or that may not be asked; by number."""
    found = []
    nodes = [path for path in folder.glob("video*") if re.fullmatch(r"video\d+", path.name)]
    for path in sorted(nodes, key=lambda path: int(path.name.removeprefix("video"))):
        try:
            device = Device(str(path))
        except PermissionError:
            found.append(str(path))
            continue
        except OSError:
            continue
        device.close()
        if device.captures:
            found.append(str(path))
    return found


def _words(error: OSError, path: str) -> str:
    if error.errno == errno.EBUSY:
        return f"is in use by another program; close that one (fuser -v {path} names it) and try again"
    if error.errno in GONE:
        return f"is gone ({error.strerror}); check its cable and power, then start again"
    doing = f"{error.filename}: " if str(error.filename).startswith("VIDIOC") else ""
    advice = ADVICE.get(error.errno or 0, "unplug it, plug it in and try again")
    return f"failed ({doing}{error.strerror}); {advice}"


def _why_not(device: Device) -> str:
    if device.can & api.CAP_VIDEO_CAPTURE_MPLANE:
        return "gives pictures in several planes, which is not in this version"
    if device.can & api.CAP_VIDEO_CAPTURE:
        return "has no streaming I/O"
    if device.can & api.CAP_VIDEO_OUTPUT:
        return "is an output: nothing writes to it now that could be read (a v4l2loopback without a producer)"
    return "gives no pictures (a metadata node, say)"


def _no_camera(path: str, why: str) -> Failure:
    return Failure(f"{path} {why}; cameras here: {_cameras_text()}", ExitCode.SOURCE)


def _cameras_text() -> str:
    return ", ".join(capture_nodes(DEVICES)) or "none"


def _text(raw: bytes) -> str:
    """A driver's text, with what a terminal would take for a command left out."""
    return re.sub(r"[^\x20-\x7e]+", "?", raw.decode("latin-1")).strip()
