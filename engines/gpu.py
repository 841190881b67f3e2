"""The GPU of this machine as the CUDA driver describes it, asked through ctypes: no CUDA package is needed."""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass
from pathlib import Path

# CUdevice_attribute values; source: cuda.h.
COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR = 75, 76


@dataclass(frozen=True)
class Gpu:
    """Device 0 of the process (CUDA_VISIBLE_DEVICES chooses it)."""

    name: str
    sm: int  # compute capability without the point: 87 for 8.7
    driver_cuda: str  # newest CUDA version that the driver serves, such as "12.6"


def find_gpu(library: str = "libcuda.so.1") -> Gpu | None:
    """Describe the first GPU; None when there is no driver or no device."""
    try:
        cuda = ctypes.CDLL(library)
    except OSError:
        return None
    device, name, version = ctypes.c_int(), ctypes.create_string_buffer(256), ctypes.c_int()
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        return None
    cuda.cuDeviceGetName(name, len(name), device)
    cuda.cuDriverGetVersion(ctypes.byref(version))
    major, minor = (_attribute(cuda, which, device) for which in (COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR))
    return Gpu(name.value.decode(), 10 * major + minor, f"{version.value // 1000}.{version.value % 1000 // 10}")


def find_platform() -> str:
    """`jetson`, `sbsa` (other Arm servers) or `x86`: engines do not move between them."""
    if Path("/etc/nv_tegra_release").exists():
        return "jetson"
    return "sbsa" if platform.machine() == "aarch64" else "x86"


def _attribute(cuda: ctypes.CDLL, which: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    cuda.cuDeviceGetAttribute(ctypes.byref(value), which, device)
    return value.value
