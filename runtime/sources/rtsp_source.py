"""NetworkSource: live frames of an RTSP or HTTP stream; pictures that FFmpeg knows to be damaged are left out."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, now_ns
from runtime.sources.network_packets import Arrival, PacketReceiver
from runtime.sources.video_io import bgr_of, stream_text
from runtime.stop import POLL_S, Stop

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

KEYFRAME_PATIENCE_NS = 2_000_000_000  # how long after damage only a whole picture is taken
FASTEST = 1000  # frames a second: what a stream says beyond that is the tick of its clock
KEY_FRAMES = ", and let it send a key frame (I-frame) at least every two seconds"
NO_TIME = (
    "there was no time to decode all pictures of {}: let it send fewer or smaller ones, or decode them in hardware, on "
    "a Jetson with gst://rtspsrc location=… latency=0 ! rtph264depay ! h264parse ! nvv4l2decoder ! nvvidconv"
)
LATE_NS = 50_000_000  # a picture that waited for longer than a burst lasts is not shown where a newer one has come
SHOWN_NS = 200_000_000  # but after so long without a picture any is shown
FAR_BEHIND_NS = 1_000_000_000  # so far behind, decoding alone does not keep up
SEGMENT_NS = 20_000_000_000  # more than any segment lasts


class NetworkSource:
    """A live stream. Where decoding and converting do not keep up with it, newer pictures supersede those that wait."""

    live = True
    inputs: tuple[Path, ...] = ()
    time_base: Fraction | None = None  # frame times are nanoseconds of our clock, not the stream's
    missed = 0

    def __init__(self, name: str, container: InputContainer, timeout_s: float) -> None:
        """name: what the stream is called in messages, without credentials."""
        self.corrupt = self.superseded = 0
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
        self._receiver = PacketReceiver(container.demux(), timeout_s)  # type: ignore[arg-type]  # it can be closed
        self._ready: deque[tuple[av.VideoFrame, int]] = deque()  # whole pictures, each with its arrival
        self._damage = Damage()
        self._in_segments = container.format.name == "hls"
        self._skipped_since_ns = 0  # since when packets up to the next key frame are left out; 0: they are not
        self._shown_ns = 0  # when the last picture was found worth showing
        self._zero_ns = 0  # when a picture with time 0 is due, where pictures come in segments
        self._index = 0

    def describe(self) -> str:
        return stream_text(self._name, self._stream, self.frame_rate)

    def read(self, stop: Stop) -> Frame | None:
        """The next whole frame; None when the stream ends or once `stop` is set.

        Raises: Failure (SOURCE) when the stream breaks, or gives nothing that is whole for too long.
        """
        until_ns, packets = now_ns() + int(self._timeout_s * 1e9), 0
        while not stop.is_set():
            if self._ready:
                return self._frame(*self._ready.popleft(), stop)
            if packets and now_ns() > until_ns:
                raise self._broke(f"{packets} packets came in {self._timeout_s:g} s, and no whole picture", KEY_FRAMES)
            arrival = self._receiver.next(stop, POLL_S)
            if arrival is not None:
                packets += 1
                self._take(arrival)
            elif self._receiver.over and not self._receiver.waiting:
                self._end()
                break
        return None

    def _end(self) -> None:
        if self._receiver.why:
            raise self._broke(self._receiver.why, ", then start again")
        self.notes.append(f"{self._name} ended")

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
        self._receiver.close()
        self._ready.clear()
        self._container.close()

    def _take(self, arrival: Arrival) -> None:
        """Decode a packet and keep what is whole of it, and not too old."""
        import av

        packet = arrival.packet
        if packet.stream_index != self._stream.index or self._skips(arrival):
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
            elif self._in_segments or not (arrival.old or self._is_late(arrival)):
                self._ready.append((picture, arrival.at_ns))
                self._shown_ns = now_ns()
            else:
                self.superseded += not arrival.old  # those that came while the stream was opened were nobody's

    def _skips(self, arrival: Arrival) -> bool:
        """Whether a packet is left out, with all up to the next key frame, since decoding does not keep up."""
        behind_ns = now_ns() - arrival.at_ns
        if not self._skipped_since_ns and (self._in_segments or behind_ns < FAR_BEHIND_NS):
            return False
        self._skipped_since_ns = self._skipped_since_ns or now_ns()
        if (note := NO_TIME.format(self._name)) not in self.notes:
            self.notes.append(note)
        if arrival.packet.is_keyframe or now_ns() - self._skipped_since_ns > KEYFRAME_PATIENCE_NS:
            self._damage.note()
            self._skipped_since_ns = 0
            return False
        self.superseded += 1
        return True

    def _is_late(self, arrival: Arrival) -> bool:
        now = now_ns()
        return now - arrival.at_ns > LATE_NS and now - self._shown_ns < SHOWN_NS and self._receiver.waiting > 0

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
