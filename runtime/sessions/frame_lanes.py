"""FrameLanes: frames of one size through an engine, over slots; copied, or in memory that GPU and processor share."""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from runtime.frame import Image, now_ns
from runtime.sessions.cuda import driver_call
from runtime.sessions.cuda_graph import EngineRunner
from runtime.sessions.engine_context import EngineContext
from runtime.sessions.session import GpuTimes, Result
from runtime.sessions.size_range import Size
from runtime.sessions.slots import Slot, leased

HOST_REGISTER_SUPPORTED = 99  # of CUdevice_attribute, which PyCUDA does not name
NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: does not wait for what others give to the default stream


class FrameLanes(ABC):
    """Starts frames and finishes them in the same order. All calls come from the GPU's thread."""

    mapped: bool  # without copies
    depth: int  # frames that may be in flight for the best throughput

    def __init__(self, driver: Any, runner: EngineRunner, size: Size) -> None:
        """size: (height, width), set in the engine. Raises: PyCUDA's errors, DriverError."""
        self._driver, self._runner, self._size = driver, runner, size
        self._bytes = size[0] * size[1] * 3
        self._slots: list[Slot] = []
        self._free: SimpleQueue[Slot] = SimpleQueue()

    def start(self, frame: Image) -> Slot:
        """Take (H, W, 3) uint8 and enqueue everything for it; does not wait."""
        try:
            slot = self._free.get_nowait()
        except Empty:  # the first frames, or all results are held: one more slot, which then stays
            slot = Slot(self._driver, self._size, self.mapped)
            self._slots.append(slot)
        np.copyto(slot.frame.array, frame)
        self._enqueue(slot)
        return slot

    def finish(self, slot: Slot) -> Result:
        """Wait until the slot's result is in our memory; the slot is free again when the result is let go."""
        times = self._wait(slot)
        return Result(leased(slot, self._free), now_ns(), times)

    def describe(self) -> str:
        """For people, once frames have passed: how they reach the GPU and how the network is started."""
        memory = "frames in memory shared with the GPU" if self.mapped else "frames copied beside the computing"
        if not all(slot.frame.is_page_locked for slot in self._slots):
            memory = "frames copied from memory that cannot be page-locked here, which is slower"
        plain = self._runner.plain_because
        return f"{memory}, {f'no CUDA graph of ours: {plain}' if plain else 'CUDA graph'}"

    def close(self) -> None:
        """Wait for what is under way and free everything. Results that are held stay valid."""
        self._stop()
        self._runner.close()
        for slot in self._slots:
            slot.close()
        self._slots.clear()

    @abstractmethod
    def _enqueue(self, slot: Slot) -> None: ...

    @abstractmethod
    def _wait(self, slot: Slot) -> GpuTimes: ...

    @abstractmethod
    def _stop(self) -> None:
        """Wait for the streams and free what is not a slot's."""


class CopyingLanes(FrameLanes):
    """A GPU with memory of its own: upload, compute and download each have a stream, so neighbours overlap.

    The engine always works at one pair of addresses, copied to and from inside the GPU (2.8 MB each for 1280x720):
    one graph serves all slots, and TensorRT-RTX need not record its own again.
    """

    mapped = False
    depth = 3  # one going up, one computing, one coming down

    def __init__(self, driver: Any, runner: EngineRunner, size: Size) -> None:
        super().__init__(driver, runner, size)
        self._upload, self._compute, self._download = (driver.Stream(NON_BLOCKING) for _ in range(3))
        self._frame, self._sharp = (driver.mem_alloc(self._bytes) for _ in range(2))  # (H, W, 3) uint8

    def _enqueue(self, slot: Slot) -> None:
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

    def _wait(self, slot: Slot) -> GpuTimes:
        started, uploaded, computing, computed, downloading, done = slot.events
        done.synchronize()
        return GpuTimes(started.time_till(uploaded), computing.time_till(computed), downloading.time_till(done))

    def _stop(self) -> None:
        for stream in (self._upload, self._compute, self._download):
            stream.synchronize()
        del self._upload, self._compute, self._download, self._frame, self._sharp


class MappedLanes(FrameLanes):
    """A GPU that shares the machine's memory (Jetson): the engine reads and writes the slots themselves."""

    mapped = True
    depth = 2

    def __init__(self, driver: Any, runner: EngineRunner, size: Size) -> None:
        super().__init__(driver, runner, size)
        self._stream = driver.Stream(NON_BLOCKING)

    def _enqueue(self, slot: Slot) -> None:
        computing, computed = slot.events
        computing.record(self._stream)
        self._runner.run(slot.frame.address, slot.sharp.address, self._stream.handle)
        computed.record(self._stream)

    def _wait(self, slot: Slot) -> GpuTimes:
        computing, computed = slot.events
        computed.synchronize()
        return GpuTimes(None, computing.time_till(computed), None)

    def _stop(self) -> None:
        self._stream.synchronize()
        del self._stream


def lanes_for(driver: Any, engine: EngineContext, size: Size, graphs: bool) -> FrameLanes:
    """The lanes that fit the GPU, for frames of (height, width), which the engine is set to."""
    engine.set_size(size)
    lanes = MappedLanes if _shares_memory(driver) else CopyingLanes
    return lanes(driver, EngineRunner(engine, graphs), size)


def _shares_memory(driver: Any) -> bool:
    """Whether the GPU can work in our memory, and sees there what we write: Jetsons can since Xavier."""
    registers = ctypes.c_int()
    driver_call("cuDeviceGetAttribute", ctypes.byref(registers), ctypes.c_int(HOST_REGISTER_SUPPORTED), ctypes.c_int(0))
    integrated = driver.Context.get_device().get_attribute(driver.device_attribute.INTEGRATED)
    return bool(integrated and registers.value)
