"""FrameLanes: frames through an engine, over slots; copied to the GPU and back, or in memory that both share."""

from __future__ import annotations

from typing import Any, Protocol

from runtime.cuda_graph import CaptureRefused, CudaGraph
from runtime.engine_context import EngineContext
from runtime.session import GpuTimes
from runtime.size_range import Size
from runtime.slots import Slot


class FrameLanes(Protocol):
    """How frames of one size pass. All calls come from the GPU's thread."""

    depth: int  # frames that may be in flight for the best throughput

    def new_slot(self) -> Slot: ...

    def start(self, slot: Slot) -> None:
        """Enqueue everything for the frame in `slot`; does not wait."""
        ...

    def finish(self, slot: Slot) -> GpuTimes:
        """Wait until the slot's result is in our memory."""
        ...

    def close(self) -> None:
        """Wait for what is under way and give back what is not a slot's."""
        ...


class EngineRunner:
    """The engine on one stream, as a recorded CUDA graph where that can be had."""

    def __init__(self, engine: EngineContext, graphs: bool) -> None:
        """graphs: whether to try; TensorRT-RTX records by itself and must not be recorded."""
        self.plain_because = ""  # why it is enqueued plainly
        if engine.own_graphs:
            self.plain_because = "TensorRT-RTX records its own graphs"
        elif not graphs:
            self.plain_because = "not asked for"
        self._engine = engine
        self._graphs: dict[tuple[int, int], CudaGraph | None] = {}

    def run(self, frame: int, sharp: int, stream: int) -> None:
        """Enqueue one frame. frame, sharp: device addresses; each pair of them is recorded when it comes again.

        The first time is plain, since an engine may prepare itself then, which cannot be recorded.
        """
        key = (frame, sharp)
        if self.plain_because or key not in self._graphs:
            self._engine.enqueue(frame, sharp, stream)
            self._graphs.setdefault(key, None)
            return
        graph = self._graphs[key]
        if graph is None:
            try:
                graph = CudaGraph(stream, lambda: self._engine.enqueue(frame, sharp, stream))
            except CaptureRefused as refused:
                self.plain_because = str(refused)
                self._engine.enqueue(frame, sharp, stream)
                return
            self._graphs[key] = graph
        graph.launch(stream)

    def close(self) -> None:
        for graph in self._graphs.values():
            if graph is not None:
                graph.close()
        self._graphs.clear()


class CopyingLanes:
    """A GPU with memory of its own: upload, compute and download each have a stream, so neighbours overlap.

    The engine always works at one pair of addresses, copied to and from inside the GPU (a few microseconds): one
    graph serves all slots, and TensorRT-RTX need not record its own again.
    """

    depth = 3  # one going up, one computing, one coming down

    def __init__(self, driver: Any, runner: EngineRunner, size: Size) -> None:
        self._driver, self._runner, self._size = driver, runner, size
        self._bytes = size[0] * size[1] * 3
        self._upload, self._compute, self._download = (driver.Stream() for _ in range(3))
        self._frame: Any = None
        self._sharp: Any = None
        self._frame = driver.mem_alloc(self._bytes)
        self._sharp = driver.mem_alloc(self._bytes)

    def new_slot(self) -> Slot:
        return Slot(self._driver, self._size, mapped=False)

    def start(self, slot: Slot) -> None:
        driver = self._driver
        started, uploaded, computing, computed, downloading, done = slot.events
        started.record(self._upload)
        driver.memcpy_htod_async(slot.frame_device, slot.frame.array, self._upload)
        uploaded.record(self._upload)
        self._compute.wait_for_event(uploaded)
        driver.memcpy_dtod_async(self._frame, slot.frame_device, self._bytes, self._compute)
        computing.record(self._compute)
        self._runner.run(int(self._frame), int(self._sharp), self._compute.handle)
        computed.record(self._compute)
        driver.memcpy_dtod_async(slot.sharp_device, self._sharp, self._bytes, self._compute)
        downloading.record(self._compute)
        self._download.wait_for_event(downloading)
        driver.memcpy_dtoh_async(slot.sharp.array, slot.sharp_device, self._download)
        done.record(self._download)

    def finish(self, slot: Slot) -> GpuTimes:
        started, uploaded, computing, computed, downloading, done = slot.events
        done.synchronize()
        return GpuTimes(started.time_till(uploaded), computing.time_till(computed), downloading.time_till(done))

    def close(self) -> None:
        for stream in (self._upload, self._compute, self._download):
            stream.synchronize()
        for memory in (self._frame, self._sharp):
            if memory is not None:
                memory.free()
        self._frame = self._sharp = None
        del self._upload, self._compute, self._download


class MappedLanes:
    """A GPU that shares the machine's memory (Jetson): the engine reads and writes the slots themselves."""

    depth = 2

    def __init__(self, driver: Any, runner: EngineRunner, size: Size) -> None:
        self._driver, self._runner, self._size = driver, runner, size
        self._stream = driver.Stream()

    def new_slot(self) -> Slot:
        return Slot(self._driver, self._size, mapped=True)

    def start(self, slot: Slot) -> None:
        computing, computed = slot.events
        computing.record(self._stream)
        self._runner.run(slot.frame.address, slot.sharp.address, self._stream.handle)
        computed.record(self._stream)

    def finish(self, slot: Slot) -> GpuTimes:
        computing, computed = slot.events
        computed.synchronize()
        return GpuTimes(None, computing.time_till(computed), None)

    def close(self) -> None:
        self._stream.synchronize()
        del self._stream
