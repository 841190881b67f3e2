"""The GPU of this machine as the CUDA driver describes it, asked through ctypes: no CUDA package is needed."""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass
from pathlib import Path

DRIVER = "libcuda.so.1"
# CUdevice_attribute values; source: cuda.h.
INTEGRATED, CAPABILITY_MAJOR, CAPABILITY_MINOR = 18, 75, 76


@dataclass(frozen=True)
class Gpu:
    """Device 0 of the process (CUDA_VISIBLE_DEVICES chooses it)."""

    name: str
    sm: int  # compute capability without the point: 87 for 8.7
    integrated: bool  # its memory is the machine's, as on a Jetson


def load_driver(library: str = DRIVER) -> ctypes.CDLL | None:
    """The CUDA driver; None where there is none."""
    try:
        return ctypes.CDLL(library)
    except OSError:
        return None


def find_gpu() -> Gpu | None:
    """Describe the first GPU; None when there is no driver or no device. Makes no context."""
    cuda, device, name = load_driver(), ctypes.c_int(), ctypes.create_string_buffer(256)
    if cuda is None or cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        return None
    cuda.cuDeviceGetName(name, len(name), device)
    major, minor, integrated = (
        _attribute(cuda, which, device) for which in (CAPABILITY_MAJOR, CAPABILITY_MINOR, INTEGRATED)
    )
    return Gpu(name.value.decode(), 10 * major + minor, bool(integrated))


def find_platform() -> str:
    """`jetson`, `sbsa` (other Arm servers) or `x86`: engines do not move between them."""
    if Path("/etc/nv_tegra_release").exists():
        return "jetson"
    return "sbsa" if platform.machine() == "aarch64" else "x86"


def _attribute(cuda: ctypes.CDLL, which: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    cuda.cuDeviceGetAttribute(ctypes.byref(value), which, device)
    return value.value
