"""What a build asks the CUDA driver besides runtime/sessions/gpu.py: its version, and how much memory is free."""

from __future__ import annotations

import ctypes

from runtime.sessions.gpu import DRIVER, load_driver


def driver_cuda(library: str = DRIVER) -> str | None:
    """The newest CUDA version that the driver serves, such as "12.6"; None without a driver."""
    cuda, version = load_driver(library), ctypes.c_int()
    if cuda is None or cuda.cuDriverGetVersion(ctypes.byref(version)):
        return None
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def free_bytes(library: str = DRIVER) -> int | None:
    """Free memory of the first GPU in bytes; None where the driver does not say.

    The driver answers for a context: the primary one, which TensorRT uses too, is held for the question.
    """
    cuda, device, context = load_driver(library), ctypes.c_int(), ctypes.c_void_p()
    if cuda is None or cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        return None
    if cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        return None
    try:
        return _free_in(cuda, context)
    finally:
        cuda.cuDevicePrimaryCtxRelease_v2(device)


def _free_in(cuda: ctypes.CDLL, context: ctypes.c_void_p) -> int | None:
    popped, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
    if cuda.cuCtxPushCurrent_v2(context):
        return None
    failed = cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    cuda.cuCtxPopCurrent_v2(ctypes.byref(popped))
    return None if failed else free.value
