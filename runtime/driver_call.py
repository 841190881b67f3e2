"""Calls of the CUDA driver that PyCUDA does not have (graphs) or not in working order, through ctypes.

PyCUDA 2026.1's `register_host_memory` crashes: it sets the base of an array that has one already.
"""

from __future__ import annotations

import ctypes
from typing import Any

from runtime.gpu import DRIVER

OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY


class DriverError(Exception):
    """What PyCUDA raises of its own kind, for these calls."""

    def __init__(self, function: str, code: int) -> None:
        super().__init__(f"{function} failed: {_text(code)}")
        self.code = code


def driver_call(function: str, *arguments: Any) -> None:
    """Call a function of the driver with ctypes values. Raises: DriverError unless it succeeds."""
    code = getattr(ctypes.CDLL(DRIVER), function)(*arguments)
    if code:
        raise DriverError(function.split("_")[0], code)


def _text(code: int) -> str:
    words = ctypes.c_char_p()
    ctypes.CDLL(DRIVER).cuGetErrorString(code, ctypes.byref(words))
    return words.value.decode() if words.value else f"error {code}"
