"""Where pictures come from and go to: GStreamer, OpenCV, cameras, a Jetson's camera daemon, virtual cameras."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from runtime.doctor import probes
from runtime.doctor.line import Colour, Line
from runtime.doctor.place import Answer, Place
from runtime.frame import size_text
from runtime.gst_import import PACKAGES
from runtime.measure.sensors import text_of
from runtime.sources.v4l2_cameras import Camera

GST_PACKAGES = "python3-gi gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-good"
SYSTEM_GI = "usr/lib/python3/dist-packages/gi"
LOOPBACK = "sudo modprobe v4l2loopback exclusive_caps=1 card_label=edgedeblur"
RESTART = "sudo systemctl restart nvargus-daemon"
MOUNT = "-v /tmp/argus_socket:/tmp/argus_socket"
SENSOR_DRIVER = "tegra-video"  # the raw side of a camera on the Jetson's connector; its pictures come through argus


def gstreamer(place: Place) -> Iterator[Line]:
    """gi with GStreamer, and on a Jetson NVIDIA's elements; OpenCV only matters where gi is missing."""
    gst, opencv = place.ask(probes.GSTREAMER), place.ask(probes.OPENCV)
    if not gst.error:
        yield from _elements(place, gst)
        yield _opencv(opencv)
        return
    for_what = "csi:// cameras" if place.is_jetson else "gst:// sources and serving rtsp://"
    colour = "yellow" if opencv.said.get("gstreamer") else _colour_of_csi(place)
    if place.has(SYSTEM_GI):
        text = f"gi is the system's, and this Python cannot load it ({gst.error}): no {for_what}"
        fix = "/usr/bin/python3 -m venv --system-site-packages .venv && .venv/bin/pip install -e ."
    else:
        text, fix = f"no GStreamer for Python: no {for_what}", f"sudo apt install {GST_PACKAGES}"
    yield Line("GStreamer", colour, text, fix)
    yield _opencv(opencv)


def _elements(place: Place, gst: Answer) -> Iterator[Line]:
    version, elements = gst.said["version"], gst.said["elements"]
    if place.is_jetson and "nvarguscamerasrc" not in elements:
        fix = "sudo apt install nvidia-l4t-gstreamer && rm -rf ~/.cache/gstreamer-1.0"
        fix = "start the container with --runtime nvidia" if place.in_container else fix
        yield Line("GStreamer", _colour_of_csi(place), f"{version} without nvarguscamerasrc: no csi:// cameras", fix)
        return
    yield Line("GStreamer", "green", f"{version} through gi")
    if not gst.said["rtsp_server"]:
        text = "Python does not see GStreamer's, which rtsp://@:8554 outputs need"
        yield Line("RTSP server", "grey", text, f"sudo apt install {PACKAGES['GstRtspServer']}")


def _opencv(answer: Answer) -> Line:
    """pip's OpenCV has no GStreamer; that is no fault where gi is there."""
    if answer.is_missing:
        return Line("OpenCV", "grey", "not installed, and not needed (display:// would use it)")
    if answer.error:
        return Line("OpenCV", "grey", f"cannot be loaded ({answer.error}), and is not needed")
    return Line("OpenCV", "green", f"{answer.said['version']}, GStreamer {'YES' if answer.said['gstreamer'] else 'NO'}")


def cameras(place: Place) -> Iterator[Line]:
    """Every camera of V4L2, with what it offers."""
    found = place.cameras()
    if not found:
        yield Line("cameras", "grey", "no /dev/video*: plug a USB camera in, or use rtsp://")
    for camera in found:
        yield _camera(place, camera)


def _camera(place: Place, camera: Camera) -> Line:
    path = Path(camera.path)
    if camera.problem == "Permission denied":
        fix = f"sudo usermod -aG {place.group_of(path)} $USER, then log in again"
        return Line(path.name, "red", f"{camera.path}: no permission to use it", fix)
    if camera.problem:
        return Line(
            path.name, "yellow", f"{camera.path}: {camera.problem}", f"fuser -v {camera.path}; sudo dmesg | tail"
        )
    if camera.driver == SENSOR_DRIVER:
        return Line(path.name, "green", f"{camera.path}: {camera.name}, a raw sensor; use csi://N for its pictures")
    if not camera.modes:
        text = f"{camera.path}: {camera.name} sends only {', '.join(camera.codecs) or 'nothing'}, which is not read"
        return Line(path.name, "yellow", text, f"v4l2-ctl -d {camera.path} --list-formats-ext")
    largest = max(camera.modes, key=lambda mode: mode.size[0] * mode.size[1])
    pace = f" at {float(largest.rates[0]):g} frames/s" if largest.rates else ""
    offers = f"{', '.join(camera.codecs)}, up to {size_text(largest.size)} {largest.codec}{pace}"
    return Line(path.name, "green", f"{camera.path}: {camera.name}, {offers}; {camera.uri}")


def argus(place: Place) -> Iterator[Line]:
    """The daemon that has the cameras of a Jetson's connector."""
    if not place.is_jetson:
        return
    if place.in_container:
        if not place.has("tmp/argus_socket"):
            text = "/tmp/argus_socket is not in this container: csi:// cameras cannot be reached"
            yield Line("argus", _colour_of_csi(place), text, f"add to docker run: {MOUNT}")
        else:
            yield Line("argus", "green", "/tmp/argus_socket is there")
    elif not _runs(place, "nvargus-daemon"):
        text = "nvargus-daemon does not run: no csi:// cameras"
        yield Line("argus", _colour_of_csi(place), text, RESTART)
    elif not place.has("tmp/argus_socket"):
        text = "nvargus-daemon runs without its socket /tmp/argus_socket: no csi:// cameras"
        yield Line("argus", _colour_of_csi(place), text, RESTART)
    else:
        yield Line("argus", "green", "nvargus-daemon runs and has its socket")


def loopback(place: Place) -> Iterator[Line]:
    """Virtual cameras, as outputs."""
    caps = place.text("sys/module/v4l2loopback/parameters/exclusive_caps")
    if not place.has("sys/module/v4l2loopback"):
        text = "the module is not loaded, which v4l2loopback:// outputs need"
        yield Line("v4l2loopback", "grey", text, f"sudo apt install v4l2loopback-dkms && {LOOPBACK}")
    elif "Y" not in caps and "1" not in caps:
        text = "loaded without exclusive_caps=1: browsers and others do not take it for a camera"
        yield Line("v4l2loopback", "yellow", text, f"sudo modprobe -r v4l2loopback && {LOOPBACK}")
    else:
        yield Line("v4l2loopback", "green", "loaded with exclusive_caps=1")


def _colour_of_csi(place: Place) -> Colour:
    """What stops csi:// cameras: red where one is plugged in, as its raw side shows."""
    return "red" if any(camera.driver == SENSOR_DRIVER for camera in place.cameras()) else "yellow"


def _runs(place: Place, name: str) -> bool:
    """The kernel cuts names after 15 letters."""
    return any(text_of(path) == name[:15] for path in place.root.glob("proc/[0-9]*/comm"))
