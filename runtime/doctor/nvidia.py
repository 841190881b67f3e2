"""What engines need: JetPack, the driver with a GPU, TensorRT, PyCUDA."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from runtime.doctor import probes
from runtime.doctor.line import Line
from runtime.doctor.packages import numbers
from runtime.doctor.place import Answer, Place

JETPACK_OF = {35: "5", 36: "6", 38: "7", 39: "7"}  # by the release of L4T
FIRST_L4T, FIRST_TENSORRT = 36, (10, 3)
NOT_HERE = "not here (ONNX Runtime computes on the CPU)"
RUNTIME = "start the container with --runtime nvidia"
NO_DEVICE, MISMATCH = 100, (803, 804)  # CUDA_ERROR_NO_DEVICE, _SYSTEM_DRIVER_MISMATCH, _COMPAT_NOT_SUPPORTED
# Nodes of which CUDA opens some.
NODES = ("dev/nvmap", "dev/nvhost-ctrl-gpu", "dev/nvgpu/igpu0/*", "dev/nvidia[0-9]", "dev/nvidiactl", "dev/nvidia-uvm")


def jetpack(place: Place) -> Iterator[Line]:
    """The system of a Jetson; nothing elsewhere."""
    if not place.is_jetson:
        return
    release = str(place.facts["l4t"] or "")
    if not release:
        yield Line(
            "JetPack",
            "yellow",
            "this is a Jetson without /etc/nv_tegra_release: engines are taken for those of another platform",
            "in a container add -v /etc/nv_tegra_release:/etc/nv_tegra_release:ro"
            if place.in_container
            else "sudo apt install --reinstall nvidia-l4t-core",
        )
        return
    major = int(release.split(".")[0])
    text = f"{place.facts['device'] or 'Jetson'}, L4T {release} (JetPack {JETPACK_OF.get(major, '?')})"
    if major < FIRST_L4T:
        fix = "write JetPack 6 or newer to the Jetson with NVIDIA's SDK Manager; until then run ONNX files on its CPU"
        yield Line("JetPack", "red", f"{text}: its TensorRT is older than 10.3, which engines need", fix)
    else:
        yield Line("JetPack", "green", text)


def gpu(place: Place) -> Iterator[Line]:
    """CUDA's driver and the device it shows."""
    answer = place.driver
    if place.gpu:
        sm = int(answer.said["sm"])
        served = f"compute capability {sm // 10}.{sm % 10}, driver for CUDA {answer.said['cuda']}"
        yield Line("GPU", "green", f"{place.gpu}, {served}")
    elif not place.expects_gpu:
        yield Line("GPU", "grey", NOT_HERE)
    else:
        yield Line("GPU", "red", *_driver_trouble(place, answer))


def _driver_trouble(place: Place, answer: Answer) -> tuple[str, str]:
    """What is wrong with the driver of a GPU that must be there, and the fix."""
    closed = [path for pattern in NODES for path in sorted(place.root.glob(pattern)) if not place.may_use(path)]
    if answer.error:
        return f"CUDA's driver does not answer: {answer.error}", "sudo dmesg | grep -iE 'nvrm|nvgpu'; sudo reboot"
    if not answer.said["library"]:
        if place.in_container:
            return "the driver libcuda.so.1 is not in this container", f"{RUNTIME}, on a PC with --gpus all"
        if place.is_jetson:
            return "the driver libcuda.so.1 is not installed", "sudo apt install --reinstall nvidia-l4t-cuda"
        return "an NVIDIA card is here and its driver is not", "sudo ubuntu-drivers install && sudo reboot"
    code = int(answer.said["code"])
    if closed:
        group = place.group_of(closed[0])
        return (
            f"no permission to use {_shown(place, closed[0])} (cuInit: {code})",
            f"sudo usermod -aG {group} $USER, then log in again",
        )
    if code in MISMATCH:
        return f"the driver and its kernel module differ (cuInit: {code})", "sudo reboot"
    if code in (0, NO_DEVICE) and place.in_container:
        return f"the driver shows no device in this container (cuInit: {code})", f"{RUNTIME}, on a PC with --gpus all"
    return f"the driver shows no device (cuInit: {code})", "sudo modprobe nvidia_uvm; nvidia-smi; sudo reboot"


def tensorrt(place: Place) -> Iterator[Line]:
    """TensorRT or TensorRT-RTX, as this Python sees it."""
    if not place.expects_gpu:
        yield Line("TensorRT", "grey", NOT_HERE)
        return
    full, rtx = (place.ask(probes.version_of(name)) for name in ("tensorrt", "tensorrt_rtx"))
    if not full.error and numbers(str(full.said["version"])) < FIRST_TENSORRT:
        yield Line("TensorRT", "red", f"{full.said['version']} is too old; engines need 10.3", _tensorrt_fix(place))
    elif not full.error:
        yield Line("TensorRT", "green", str(full.said["version"]))
    elif not rtx.error:
        yield Line("TensorRT", "green", f"TensorRT-RTX {rtx.said['version']}")
    elif full.is_missing and rtx.is_missing:
        yield Line("TensorRT", "red", "not installed where this Python looks", _tensorrt_fix(place))
    else:
        error = rtx.error if full.is_missing else full.error
        yield Line("TensorRT", "red", f"installed, and cannot be loaded: {error}", _tensorrt_fix(place))


def _tensorrt_fix(place: Place) -> str:
    if not place.is_jetson:
        return place.pip("tensorrt-rtx-cu13") + " (RTX cards), or tensorrt in the version that built your engines"
    if any(place.root.glob("usr/lib/python3*/dist-packages/tensorrt")):
        venv = "python3 -m venv --system-site-packages"
        return f"the system's Python has it: /usr/bin/{venv} --upgrade {shlex.quote(str(place.prefix))}"
    return f"{RUNTIME}" if place.in_container else "sudo apt install nvidia-jetpack"


def pycuda(place: Place) -> Iterator[Line]:
    """PyCUDA, which has to be compiled on Jetsons."""
    if not place.expects_gpu:
        yield Line("PyCUDA", "grey", NOT_HERE)
        return
    answer = place.ask(probes.PYCUDA)
    if answer.is_missing and "pycuda" in answer.error:
        yield Line("PyCUDA", "red", "not installed: engines are run through it", _pycuda_fix(place, ""))
    elif answer.error:
        text = f"installed, and cannot be loaded: {answer.error}; it was compiled for another CUDA or Python"
        yield Line("PyCUDA", "red", text, _pycuda_fix(place, "--force-reinstall --no-cache-dir --no-binary pycuda "))
    else:
        yield Line("PyCUDA", "green", str(answer.said["version"]))


def _pycuda_fix(place: Place, how: str) -> str:
    """It comes as source for Arm, and needs cuda.h and a C++ compiler."""
    steps = []
    if not place.has("usr/local/cuda/include/cuda.h"):
        steps += ["sudo apt install nvidia-jetpack" if place.is_jetson else "sudo apt install nvidia-cuda-toolkit"]
    if not place.has("usr/bin/g++") or place.arch == "aarch64":
        steps += ["sudo apt install build-essential python3-dev"]
    steps += ["PATH=/usr/local/cuda/bin:$PATH " + place.pip(f"{how}'pycuda>=2025.1.2'")]
    why = " (there is no ready wheel for aarch64: it compiles for minutes)" if place.arch == "aarch64" else ""
    return " && ".join(steps) + why


def _shown(place: Place, path: Path) -> str:
    return f"/{path.relative_to(place.root)}"
