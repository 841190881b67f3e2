"""`edgedeblur doctor` on a Jetson Orin from which cameras, memory, disk and the like are taken, and on PCs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.doctor import probes
from runtime.doctor.line import Line
from runtime.doctor.place import Answer, Place
from runtime.doctor_command import CHECKS, findings
from runtime.sources.v4l2_cameras import Camera
from tests.runtime.doctor_orin import (
    CONTAINER,
    NO_GI,
    NO_TRT,
    PIP,
    Change,
    Orin,
    answer,
    cameras,
    each,
    lines_of,
    place,
    remove,
    write,
)


@pytest.fixture
def orin(tmp_path: Path) -> Orin:
    return Orin(tmp_path / "orin")


def test_all_is_well(orin: Orin) -> None:
    lines = lines_of(orin)
    assert {line.colour for line in lines.values()} == {"green", "grey"}, lines
    assert [name for name, line in lines.items() if line.colour == "grey"] == ["OpenCV", "screen"]
    assert "L4T 36.4.3 (JetPack 6)" in lines["JetPack"].found
    assert "Orin, compute capability 8.7, driver for CUDA 12.6" in lines["GPU"].found
    assert "1.23.2 has no DeformConv: the shipped weights run in their Gather form" in lines["ONNX Runtime"].found
    assert "up to 1920x1080 MJPG at 60 frames/s" in lines["video2"].found
    assert "use csi://N" in lines["video0"].found
    assert "MAXN_SUPER" in lines["power mode"].found


@pytest.mark.parametrize(
    ("change", "subject", "colour", "found", "fix"),
    [
        (NO_GI, "GStreamer", "red", "gi is the system's", "/usr/bin/python3 -m venv --system-site-packages"),
        (
            each(
                NO_GI,
                remove("usr/lib/python3/dist-packages/gi/__init__.py"),
                lambda orin: (orin.root / "usr/lib/python3/dist-packages/gi").rmdir(),
            ),
            "GStreamer",
            "red",
            "no csi:// cameras",
            "sudo apt install python3-gi gir1.2-gstreamer-1.0",
        ),
        (
            answer(probes.GSTREAMER, {"version": "GStreamer 1.20.3", "elements": [], "rtsp_server": True}),
            "GStreamer",
            "red",
            "without nvarguscamerasrc",
            "sudo apt install nvidia-l4t-gstreamer && rm -rf ~/.cache/gstreamer-1.0",
        ),
        (
            cameras(Camera("/dev/video2", "v4l2:///dev/video2", problem="Permission denied")),
            "video2",
            "red",
            "no permission",
            "sudo usermod -aG video $USER",
        ),
        (
            cameras(Camera("/dev/video2", "", problem="Device or resource busy")),
            "video2",
            "yellow",
            "Device or resource busy",
            "fuser -v /dev/video2",
        ),
        (
            cameras(Camera("/dev/video2", "", name="Odd", driver="uvcvideo", codecs=("H264",))),
            "video2",
            "yellow",
            "sends only H264",
            "v4l2-ctl -d /dev/video2 --list-formats-ext",
        ),
        (
            write("proc/812/comm", "other\n"),
            "argus",
            "red",
            "nvargus-daemon does not run",
            "sudo systemctl restart nvargus-daemon",
        ),
        (
            remove("tmp/argus_socket"),
            "argus",
            "red",
            "without its socket",
            "sudo systemctl restart nvargus-daemon",
        ),
        (
            each(remove("tmp/argus_socket"), CONTAINER),
            "argus",
            "red",
            "not in this container",
            "-v /tmp/argus_socket:/tmp/argus_socket",
        ),
        (
            each(remove("tmp/argus_socket"), cameras()),
            "argus",
            "yellow",  # no camera is plugged in that would need it
            "without its socket",
            "sudo systemctl restart nvargus-daemon",
        ),
        (
            write("sys/module/v4l2loopback/parameters/exclusive_caps", "N,N,N,N"),
            "v4l2loopback",
            "yellow",
            "without exclusive_caps=1",
            "sudo modprobe -r v4l2loopback && sudo modprobe v4l2loopback exclusive_caps=1",
        ),
        (
            write("var/lib/nvpmodel/status", "pmode:0000"),
            "power mode",
            "yellow",
            "0 (15W), and MAXN_SUPER is faster",
            "sudo nvpmodel -m 2",
        ),
        (
            write("sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq", "729600"),
            "clocks",
            "yellow",
            "follow the load",
            "sudo jetson_clocks",
        ),
        (
            write("proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 1048576 kB\n"),
            "memory",
            "yellow",
            "1.0 of 8.0 GiB free",
            "ps aux --sort=-rss",
        ),
        (
            write("proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 262144 kB\n"),
            "memory",
            "red",
            "0.2 of 8.0 GiB free",
            "ps aux --sort=-rss",
        ),
        (
            write("proc/swaps", "Filename Type Size Used Priority\n/dev/zram0 partition 1 0 5\n"),
            "swap",
            "yellow",
            "only zram",
            "sudo fallocate -l 8G /swapfile",
        ),
        (place(free_bytes=lambda path: 2**30), "disk", "yellow", "1.0 GiB free", "du -xh"),
        (place(free_bytes=lambda path: 2**20), "disk", "red", "0.0 GiB free", "du -xh"),
        (place(out=Path("/nowhere/at/all")), "disk", "red", "no folder", "mkdir -p /nowhere/at/all"),
        (place(out=Path("/no where/$x")), "disk", "red", "no folder", "mkdir -p '/no where/$x'"),
        (lambda orin: orin.closed.add("ann"), "disk", "red", "no permission to write", "sudo chown $USER"),
        (
            place(environment={"HOME": "/home/ann", "PATH": "/usr/bin", "DISPLAY": "localhost:10.0"}),
            "screen",
            "yellow",
            "another machine's screen",
            "unset DISPLAY",
        ),
        (
            place(is_port_free=lambda port: port != 8080),
            "ports",
            "yellow",
            "8080 is in use",
            "sudo ss -ltnp 'sport = :8080' names the program; or take another port: http://@:8081",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_fix(
    orin: Orin, change: Change, subject: str, colour: str, found: str, fix: str
) -> None:
    change(orin)
    line = lines_of(orin)[subject]
    assert (line.colour, found in line.found) == (colour, True), line
    assert fix in line.fix


def test_without_a_server_of_gstreamer_serving_is_not_promised(orin: Orin) -> None:
    said = {**orin.answers[probes.GSTREAMER].said, "rtsp_server": False}
    orin.answers[probes.GSTREAMER] = Answer(said)
    lines = lines_of(orin)
    assert lines["GStreamer"].colour == "green"
    assert "which rtsp://@:8554 outputs need" in lines["RTSP server"].found
    assert "gir1.2-gst-rtsp-server-1.0" in lines["RTSP server"].fix


def test_every_red_and_yellow_line_has_a_fix(orin: Orin) -> None:
    """On a machine where nothing is as it should be."""
    for path in [path for path in orin.root.rglob("*") if path.is_file() and path.name not in ("model", "pyvenv.cfg")]:
        path.unlink()
    orin.answers = {script: Answer(error="RuntimeError: broken") for script in orin.answers}
    orin.changes["is_port_free"] = lambda port: False
    lines = list(lines_of(orin).values())
    assert sum(line.colour == "red" for line in lines) >= 6
    assert [line for line in lines if line.colour in ("red", "yellow") and not line.fix] == []


def test_a_pc_without_a_gpu_is_well(orin: Orin) -> None:
    orin.desktop(card=False)
    lines = lines_of(orin)
    assert {line.colour for line in lines.values()} == {"green", "grey"}
    assert lines["GPU"].found == lines["PyCUDA"].found == "not here (ONNX Runtime computes on the CPU)"
    assert not {"JetPack", "argus", "power mode", "compiler", "plugin"} & set(lines)


def test_a_pc_with_a_card_and_no_driver_is_not(orin: Orin) -> None:
    orin.desktop(card=True)
    NO_TRT(orin)
    lines = lines_of(orin)
    assert (lines["GPU"].colour, lines["GPU"].fix) == ("red", "sudo ubuntu-drivers install && sudo reboot")
    assert lines["TensorRT"].fix.startswith(f"{PIP} tensorrt-rtx-cu13")


def test_a_check_that_fails_or_hangs_stops_no_other(orin: Orin) -> None:
    def fails(place: Place) -> Iterator[Line]:
        raise OSError("unheard of")
        yield Line("never", "green", "")

    def hangs(place: Place) -> Iterator[Line]:
        time.sleep(60)
        yield Line("late", "green", "")

    began = time.monotonic()
    lines = findings(orin.place, [fails, hangs, CHECKS[0]], patience_s=0.5)
    assert time.monotonic() - began < 10
    assert [line.colour for line in lines] == ["yellow", "yellow", "green"]
    assert "unheard of" in lines[0].found
    assert "no answer within" in lines[1].found
