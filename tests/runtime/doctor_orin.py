"""A Jetson Orin in a folder, all well, for tests that take something away."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from runtime.doctor import probes
from runtime.doctor.line import Line
from runtime.doctor.place import Answer, Place
from runtime.doctor_command import CHECKS, findings
from runtime.sources.v4l2_cameras import Camera
from runtime.sources.v4l2_modes import Mode

GIB_KB = 2**20
PIP = "/home/ann/venv/bin/python -m pip install"
FILES = {
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "var/lib/nvpmodel/status": "pmode:0002",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\nX 1\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\nX 2\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "1728000",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1728000",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil",
    "proc/meminfo": f"MemTotal: {8 * GIB_KB} kB\nMemFree: 1 kB\nMemAvailable: {5 * GIB_KB} kB\n",
    "proc/swaps": "Filename Type Size Used Priority\n/dev/zram0 partition 1 0 5\n/swapfile file 8388604 0 -2\n",
    "proc/812/comm": "nvargus-daemon\n",
    "tmp/argus_socket": "",
    "dev/nvmap": "",
    "usr/local/cuda/include/cuda.h": "",
    "usr/local/cuda/bin/nvcc": "",
    "usr/bin/g++": "",
    "usr/include/aarch64-linux-gnu/NvInfer.h": "",
    "usr/lib/python3.10/dist-packages/tensorrt/__init__.py": "",
    "usr/lib/python3/dist-packages/gi/__init__.py": "",
    "sys/module/v4l2loopback/parameters/exclusive_caps": "Y,N,N,N,N,N,N,N",
    "home/ann/venv/pyvenv.cfg": "home = /usr/bin\ninclude-system-site-packages = true\nversion = 3.10.12\n",
}
LIBRARY = "home/ann/.cache/edgedeblur/EdgeDeformConv2d.trt10.3.0.sm87.0123456789abcdef.so"
DRIVER = {"library": True, "code": 0, "cuda": "12.6", "name": "Orin", "sm": 87}
USB = Camera(
    "/dev/video2",
    "v4l2:///dev/v4l/by-id/usb-Maker_Webcam-video-index0",
    name="Webcam",
    driver="uvcvideo",
    codecs=("MJPG", "YUYV"),
    modes=(Mode("YUYV", (480, 640), (Fraction(30),)), Mode("MJPG", (1080, 1920), (Fraction(60), Fraction(30)))),
)
SENSOR = Camera(
    "/dev/video0", "v4l2:///dev/video0", name="vi-output, imx219 9-0010", driver="tegra-video", codecs=("RG10",)
)


def missing(module: str) -> Answer:
    return Answer(error=f"ModuleNotFoundError: No module named '{module}'")


class Orin:
    """The machine; `place` is how the doctor sees it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for path, text in FILES.items():
            self.write(path, text)
        self.write(LIBRARY, "a library")
        self.write(LIBRARY.replace(".so", ".sha256"), hashlib.sha256(b"a library").hexdigest() + "\n")
        self.answers: dict[str, Answer] = {
            probes.DRIVER: Answer(DRIVER),
            probes.CODECS: Answer({"libx264": True, "mjpeg": True, "h264": True}),
            probes.GSTREAMER: Answer(
                {"version": "GStreamer 1.20.3", "elements": ["nvarguscamerasrc", "appsink"], "rtsp_server": True}
            ),
            probes.OPENCV: missing("cv2"),
            probes.PYCUDA: Answer({"version": "2026.1"}),
            probes.version_of("numpy"): Answer({"version": "2.2.6"}),
            probes.version_of("av"): Answer({"version": "17.1.0"}),
            probes.version_of("onnxruntime"): Answer({"version": "1.23.2"}),
            probes.version_of("tensorrt"): Answer({"version": "10.3.0"}),
            probes.version_of("tensorrt_rtx"): missing("tensorrt_rtx"),
        }
        self.cameras = [SENSOR, USB]
        self.closed: set[str] = set()  # paths that this user may not use
        self.changes: dict[str, Any] = {}  # of the place

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def remove(self, path: str) -> None:
        (self.root / path).unlink()

    def desktop(self, card: bool) -> None:
        """Make it a PC without a driver. card: one of NVIDIA's is plugged in."""
        for path in ("etc/nv_tegra_release", "proc/device-tree/model", "dev/nvmap"):
            self.remove(path)
        self.answers[probes.DRIVER] = Answer({"library": False})
        self.changes["arch"] = "x86_64"
        if card:
            self.write("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n")
            self.write("sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n")

    @property
    def place(self) -> Place:
        standard: dict[str, Any] = {
            "root": self.root,
            "out": self.root / "home/ann",
            "environment": {"HOME": "/home/ann", "PATH": "/usr/bin:/bin"},
            "python": "/home/ann/venv/bin/python",
            "python_version": (3, 10),
            "prefix": self.root / "home/ann/venv",
            "arch": "aarch64",
            "ask": lambda script: self.answers[script],
            "may_use": lambda path: path.name not in self.closed,
            "free_bytes": lambda path: 40 * 2**30,
            "is_port_free": lambda port: True,
            "cameras": lambda: self.cameras,
        }
        return Place(**{**standard, **self.changes})


Change = Callable[[Orin], Any]


def lines_of(orin: Orin) -> dict[str, Line]:
    return {line.subject: line for line in findings(orin.place, CHECKS)}


def answer(script: str, said: dict[str, Any] | None = None, error: str = "") -> Change:
    return lambda orin: orin.answers.update({script: Answer(said or {}, error)})


def lacks(module: str, script: str) -> Change:
    return lambda orin: orin.answers.update({script: missing(module)})


def place(**changes: Any) -> Change:
    return lambda orin: orin.changes.update(changes)


def each(*changes: Change) -> Change:
    return lambda orin: [change(orin) for change in changes]


def write(path: str, text: str) -> Change:
    return lambda orin: orin.write(path, text)


def remove(path: str) -> Change:
    return lambda orin: orin.remove(path)


def cameras(*found: Camera) -> Change:
    return lambda orin: setattr(orin, "cameras", list(found))


NO_TRT = lacks("tensorrt", probes.version_of("tensorrt"))
NO_GI = answer(probes.GSTREAMER, error="edgedeblur.Failure: Gst of GStreamer cannot be used from Python")
NO_LIBRARY = answer(probes.DRIVER, {"library": False})
CONTAINER = write(".dockerenv", "")
DRIVER_SAYS = {key: value for key, value in DRIVER.items() if key not in ("name", "sm")}
