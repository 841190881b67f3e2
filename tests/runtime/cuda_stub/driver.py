"""The stub's own functions: what is alive, what shall fail, and what a kernel may touch. Only inside the stub."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from runtime.frame import Image

# What the driver gave out and must have back.
OWNED = ("device", "registered", "streams", "events", "graphs", "retained", "pushed")
HostFunction = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def library() -> ctypes.CDLL:
    """The stub. Raises: OSError, AttributeError where another libcuda.so.1 is loaded or none."""
    cuda = ctypes.CDLL("libcuda.so.1")
    cuda.stub_counter.restype = ctypes.c_long
    cuda.stub_kernel_memory.restype = ctypes.c_void_p
    return cuda


def counter(name: str) -> int:
    return int(library().stub_counter(name.encode()))


def alive() -> dict[str, int]:
    """What is still given out, by kind; empty when all came back."""
    return {name: count for name in OWNED if (count := counter(name))}


def fail(function: str, nth: int, code: int) -> None:
    """The nth call of `function` from now on returns `code`; nth 0: every call does."""
    library().stub_fail(function.encode(), ctypes.c_long(nth), code)


def is_recording(stream: int) -> bool:
    """Whether a stream (its handle) is being captured."""
    return bool(library().stub_is_recording(ctypes.c_void_p(stream)))


def is_idle(stream: int) -> bool:
    """Whether all that a stream was given is done."""
    return int(library().cuStreamQuery(ctypes.c_void_p(stream))) == 0


def reset() -> None:
    library().stub_reset()


def kernel_memory(address: int, shape: tuple[int, ...]) -> Image:
    """What lies at a device address, uint8. Raises: ValueError where no device could go."""
    size = int(np.prod(shape))
    host = library().stub_kernel_memory(ctypes.c_uint64(address), ctypes.c_size_t(size))
    if not host:
        raise ValueError(f"a kernel went to {address:#x}, where it has no memory of {size} bytes")
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(host)).reshape(shape)


class Kernel:
    """A Python function that a stream runs when its turn comes, as often as it or its graph says."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.error: Exception | None = None

        def call(_: Any) -> None:
            try:
                function()
            except Exception as error:  # it would be printed and lost
                self.error = error

        self._call = HostFunction(call)  # must outlive the stream's use of it

    def launch(self, stream: int) -> int:
        """Enqueue it; CUresult."""
        return int(library().cuLaunchHostFunc(ctypes.c_void_p(stream), self._call, None))
