"""CUDA through PyCUDA: the primary context of one thread, calls that PyCUDA lacks, and what errors mean for a user."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.sessions.gpu import DRIVER

OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY
INSTALL = (
    "it is built from source: pip install 'pycuda>=2025.1.2' needs a C++ compiler and cuda.h (on a Jetson there is no "
    "ready wheel: sudo apt install build-essential python3-dev, then PATH=/usr/local/cuda/bin:$PATH pip install pycuda)"
)


def import_pycuda() -> Any:
    """The module `pycuda.driver`. Raises: Failure (ENVIRONMENT) where it is missing or finds no driver."""
    try:
        import pycuda.driver
    except ModuleNotFoundError as error:
        raise Failure(f"engines run through PyCUDA, which is not installed; {INSTALL}", ExitCode.ENVIRONMENT) from error
    except ImportError as error:
        raise Failure(
            f"PyCUDA is installed but cannot be loaded: {error}. It needs the NVIDIA driver ({DRIVER}) and must have "
            "been built for a CUDA that the driver serves: see nvidia-smi, and install PyCUDA again with pip install "
            "--force-reinstall --no-cache-dir pycuda",
            ExitCode.ENVIRONMENT,
        ) from error
    return pycuda.driver


class DriverError(Exception):
    """What PyCUDA raises of its own kind, for `driver_call`."""

    def __init__(self, function: str, code: int) -> None:
        super().__init__(f"{function} failed: {_error_text(code)}")
        self.code = code


def driver_call(function: str, *arguments: Any) -> None:
    """Call a function of the driver with ctypes values. Raises: DriverError unless it succeeds.

    For what PyCUDA does not have (graphs) or not in working order: `register_host_memory` of 2026.1 crashes, since it
    sets the base of an array that has one already.
    """
    code = getattr(_library(), function)(*arguments)
    if code:
        raise DriverError(function.split("_")[0], code)


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(DRIVER)


def _error_text(code: int) -> str:
    words = ctypes.c_char_p()
    _library().cuGetErrorString(code, ctypes.byref(words))
    return words.value.decode() if words.value else f"error {code}"


@contextmanager
def primary_context(driver: Any) -> Iterator[None]:
    """The primary context of device 0, current in this thread inside the block.

    Everything made in the block must be gone, in this thread, before the block ends. After an error that broke the
    context (see `is_broken`) leave it be instead: PyCUDA then drops it without another call.
    """
    driver.init()
    context = driver.Device(0).retain_primary_context()
    try:
        context.push()
        yield
    finally:
        # Not `pop`: it fails on a broken context, and PyCUDA then ends the process with the thread. Not the destructor:
        # it releases a primary context as if it were another kind. `detach` also takes the context off PyCUDA's stack;
        # the driver's own stack, where `detach` puts what could not be pushed, is left to us.
        context.detach()
        with suppress(DriverError):
            driver_call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))


def is_broken(driver: Any) -> bool:
    """Whether an earlier error was one that no later call survives: a fault on the device, or a lost device."""
    try:
        driver.Context.synchronize()
    except driver.Error:
        return True
    return False


def cuda_failure(driver: Any, error: Exception, doing: str) -> Failure:
    """What an error of PyCUDA, or a DriverError, means. doing: what failed, such as "uploading a frame"."""
    if isinstance(error, driver.MemoryError) or getattr(error, "code", 0) == OUT_OF_MEMORY:
        return Failure(
            f"GPU memory ran out while {doing} ({error}); close other programs that use the GPU (see nvidia-smi), or "
            "build an engine for smaller frames",
            ExitCode.MEMORY,
        )
    return gpu_failure(error, doing)


def gpu_failure(error: Exception, doing: str) -> Failure:
    """The device is at fault, whatever noticed it."""
    if isinstance(error, Failure) and error.code == ExitCode.ENVIRONMENT:
        return error
    advice = "see nvidia-smi and the kernel's log (dmesg), and start again"
    return Failure(f"the GPU failed while {doing}: {error}; {advice}", ExitCode.ENVIRONMENT)
