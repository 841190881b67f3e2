"""CudaGraph: one enqueue recorded and launched again as a whole."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from runtime.driver_call import DriverError, driver_call

THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads of the process may allocate meanwhile


class CaptureRefused(Exception):
    """What cannot be recorded, and why; it can still be enqueued."""


class CudaGraph:
    """Work of one stream, recorded. Make it, launch it and close it in the thread that owns the context."""

    def __init__(self, stream: int, enqueue: Callable[[], None]) -> None:
        """Record what `enqueue` gives to `stream` (a handle); nothing is run.

        Raises: CaptureRefused. The stream can be used as before in any case.
        """
        self._executable = ctypes.c_void_p()
        graph = _record(stream, enqueue)
        try:
            driver_call("cuGraphInstantiateWithFlags", ctypes.byref(self._executable), graph, ctypes.c_ulonglong(0))
        except DriverError as error:
            raise CaptureRefused(str(error)) from None
        finally:
            driver_call("cuGraphDestroy", graph)

    def launch(self, stream: int) -> None:
        """Enqueue the recorded work. Raises: DriverError."""
        driver_call("cuGraphLaunch", self._executable, ctypes.c_void_p(stream))

    def close(self) -> None:
        if self._executable:
            driver_call("cuGraphExecDestroy", self._executable)
            self._executable = ctypes.c_void_p()


def _record(stream: int, enqueue: Callable[[], None]) -> ctypes.c_void_p:
    graph, refused = ctypes.c_void_p(), ""
    try:
        driver_call("cuStreamBeginCapture_v2", ctypes.c_void_p(stream), ctypes.c_int(THREAD_LOCAL))
    except DriverError as error:
        raise CaptureRefused(str(error)) from None
    try:
        enqueue()
    except Exception as error:
        refused = str(error)  # not the error: its frames would keep the GPU's objects alive
    try:
        driver_call("cuStreamEndCapture", ctypes.c_void_p(stream), ctypes.byref(graph))
    except DriverError as error:
        refused = refused or str(error)
    if graph and refused:
        driver_call("cuGraphDestroy", graph)
    if refused or not graph:
        raise CaptureRefused(refused or "nothing was recorded")
    return graph
