"""V4l2Source: live frames of a V4L2 camera, the newest first, with the time each was captured."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, now_ns, size_text
from runtime.sources import v4l2_api as api
from runtime.sources.source import SourceOptions
from runtime.sources.v4l2_controls import set_controls
from runtime.sources.v4l2_device import Device, failing, open_camera
from runtime.sources.v4l2_jpeg import JpegPictures
from runtime.sources.v4l2_offer import Agreed, take_signal
from runtime.sources.v4l2_raw import RawPictures
from runtime.sources.v4l2_settle import settle
from runtime.sources.v4l2_stream import Stream, capture_time
from runtime.stop import POLL_S, Stop

COUNTS = 2**32  # sequence numbers start again there
SLOW_FRAMES = 3  # a camera may be silent for so many of its own frame periods


class V4l2Source:
    """A V4L2 camera that streams. Frames are taken from the driver as soon as they are there."""

    live = True

    def __init__(self, path: str, options: SourceOptions) -> None:
        """Open, set up and start the camera at `path`. Raises: Failure as `open_v4l2`."""
        self.inputs: tuple[Path, ...] = ()
        self.corrupt = self.missed = 0
        self.superseded = 0  # whole frames that waited in the driver when a newer one was there
        self.notes: list[str] = []
        self.frame_rate: Fraction | None = None
        self.time_base: Fraction | None = None  # frame times are nanoseconds of our clock
        self._path, self._options = path, options
        self._next_index = 0
        self._last_sequence: int | None = None
        self._device: Device | None = None
        self._stream: Stream | None = None
        with failing("camera", path):
            self._open()

    def describe(self) -> str:
        pace = f"{float(self.frame_rate):.2f} frames/s" if self.frame_rate else "unknown rate"
        return f"{self._path} ({self._name}), {self._agreed.codec} {size_text(self._agreed.size)}, {pace}"

    def read(self, stop: Stop) -> Frame | None:
        """The newest frame, waiting for one where there is none; None once `stop` is set.

        Raises: Failure (SOURCE) when the camera is gone, breaks or gives no whole frame for `timeout_s`, or for three
        of its frame periods where those are longer.
        """
        patience_s = max(self._options.timeout_s, SLOW_FRAMES / float(self.frame_rate or 1000))
        deadline_ns = now_ns() + int(patience_s * 1e9)
        with failing("camera", self._path):
            first = True
            while not stop.is_set():
                frame = self._next(first)
                if frame is not None:
                    return frame
                first = False
                if now_ns() > deadline_ns:
                    raise self._silent(patience_s)
        return None

    def close(self) -> None:
        """Stop the camera and let go of it; a second time does nothing."""
        stream, self._stream = self._stream, None
        device, self._device = self._device, None
        if stream is not None:
            stream.close()
        if device is not None:
            device.close()

    def _open(self) -> None:
        self._device = open_camera(self._path)
        self._name = self._device.name
        try:
            take_signal(self._device)
            self._agreed, remarks = settle(self._device, self._options)
            remarks += set_controls(self._device, self._options.controls)
            for remark in remarks:
                _note(self.notes, remark)
            self.frame_rate = self._agreed.rate
            self._pictures = _reader(self._agreed, partial(_note, self.notes))
            self._stream = Stream(self._device)
        except BaseException:
            self.close()
            raise
        self._last_sequence = None

    def _next(self, first: bool) -> Frame | None:
        """The newest whole frame that comes within POLL_S; None where there is none. first: of this reading."""
        assert self._stream is not None  # reading ends with `close`
        happened = self._stream.wait(POLL_S)
        if happened.changed:
            self._take_change()
            return None
        if not happened.filled or (newest := self._newest(self._stream, first)) is None:
            return None
        data, index, captured_ns, stamped = newest
        image = self._pictures.bgr(data)
        if image is None:
            self.corrupt += 1
            return None
        return Frame(image, index, captured_ns, stamped)

    def _newest(self, stream: Stream, first: bool) -> tuple[bytes, int, int, bool] | None:
        """What the newest good buffer holds, its index, and when it was captured; the driver gets all buffers back."""
        buffers, arrival_ns = stream.take(), now_ns()
        # Nobody read for so long that the driver ran out of buffers: even the newest is old, the next is fresh.
        stale = first and len(buffers) == stream.buffers > 1
        early = stale and not self._next_index  # nobody read at all until now: nothing is lost
        newest = None if early else self._look_through(buffers)
        if stale and newest is not None:
            self.superseded += 1
            newest = None
        taken = newest and (stream.bytes_of(newest[0]), newest[1], *capture_time(newest[0], arrival_ns))
        for buffer in buffers:
            stream.give(buffer)
        return taken

    def _look_through(self, buffers: list[api.Buffer]) -> tuple[api.Buffer, int] | None:
        """The newest good one of the buffers, with its index; all are counted."""
        newest: tuple[api.Buffer, int] | None = None
        for buffer in buffers:
            index = self._count(buffer.sequence)
            if buffer.flags & api.BUF_FLAG_ERROR:
                self.corrupt += 1
            else:
                self.superseded += newest is not None
                newest = buffer, index
        return newest

    def _count(self, sequence: int) -> int:
        """The index of a frame by the camera's number of it; numbers left out are frames missed."""
        step = 1 if self._last_sequence is None else (sequence - self._last_sequence) % COUNTS
        if not 0 < step < COUNTS // 2:  # it does not count, or began anew
            step = 1
        self._last_sequence = sequence
        self.missed += step - 1
        self._next_index += step
        return self._next_index - 1

    def _take_change(self) -> None:
        """The source has another size or rate: the driver goes on only once all is set up anew."""
        self.close()
        self._open()
        _note(self.notes, f"camera {self._path} changed to {size_text(self._agreed.size)} while it ran")

    def _silent(self, patience_s: float) -> Failure:
        seen = f"{self.corrupt} damaged ones so far" if self.corrupt else "and no damaged one"
        return Failure(
            f"camera {self._path} gave no whole frame for {patience_s:g} s ({seen}); check its cable, or "
            "try a smaller size, a lower rate or another --input-codec",
            ExitCode.SOURCE,
        )


def open_v4l2(uri: str, options: SourceOptions) -> V4l2Source:
    """Open v4l2://PATH, where PATH is a video node or a link to one.

    Raises: Failure (USAGE) for another URI, a format, control or value that there is not, (SOURCE) without such a
    camera or where it is in use, gives no pictures or refuses, (ENVIRONMENT) without permission.
    """
    path = uri.removeprefix("v4l2://")
    if not path.startswith("/"):
        raise Failure(f"'{uri}' is not a V4L2 camera; expected v4l2:///dev/videoN or /dev/videoN")
    return V4l2Source(path, options)


def _reader(agreed: Agreed, note: Callable[[str], None]) -> RawPictures | JpegPictures:
    return JpegPictures(agreed, note) if agreed.codec == "MJPG" else RawPictures(agreed)


def _note(notes: list[str], text: str) -> None:
    if text not in notes:  # a camera that changes for months says the same again and again
        notes.append(text)
