"""V4L2 cameras and virtual cameras without hardware, for any test.

    def test_a_camera_that_is_plugged_out_and_in(tmp_path: Path) -> None:
        stub = StubDevices(tmp_path / "dev")  # skips the test, with the reason, where there is no gcc
        link = "by-id/usb-Stub_Camera-video-index0"
        stub.camera("video0", "gone 30 500 video2", links=[link])
        command = [sys.executable, "-m", "edgedeblur", "run", f"v4l2://{stub.path('v4l') / link}", "null://", …]
        done = subprocess.run(command, env=stub.environment, …)

The devices are there for a *process* that is started with `stub.environment` (LD_PRELOAD), not for the one that makes
them. Here `video0` gives 30 frames and is gone; half a second later it is back as `video2`, and udev's link points
there. The same line twice has it vanish twice; without a number of milliseconds and a name it stays away. Frames are
64x48 in YUYV at 30 a second unless said otherwise; frame n of the loop is grey, its Y' is 40 + 8 · (n mod 16). What
else a camera can be told to do, and to fail in, is a line each: device.h has the whole language. `stub.log()` is what
happened to the devices, `stub.written("video9")` what an output got.
"""

from __future__ import annotations

import functools
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

SOURCE = Path(__file__).with_name("stub.c")
LIBRARY = "v4l2_stub.so"
SIZE = (48, 64)  # (height, width)
LOOP = 16  # frames
MATRICES = {"601": (0.299, 0.114), "709": (0.2126, 0.0722), "2020": (0.2627, 0.0593)}  # the weights of red and blue


class StubDevices:
    """Devices in a folder that stands in for /dev."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder. Skips the test without gcc."""
        library = build_stub()
        self.folder = folder
        for name in ("by-id", "by-path"):
            (folder / "v4l" / name).mkdir(parents=True, exist_ok=True)
        self.environment = {**os.environ, "LD_PRELOAD": str(library), "V4L2_STUB": str(folder)}

    def path(self, name: str) -> Path:
        return self.folder / name

    def camera(
        self,
        name: str,
        *lines: str,
        size: tuple[int, int] = SIZE,
        rates: str = "30",
        codec: str = "YUYV",
        pictures: Sequence[bytes] | None = None,
        links: Sequence[str] = (),
    ) -> Path:
        """A camera with one mode; its path. lines: what else it is or does. rates: `30 15` or `30000/1001`.

        pictures: what it sends, one after the other, again and again, instead of grey ones.
        """
        pictures = pictures if pictures is not None else [grey(index, size, codec) for index in range(LOOP)]
        mode = self.mode(f"frames.{name}", pictures, size, rates, codec)
        return self.device(name, "card Stub Camera", "caps capture", mode, *lines, links=links)

    def mode(
        self, file: str, pictures: Sequence[bytes], size: tuple[int, int] = SIZE, rates: str = "30", codec: str = "YUYV"
    ) -> str:
        """The line of one mode, for `device` or `camera`; its pictures are written to `file`."""
        self.path(file).write_bytes(b"".join(struct.pack("<I", len(data)) + data for data in pictures))
        return f"mode {codec} {size[1]} {size[0]} {file} {rates}"

    def output(self, name: str, *lines: str) -> Path:
        """A virtual camera as v4l2loopback makes it, before anyone writes to it; its path."""
        return self.device(name, "card Stub Loopback", "caps output", "mode YUYV 0 0", "mode YU12 0 0", *lines)

    def device(self, name: str, *lines: str, links: Sequence[str] = ()) -> Path:
        """A device of nothing but these lines; its path."""
        path = self.path(name)
        path.write_text("\n".join([*lines, *(f"link {link}" for link in links), ""]))
        for link in links:
            self.path("v4l").joinpath(link).unlink(missing_ok=True)
            self.path("v4l").joinpath(link).symlink_to(f"../../{name}")
        return path

    def log(self) -> list[str]:
        """What happened to the devices, one line each."""
        path = self.path("log")
        return path.read_text().splitlines() if path.exists() else []

    def written(self, name: str) -> list[bytes]:
        """What was written to an output, write by write."""
        data, found = self.path(f"{name}.written").read_bytes(), []
        while data:
            (length,) = struct.unpack("<I", data[:4])
            found.append(data[4 : 4 + length])
            data = data[4 + length :]
        return found


@functools.cache
def build_stub() -> Path:
    """The library, built once a process, or the one that this process runs on. Skips the test without gcc."""
    if (loaded := os.environ.get("LD_PRELOAD", "")).endswith(LIBRARY):
        return Path(loaded)
    if not shutil.which("gcc"):
        pytest.skip("no gcc to build the stand-in for V4L2 devices with")
    folder = tempfile.TemporaryDirectory(prefix="v4l2-stub-")
    _folders.append(folder)
    library = Path(folder.name) / LIBRARY
    options = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    command = ["gcc", *options, "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return library


_folders: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


def grey(index: int, size: tuple[int, int] = SIZE, codec: str = "YUYV", base: int = 40) -> bytes:
    """Frame `index` of the usual loop."""
    yuv = np.full((*size, 3), 128, np.uint8)
    yuv[:, :, 0] = base + 8 * (index % LOOP)
    return pack(yuv, codec)


def pack(yuv: NDArray[np.uint8], codec: str, pad: int = 0) -> bytes:
    """Y'CbCr (H, W, 3) as a driver lays it out; colours of neighbours must be alike. pad: bytes after each row."""
    y, u, v = yuv[:, :, 0], yuv[:, ::2, 1], yuv[:, ::2, 2]
    if codec in ("YUYV", "UYVY"):
        pairs = [y[:, ::2], u, y[:, 1::2], v] if codec == "YUYV" else [u, y[:, ::2], v, y[:, 1::2]]
        planes = [np.stack(pairs, 2).reshape(len(yuv), -1)]
    elif codec == "NV12":
        planes = [y, np.stack([u[::2], v[::2]], 2).reshape((len(yuv) + 1) // 2, -1)]
    elif codec == "YU12":
        planes = [y, u[::2], v[::2]]
    else:  # GREY; BGR3 and RGB3 have their colours in `yuv`
        planes = [y if codec == "GREY" else yuv.reshape(len(yuv), -1)]
    # The planes after the first of YU12 have half its bytes in a row, padding included.
    pads = [pad, *[pad // 2 if codec == "YU12" else pad] * 2]
    padded = [np.pad(plane, ((0, 0), (0, more)), constant_values=99) for plane, more in zip(planes, pads, strict=False)]
    return b"".join(plane.tobytes() for plane in padded)


def bgr_by_formula(yuv: NDArray[np.uint8], matrix: str, limited: bool) -> NDArray[np.float64]:
    """What Y'CbCr (..., 3) looks like as B, G, R from 0 to 255, by the definition of its matrix and range."""
    red, blue = MATRICES[matrix]
    y, u, v = np.moveaxis(yuv.astype(np.float64), -1, 0)
    luma, spread = ((y - 16) / 219, 224) if limited else (y / 255, 255)
    r, b = luma + 2 * (1 - red) * (v - 128) / spread, luma + 2 * (1 - blue) * (u - 128) / spread
    g = (luma - red * r - blue * b) / (1 - red - blue)
    colours: NDArray[np.float64] = np.clip(np.stack([b, g, r], -1) * 255, 0, 255)
    return colours
