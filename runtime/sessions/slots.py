"""Slots: the memory and events of one frame on its way through the GPU. All of it belongs to the GPU's thread."""

from __future__ import annotations

import ctypes
import mmap
from queue import SimpleQueue
from typing import Any

import numpy as np

from runtime.frame import Image
from runtime.sessions.cuda import DriverError, driver_call
from runtime.sessions.size_range import Size

DEVICE_MAP = 2  # CU_MEMHOSTREGISTER_DEVICEMAP
CANNOT_LOCK = (304, 800, 801)  # CUDA_ERROR_OPERATING_SYSTEM, _NOT_PERMITTED, _NOT_SUPPORTED


class HostBuffer:
    """(H, W, 3) uint8 in whole pages of ordinary memory, page-locked until `close` where the driver can do that.

    Not memory of the driver: an array that outlives the session stays valid, only page-locked no more.
    """

    def __init__(self, size: Size, mapped: bool) -> None:
        """mapped: the GPU reads and writes this very memory, at the device address `address`.

        Raises: DriverError.
        """
        self.address, self._registered = 0, False
        pages = mmap.mmap(-1, size[0] * size[1] * 3, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.array: Image = np.frombuffer(pages, np.uint8).reshape(*size, 3)
        self._memory = ctypes.c_void_p(self.array.ctypes.data)
        flags = ctypes.c_uint(DEVICE_MAP if mapped else 0)
        try:
            driver_call("cuMemHostRegister_v2", self._memory, ctypes.c_size_t(self.array.nbytes), flags)
            self._registered = True
        except DriverError as error:
            if mapped or error.code not in CANNOT_LOCK:
                raise  # else the driver copies through memory of its own: right, and slower
        if mapped:
            self.address = self._device_address()

    @property
    def is_page_locked(self) -> bool:
        return self._registered

    def close(self) -> None:
        if self._registered:
            self._registered = False
            driver_call("cuMemHostUnregister", self._memory)

    def _device_address(self) -> int:
        address = ctypes.c_uint64()
        try:
            driver_call("cuMemHostGetDevicePointer_v2", ctypes.byref(address), self._memory, ctypes.c_uint(0))
        except DriverError:
            self.close()
            raise
        return address.value


class Slot:
    """One frame in and one out, with the events that time it."""

    def __init__(self, driver: Any, size: Size, mapped: bool) -> None:
        """mapped: without device memory of its own. Raises: PyCUDA's errors, DriverError; nothing is left then."""
        self.frame: Any = None
        self.sharp: Any = None
        self.frame_device: Any = None  # (H, W, 3) uint8
        self.sharp_device: Any = None
        self.events: list[Any] = []
        try:
            self.frame = HostBuffer(size, mapped)
            self.sharp = HostBuffer(size, mapped)
            if not mapped:
                self.frame_device = driver.mem_alloc(self.frame.array.nbytes)
                self.sharp_device = driver.mem_alloc(self.sharp.array.nbytes)
            # Waiting for them lets the processor sleep.
            self.events = [driver.Event(driver.event_flags.BLOCKING_SYNC) for _ in range(2 if mapped else 6)]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the memory back; nothing may use it on the GPU any more."""
        self.events = []
        for device in (self.frame_device, self.sharp_device):
            if device is not None:
                device.free()
        self.frame_device = self.sharp_device = None
        for buffer in (self.frame, self.sharp):
            if buffer is not None:
                buffer.close()


class Lease:
    """A slot's output on loan: when the last array over it is gone, the slot is free again.

    numpy takes the memory through `__array_interface__` and every view of it keeps this object alive.
    """

    __slots__ = ("__array_interface__", "_free", "_slot")

    def __init__(self, slot: Slot, free: SimpleQueue[Slot]) -> None:
        self.__array_interface__ = slot.sharp.array.__array_interface__
        self._slot, self._free = slot, free

    def __del__(self) -> None:
        self._free.put(self._slot)  # SimpleQueue: the one queue that may be used from here, whatever was interrupted


def leased(slot: Slot, free: SimpleQueue[Slot]) -> Image:
    """The slot's output as an array that gives the slot to `free` at its end."""
    return np.asarray(Lease(slot, free))
