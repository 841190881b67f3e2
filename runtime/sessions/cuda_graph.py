"""EngineRunner: starts an engine on one stream, as a CUDA graph where it can be recorded."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from runtime.sessions.cuda import DriverError, driver_call
from runtime.sessions.engine_context import EngineContext

THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads of the process may allocate meanwhile


class EngineRunner:
    """Belongs to one frame size: graphs are recorded for the size that is set in the engine."""

    def __init__(self, engine: EngineContext, graphs: bool) -> None:
        """graphs: whether to try; TensorRT-RTX records by itself and must not be recorded."""
        self.plain_because = ""  # why it is enqueued plainly; empty where it is recorded
        if engine.own_graphs:
            self.plain_because = "TensorRT-RTX records its own"
        elif not graphs:
            self.plain_because = "not asked for"
        self._engine = engine
        self._graphs: dict[tuple[int, int], CudaGraph] = {}

    def run(self, frame: int, sharp: int, stream: int) -> None:
        """Enqueue one frame. frame, sharp: device addresses; each pair of them has its graph.

        The first time it runs plainly and is recorded after that: what TensorRT prepares for a new size or new
        addresses is done by then, and cannot be recorded.
        """
        if graph := self._graphs.get((frame, sharp)):
            graph.launch(stream)
            return
        self._engine.enqueue(frame, sharp, stream)
        if not self.plain_because:
            try:
                self._graphs[frame, sharp] = CudaGraph(stream, lambda: self._engine.enqueue(frame, sharp, stream))
            except CaptureRefused as refused:
                self.plain_because = str(refused)

    def close(self) -> None:
        for graph in self._graphs.values():
            graph.close()
        self._graphs.clear()


class CaptureRefused(Exception):
    """What cannot be recorded, and why; it can still be enqueued."""


class CudaGraph:
    """Work of one stream, recorded. Make it, launch it and close it in the thread that owns the context."""

    def __init__(self, stream: int, enqueue: Callable[[], None]) -> None:
        """Record what `enqueue` gives to `stream` (a handle); nothing is run.

        Raises: CaptureRefused, after which the stream can be used as before; DriverError for what failed earlier.
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
    driver_call("cuStreamSynchronize", ctypes.c_void_p(stream))  # nothing of an earlier run reaches into the recording
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
