"""NetworkSource: live frames of an RTSP or HTTP stream; pictures that FFmpeg knows to be damaged are left out."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, now_ns
from runtime.sources.video_io import bgr_of, reason, stream_text
from runtime.stop import Stop

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

KEYFRAME_PATIENCE_NS = 2_000_000_000  # how long after damage only a whole picture is taken
FASTEST = 1000  # frames a second: what a stream says beyond that is the tick of its clock
KEY_FRAMES = ", and let it send a key frame (I-frame) at least every two seconds"
WAITED_NS = 1_000_000  # a packet that took so long to come was not there already
CATCH_UP_NS = 1_000_000_000  # how long pictures are taken for old ones at the most
SEGMENT_NS = 20_000_000_000  # more than any segment lasts


class NetworkSource:
    """A live stream. It is read without a pause, so that no old frame waits in a socket."""

    live = True
    inputs: tuple[Path, ...] = ()
    time_base: Fraction | None = None  # frame times are nanoseconds of our clock, not the stream's
    missed = superseded = 0

    def __init__(self, name: str, container: InputContainer, timeout_s: float) -> None:
        """name: what the stream is called in messages, without credentials."""
        self.corrupt = 0
        self.notes: list[str] = []
        self._name = name
        self._container = container
        self._stream = container.streams.video[0]
        # One thread: with several FFmpeg looks for no damage, and holds pictures back. Of the pictures of a camera,
        # few have the slices that several could share.
        self._stream.thread_count = 1
        rate = None if container.format.name == "mpjpeg" else self._stream.average_rate or self._stream.guessed_rate
        self.frame_rate: Fraction | None = rate if rate and 0 < rate <= FASTEST else None
        self._timeout_s = timeout_s
        self._packets: Generator[Any] = container.demux()  # type: ignore[assignment]  # it can be closed
        self._ready: deque[tuple[av.VideoFrame, int]] = deque()  # whole pictures, each with its arrival
        self._damage = Damage()
        self._in_segments = container.format.name == "hls"
        # Pictures that came while FFmpeg looked at what the stream is, and until the first is asked for, are old by
        # then: they are decoded and not shown. None: not read yet; 0: none are left.
        self._caught_up_ns: int | None = 0 if self._in_segments else None
        self._zero_ns = 0  # when a picture with time 0 is due, where pictures come in segments
        self._index = 0

    def describe(self) -> str:
        return stream_text(self._name, self._stream, self.frame_rate)

    def read(self, stop: Stop) -> Frame | None:
        """The next whole frame; None when the stream ends or once `stop` is set.

        Raises: Failure (SOURCE) when the stream breaks, or gives nothing that is whole for too long.
        """
        if self._caught_up_ns is None:
            self._caught_up_ns = now_ns() + CATCH_UP_NS
        until_ns, packets = now_ns() + int(self._timeout_s * 1e9), 0
        while not stop.is_set():
            if self._ready:
                return self._frame(*self._ready.popleft(), stop)
            if now_ns() > until_ns:
                raise self._broke(f"{packets} packets came in {self._timeout_s:g} s, and no whole picture", KEY_FRAMES)
            packet = self._next_packet(stop)
            if packet is None:
                return None
            packets += 1
            self._take(packet, now_ns())
        return None

    def _frame(self, picture: av.VideoFrame, arrived_ns: int, stop: Stop) -> Frame | None:
        if self._in_segments:
            arrived_ns = self._due_ns(picture)
            if stop.wait_until(arrived_ns):
                return None
        frame = Frame(bgr_of(picture), self._index, arrived_ns)
        self._index += 1
        return frame

    def _due_ns(self, picture: av.VideoFrame) -> int:
        """When a picture is to be shown that came in one go with those of some seconds: at the pace of its time."""
        now, time_ns = now_ns(), int((picture.time or 0) * 1e9)
        if abs(self._zero_ns + time_ns - now) > SEGMENT_NS:  # the first one, or the stream's clock was set
            self._zero_ns = now - time_ns
        return self._zero_ns + time_ns

    def close(self) -> None:
        self._packets.close()
        self._ready.clear()
        self._container.close()

    def _next_packet(self, stop: Stop) -> Any:
        """The next packet of any kind; None at the end and on a stop. Waits for `timeout_s` at the most.

        Raises: Failure (SOURCE) when the stream breaks.
        """
        import av

        asked_ns = now_ns()
        try:
            packet = next(self._packets)
        except (StopIteration, EOFError):
            self.notes.append(f"{self._name} ended")
            return None
        except (av.error.FFmpegError, OSError) as error:
            if stop.is_set():
                return None
            raise self._broke(why(error, asked_ns, self._timeout_s), ", then start again") from None
        if now_ns() - asked_ns > WAITED_NS:
            self._caught_up_ns = 0
        return packet

    def _take(self, packet: Any, arrived_ns: int) -> None:
        """Decode a packet and keep what is whole of it."""
        import av

        if packet.stream_index != self._stream.index:
            return
        try:
            pictures = [] if packet.is_corrupt else packet.decode()
            damaged = packet.is_corrupt
        except (av.error.FFmpegError, ValueError):
            pictures, damaged = [], True
        if damaged:
            self._damage.note()
            self._count_damaged()
        for picture in pictures:
            if not self._damage.spares(picture):
                self._count_damaged()
            elif now_ns() >= (self._caught_up_ns or 0):
                self._ready.append((picture, arrived_ns))

    def _count_damaged(self) -> None:
        """What comes before the first whole picture is none: a stream is joined between two of them."""
        self.corrupt += 1 if self._index or self._ready else 0

    def _broke(self, why: str, advice: str) -> Failure:
        return Failure(
            f"{self._name} broke after {self._index} frames: {why}; check the camera and its network{advice}",
            ExitCode.SOURCE,
        )


class Damage:
    """Says which pictures are whole.

    FFmpeg marks a picture in which it hid an error, but not those after it, which are made of that one. So after damage
    the next key frame is waited for; where none comes for some time, as a camera may send none, its marks are trusted.
    """

    def __init__(self) -> None:
        self._since_ns = 0  # when there was damage last; 0: none since the last whole picture

    def note(self) -> None:
        """A part of the stream was lost."""
        self._since_ns = now_ns()

    def spares(self, picture: av.VideoFrame) -> bool:
        """Whether a decoded picture is whole."""
        if picture.is_corrupt:
            self.note()
        elif picture.key_frame or now_ns() - self._since_ns > KEYFRAME_PATIENCE_NS:
            self._since_ns = 0
        return not self._since_ns


def why(error: BaseException, asked_ns: int, timeout_s: float) -> str:
    """Why FFmpeg failed on what it was asked for at `asked_ns`, in words."""
    import av

    # PyAV's time limit interrupts FFmpeg, which does not always say so.
    if isinstance(error, av.error.ExitError) or now_ns() - asked_ns >= timeout_s * 1e9:
        return f"no answer in {timeout_s:g} s"
    if getattr(error, "errno", None) == errno.EIO:
        return "there is no such host, or the connection was lost"
    if isinstance(error, av.error.InvalidDataError):
        return "what answers there is no video stream"
    return reason(error)
