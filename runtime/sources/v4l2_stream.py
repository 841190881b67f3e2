"""The buffers through which a V4L2 driver streams, shared with it by mmap."""

from __future__ import annotations

import errno
import mmap
import os
import select
from contextlib import suppress
from ctypes import c_int
from dataclasses import dataclass

from runtime.sources import v4l2_api as api
from runtime.sources.v4l2_api import Request
from runtime.sources.v4l2_device import Device

BUFFERS = 4  # one is being filled, one is ready, one is read, one is in reserve
STAMP_WINDOW_NS = 10**10  # a driver's stamp within 10 s of now is on our clock


@dataclass(frozen=True)
class Happened:
    """What a wait ended with."""

    filled: bool = False  # at least one buffer can be taken
    changed: bool = False  # the source has another size now


class Stream:
    """A device that streams, from the making to `close`."""

    def __init__(self, device: Device) -> None:
        """Share buffers, give them to the driver, start. Raises: OSError; nothing is left of it then."""
        self._device = device
        self._maps: list[mmap.mmap] = []
        self._poll = select.poll()
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    @property
    def buffers(self) -> int:
        """How many the driver granted."""
        return len(self._maps)

    def wait(self, seconds: float) -> Happened:
        """Wait for a filled buffer. Raises: OSError when the device is gone."""
        events = dict(self._poll.poll(seconds * 1000)).get(self._device.descriptor, 0)
        if events & select.POLLPRI and self._changed():
            return Happened(changed=True)
        if events & select.POLLIN:
            return Happened(filled=True)
        if events & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return Happened()

    def take(self) -> list[api.Buffer]:
        """All filled buffers, the oldest first; each is the caller's until `give`. Raises: OSError as the driver."""
        taken: list[api.Buffer] = []
        while len(taken) < self.buffers:
            buffer = api.Buffer(type=api.BUF_TYPE_VIDEO_CAPTURE, memory=api.MEMORY_MMAP)
            try:
                self._device.call(Request.DQBUF, buffer)
            except BlockingIOError:
                break
            taken.append(buffer)
        return taken

    def bytes_of(self, buffer: api.Buffer) -> bytes:
        """A copy of what the driver wrote into a buffer, made in one go: it may be slow, uncached memory."""
        data: bytes = self._maps[buffer.index][: buffer.bytesused]
        return data

    def give(self, buffer: api.Buffer) -> None:
        """Let the driver fill a buffer again. Raises: OSError as the driver."""
        self._device.call(Request.QBUF, buffer)

    def close(self) -> None:
        """Stop, and let go of the buffers; also where the device is gone or starting failed half-way."""
        with suppress(OSError):
            self._device.call(Request.STREAMOFF, c_int(api.BUF_TYPE_VIDEO_CAPTURE))
        while self._maps:
            self._maps.pop().close()
        with suppress(OSError):
            self._request(0)

    def _start(self) -> None:
        for index in range(self._request(BUFFERS)):
            buffer = api.Buffer(index=index, type=api.BUF_TYPE_VIDEO_CAPTURE, memory=api.MEMORY_MMAP)
            self._device.call(Request.QUERYBUF, buffer)
            self._maps.append(mmap.mmap(self._device.descriptor, buffer.length, offset=buffer.m.offset))
            self._device.call(Request.QBUF, buffer)
        told = self._device.asks(Request.SUBSCRIBE_EVENT, api.EventSubscription(type=api.EVENT_SOURCE_CHANGE))
        self._poll.register(self._device.descriptor, select.POLLIN | (select.POLLPRI if told else 0))
        self._device.call(Request.STREAMON, c_int(api.BUF_TYPE_VIDEO_CAPTURE))

    def _request(self, count: int) -> int:
        wanted = api.RequestBuffers(count=count, type=api.BUF_TYPE_VIDEO_CAPTURE, memory=api.MEMORY_MMAP)
        self._device.call(Request.REQBUFS, wanted)
        if count and not wanted.count:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), "VIDIOC_REQBUFS")
        return int(wanted.count)

    def _changed(self) -> bool:
        """Whether the event that waits says that the source changed."""
        event = api.Event()
        return self._device.asks(Request.DQEVENT, event) and event.type == api.EVENT_SOURCE_CHANGE


def capture_time(buffer: api.Buffer, arrival_ns: int) -> tuple[int, bool]:
    """When a buffer's picture was captured on CLOCK_MONOTONIC, and whether the driver says so.

    A driver may name our clock and stamp by another one, which then is far from now or ahead of it (a Jetson's TSC).
    """
    if buffer.flags & api.BUF_FLAG_TIMESTAMP_MASK == api.BUF_FLAG_TIMESTAMP_MONOTONIC:
        stamp_ns = buffer.timestamp.tv_sec * 10**9 + buffer.timestamp.tv_usec * 1000
        if 0 <= arrival_ns - stamp_ns < STAMP_WINDOW_NS:
            return stamp_ns, True
    return arrival_ns, False
