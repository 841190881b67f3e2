"""RtspFeed: pictures into a running GStreamer pipeline, each with the time at which it was captured."""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from runtime.frame import Image
from runtime.gst_import import import_gst
from runtime.sinks.encoder import Converter

if TYPE_CHECKING:
    import av

KEYFRAME_NS = 10**9  # between two pictures from which a viewer can start, by time: cameras may be slower than they say
KEYFRAME = "GstForceKeyUnit, all-headers=(boolean)true"


class RtspFeed:
    """The way into one `appsrc`. GStreamer's clock is ours, CLOCK_MONOTONIC: a picture's time is its capture."""

    def __init__(self, appsrc: Any, rate: Fraction) -> None:
        """rate: frames a second, about."""
        self.pushed = 0
        self.key_wanted = False  # a viewer came
        self._gst = import_gst()
        self._appsrc, self._rate = appsrc, rate
        self._convert = Converter()
        self._size = (0, 0)
        self._last_ns, self._key_ns = -1, 0
        self._ended = False
        self._one = threading.Lock()

    def push(self, picture: Image, captured_ns: int) -> None:
        """Hand over (H, W, 3) uint8 BGR; what waits before the encoder is replaced by it."""
        base_ns = self._appsrc.get_base_time()
        if not base_ns:  # the pipeline does not run yet
            return
        with self._one:
            if self._ended:
                return
            size = (picture.shape[0], picture.shape[1])
            if size != self._size:
                self._appsrc.set_property("caps", self._caps(size))
                self._size = size
            stamp_ns = max(captured_ns - base_ns, self._last_ns + 1, 0)
            if self.key_wanted or stamp_ns - self._key_ns >= KEYFRAME_NS:
                self.key_wanted, self._key_ns = False, stamp_ns
                self._appsrc.send_event(
                    self._gst.Event.new_custom(
                        self._gst.EventType.CUSTOM_DOWNSTREAM, self._gst.Structure.new_from_string(KEYFRAME)
                    )
                )
            buffer = self._gst.Buffer.new_wrapped(i420_bytes(self._convert(picture)))
            buffer.pts = self._last_ns = stamp_ns
            self._appsrc.emit("push-buffer", buffer)
            self.pushed += 1

    def end(self) -> None:
        """No more pictures come."""
        with self._one:
            self._ended = True
            self._appsrc.emit("end-of-stream")

    def _caps(self, size: tuple[int, int]) -> Any:
        height, width = size[0] + size[0] % 2, size[1] + size[1] % 2
        return self._gst.Caps.from_string(
            f"video/x-raw,format=I420,width={width},height={height},colorimetry=bt709,"
            f"framerate={self._rate.numerator}/{self._rate.denominator}"
        )


def i420_bytes(picture: av.VideoFrame) -> bytes:
    """A 4:2:0 picture as GStreamer lays it out: rows of each plane at multiples of four bytes, planes one by one."""
    planes = []
    for plane in picture.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        planes.append(rows[:, : -(-plane.width // 4) * 4].tobytes())
    return b"".join(planes)
