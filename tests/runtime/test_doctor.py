"""`edgedeblur doctor` on a Jetson Orin from which one thing after the other is taken, and on this machine."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgedeblur import ExitCode, main
from runtime.doctor import probes
from runtime.doctor.camera import try_camera
from runtime.doctor.line import Line
from runtime.doctor.place import Answer, Place, ask_python, is_port_free
from runtime.doctor_command import CHECKS, findings
from runtime.sources.source import Source, SourceOptions
from runtime.sources.v4l2_cameras import Camera
from tests.runtime.doctor_orin import DRIVER, LIBRARY, SENSOR, Orin, missing

PIP = "/home/ann/venv/bin/python -m pip install"
Change = Callable[[Orin], Any]


@pytest.fixture
def orin(tmp_path: Path) -> Orin:
    return Orin(tmp_path / "orin")


def lines_of(orin: Orin) -> dict[str, Line]:
    return {line.subject: line for line in findings(orin.place, CHECKS)}


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


@pytest.mark.parametrize(
    ("change", "subject", "colour", "found", "fix"),
    [
        (place(prefix=Path("/usr")), "Python", "yellow", "no virtual environment", "python3 -m venv"),
        (lacks("numpy", probes.version_of("numpy")), "NumPy", "red", "not installed", f"{PIP} 'numpy>=1.26'"),
        (answer(probes.version_of("av"), {"version": "13.1.0"}), "PyAV", "red", "too old", f"{PIP} 'av>=14.0'"),
        (
            answer(probes.version_of("onnxruntime"), error="ImportError: libonnx.so: bad"),
            "ONNX Runtime",
            "red",
            "cannot be loaded: ImportError",
            f"{PIP} --force-reinstall onnxruntime",
        ),
        (
            place(python_version=(3, 12)),
            "ONNX Runtime",
            "yellow",
            "no DeformConv",
            f"{PIP} --upgrade 'onnxruntime>=1.25'",
        ),
        (
            answer(probes.CODECS, {"libx264": False, "mjpeg": True, "h264": True}),
            "codecs",
            "yellow",
            "lacks libx264",
            f"{PIP} --force-reinstall --only-binary av av",
        ),
        (
            answer(probes.CODECS, {"libx264": True, "mjpeg": True, "h264": False}),
            "codecs",
            "red",
            "does not decode H.264",
            f"{PIP} --force-reinstall --only-binary av av",
        ),
        (
            write("etc/nv_tegra_release", "# R35 (release), REVISION: 4.1, GCID: 1\n"),
            "JetPack",
            "red",
            "L4T 35.4.1 (JetPack 5): its TensorRT is older than 10.3",
            "SDK Manager",
        ),
        (
            each(remove("etc/nv_tegra_release"), CONTAINER),
            "JetPack",
            "yellow",
            "taken for those of another platform",
            "-v /etc/nv_tegra_release:/etc/nv_tegra_release:ro",
        ),
        (
            NO_LIBRARY,
            "GPU",
            "red",
            "libcuda.so.1 is not installed",
            "sudo apt install --reinstall nvidia-l4t-cuda",
        ),
        (each(NO_LIBRARY, CONTAINER), "GPU", "red", "not in this container", "--runtime nvidia"),
        (
            each(answer(probes.DRIVER, {**DRIVER_SAYS, "code": 100}), lambda orin: orin.closed.add("nvmap")),
            "GPU",
            "red",
            "no permission to use /dev/nvmap",
            "sudo usermod -aG video $USER",
        ),
        (answer(probes.DRIVER, {**DRIVER_SAYS, "code": 803}), "GPU", "red", "differ (cuInit: 803)", "sudo reboot"),
        (
            answer(probes.DRIVER, {**DRIVER_SAYS, "code": 999}),
            "GPU",
            "red",
            "no device (cuInit: 999)",
            "sudo modprobe nvidia_uvm",
        ),
        (answer(probes.DRIVER, error="no answer within 5 s"), "GPU", "red", "does not answer", "dmesg"),
        (
            NO_TRT,
            "TensorRT",
            "red",
            "not installed where this Python looks",
            "/usr/bin/python3 -m venv --system-site-packages --upgrade",
        ),
        (
            each(
                NO_TRT,
                remove("usr/lib/python3.10/dist-packages/tensorrt/__init__.py"),
                lambda orin: (orin.root / "usr/lib/python3.10/dist-packages/tensorrt").rmdir(),
            ),
            "TensorRT",
            "red",
            "not installed",
            "sudo apt install nvidia-jetpack",
        ),
        (
            answer(probes.version_of("tensorrt"), {"version": "8.5.2"}),
            "TensorRT",
            "red",
            "8.5.2 is too old",
            "--system-site-packages",
        ),
        (
            answer(probes.version_of("tensorrt"), error="ImportError: libnvinfer.so.10: cannot open"),
            "TensorRT",
            "red",
            "cannot be loaded: ImportError: libnvinfer.so.10",
            "--system-site-packages",
        ),
        (
            lacks("pycuda", probes.PYCUDA),
            "PyCUDA",
            "red",
            "not installed",
            "sudo apt install build-essential python3-dev && PATH=/usr/local/cuda/bin:$PATH "
            f"{PIP} 'pycuda>=2025.1.2' (there is no ready wheel for aarch64",
        ),
        (
            each(lacks("pycuda", probes.PYCUDA), remove("usr/local/cuda/include/cuda.h")),
            "PyCUDA",
            "red",
            "not installed",
            "sudo apt install nvidia-jetpack && sudo apt install build-essential",
        ),
        (
            answer(probes.PYCUDA, error="ImportError: undefined symbol: cuDevice"),
            "PyCUDA",
            "red",
            "compiled for another CUDA or Python",
            f"{PIP} --force-reinstall --no-cache-dir --no-binary pycuda 'pycuda>=2025.1.2'",
        ),
        (remove("usr/local/cuda/bin/nvcc"), "compiler", "yellow", "no nvcc", "sudo apt install nvidia-jetpack"),
        (
            each(remove("usr/bin/g++"), remove("usr/include/aarch64-linux-gnu/NvInfer.h")),
            "compiler",
            "yellow",
            "no g++, no TensorRT's headers",
            "sudo apt install g++ && sudo apt install libnvinfer-headers-dev",
        ),
        (write(LIBRARY, "half"), "plugin", "yellow", "its sum differs", "-m engines.plugin_library"),
        (
            answer(probes.version_of("tensorrt"), {"version": "11.1.0"}),
            "plugin",
            "yellow",
            "compiled for TensorRT 10.3.0, sm87; here are TensorRT 11.1.0, sm87",
            "/home/ann/venv/bin/python -m engines.plugin_library",
        ),
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


def test_questions_to_another_python(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask_python("print('noise'); print('{\"a\": 1}')").said == {"a": 1}
    assert ask_python("import no_such_module_at_all").is_missing
    crash = f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})"
    assert ask_python(crash).error == "it crashed (SIGSEGV)"
    assert ask_python("raise SystemExit(7)").error == "exit code 7"
    assert ask_python("print('no JSON')").error
    assert ask_python("pass").error
    monkeypatch.setattr("runtime.doctor.place.PATIENCE_S", 0.5)
    assert ask_python("import time; time.sleep(60)").error == "no answer within 0.5 s"


def test_a_port_in_use() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert not is_port_free(server.getsockname()[1])


def test_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """The real questions, with what the tests need installed."""
    code = main(["doctor", "--json"])
    lines = {line["subject"]: line for line in json.loads(capsys.readouterr().out)}
    assert code == (ExitCode.ENVIRONMENT if any(line["colour"] == "red" for line in lines.values()) else 0)
    for subject in ("NumPy", "PyAV", "ONNX Runtime", "codecs"):
        assert lines[subject]["colour"] == "green", lines[subject]
    assert not [line for line in lines.values() if "cannot be told" in line["found"]]
    assert main(["doctor"]) == code
    text = capsys.readouterr().out
    assert "green  NumPy" in text
    assert text.strip().endswith("yellow")


def test_a_camera_is_tried(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json", "--camera", "test://96x64@30"])
    lines = {line["subject"]: line for line in json.loads(capsys.readouterr().out)}
    assert "96x64" in lines["camera"]["found"]
    assert "of 96x64 in" in lines["frames"]["found"]
    assert "announced 30" in lines["frames"]["found"]
    assert lines["losses"]["colour"] == "green"
    assert SENSOR.path not in lines


@pytest.mark.parametrize(
    ("uri", "words", "hidden"),
    [
        ("/dev/video77", "there is no camera /dev/video77", ""),
        ("rtsp://ann:secret@127.0.0.1:9/x", "127.0.0.1:9/x", "secret"),
        ("3", "could mean several cameras", ""),
    ],
)
def test_a_camera_that_does_not_work_is_red(uri: str, words: str, hidden: str) -> None:
    (line,) = try_camera(uri, SourceOptions(timeout_s=1.0))
    assert line.colour == "red"
    assert words in line.found
    assert line.fix
    assert not hidden or hidden not in line.found + line.fix


def test_a_red_camera_is_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--camera", "/dev/video77"]) == ExitCode.ENVIRONMENT
    assert "red    camera" in capsys.readouterr().out


def test_a_camera_whose_driver_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(uri: str, options: SourceOptions) -> Source:
        time.sleep(20)
        raise AssertionError("nobody waits for it")

    monkeypatch.setattr("runtime.doctor.camera.open_source", hangs)
    (line,) = try_camera("/dev/video0", SourceOptions(), patience_s=0.2)
    assert (line.colour, "its driver hangs" in line.found) == ("red", True)
    assert "unplug it" in line.fix
