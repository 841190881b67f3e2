"""`edgedeblur doctor` on a Jetson Orin whose packages, driver or compilers are not as they should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.doctor import probes
from tests.runtime.doctor_orin import (
    CONTAINER,
    DRIVER_SAYS,
    LIBRARY,
    NO_LIBRARY,
    NO_TRT,
    PIP,
    Change,
    Orin,
    answer,
    each,
    lacks,
    lines_of,
    place,
    remove,
    write,
)


@pytest.fixture
def orin(tmp_path: Path) -> Orin:
    return Orin(tmp_path / "orin")


@pytest.mark.parametrize(
    ("change", "subject", "colour", "found", "fix"),
    [
        (place(prefix=Path("/usr")), "Python", "yellow", "no virtual environment", "python3 -m venv"),
        (lacks("numpy", probes.version_of("numpy")), "NumPy", "red", "not installed", f"{PIP} 'numpy>=1.26'"),
        (answer(probes.version_of("av"), {"version": "13.1.0"}), "PyAV", "red", "too old", f"{PIP} 'av>=15.0'"),
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
    ],
)
def test_what_is_wrong_is_named_with_its_fix(
    orin: Orin, change: Change, subject: str, colour: str, found: str, fix: str
) -> None:
    change(orin)
    line = lines_of(orin)[subject]
    assert (line.colour, found in line.found) == (colour, True), line
    assert fix in line.fix
