"""JPEG: small pictures, or two side by side, for viewers. PyAV encodes: it is there, and lets other threads run."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from runtime.frame import Image

FORMAT = "yuvj420p"
BLOCK = 16  # pixels: halves that end with a block do not bleed into each other
WORST, BEST = 31, 2  # of the encoder's quantiser, the wrong way round


class JpegEncoder:
    """Encodes pictures of one size, `parts` of them side by side, no wider than asked for."""

    def __init__(self, size: tuple[int, int], parts: int, width: int, quality: int) -> None:
        """size: (height, width) of each part. width: of all parts together, pixels. quality: 1 to 100."""
        import av
        from av.video.reformatter import VideoReformatter

        self.size = size
        self._part = _part_size(size, parts, width)
        self._scaler = VideoReformatter()
        # Several threads for one small picture cost more processor time than one. Before 17 there is only one.
        self._one_thread = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
        self._frame = av.VideoFrame
        self._codec: Any = av.CodecContext.create("mjpeg", "w")
        self._codec.height, self._codec.width = self._part[0], self._part[1] * parts
        self._codec.pix_fmt = FORMAT
        self._codec.time_base = Fraction(1, 1000)
        self._codec.thread_count = 1  # more would keep pictures back
        quantiser = str(WORST - round((quality - 1) / 99 * (WORST - BEST)))
        self._codec.options = {"qmin": quantiser, "qmax": quantiser, "huffman": "default"}
        self._count = 0

    def encode(self, images: Sequence[Image]) -> bytes:
        """images: as many (H, W, 3) uint8 BGR as there are parts, all of the encoder's size."""
        parts = [self._converted(image) for image in images]
        whole = parts[0] if len(parts) == 1 else self._joined(parts)
        whole.pts = self._count
        self._count += 1
        return b"".join(bytes(packet) for packet in self._codec.encode(whole))

    def _converted(self, image: Image) -> Any:
        frame = self._frame.from_numpy_buffer(np.ascontiguousarray(image), "bgr24")
        height, width = self._part
        return self._scaler.reformat(frame, width, height, FORMAT, interpolation="AREA", **self._one_thread)

    def _joined(self, parts: list[Any]) -> Any:
        """Planes are copied once they are small, which is cheaper than joining the pictures before."""
        whole = self._frame(self._codec.width, self._codec.height, FORMAT)
        for index in range(3):
            pixels = np.hstack([_pixels(part.planes[index]) for part in parts])
            _pixels(whole.planes[index])[:] = pixels
        return whole


def _part_size(size: tuple[int, int], parts: int, width: int) -> tuple[int, int]:
    """(height, width) of each part: whole blocks where there are several, else even, and never enlarged."""
    step = BLOCK if parts > 1 else 2
    part_width = max(step, min(width // parts, size[1]) // step * step)
    return max(2, round(size[0] * part_width / size[1] / 2) * 2), part_width


def _pixels(plane: Any) -> Any:
    """A plane of a video frame as (H, W) uint8, without what pads its rows."""
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
