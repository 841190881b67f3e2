"""RtspPush: sends the stream to an RTSP server, `rtsp://HOST:PORT/NAME`; the pipeline never waits for it."""

from __future__ import annotations

import random
import threading
import time
from fractions import Fraction

from runtime.frame import Frame, Image, now_ns, size_text
from runtime.live.backoff import Backoff
from runtime.live.sparingly import Sparingly
from runtime.mailboxes import Mailbox
from runtime.sinks.encoder import STREAM_ENCODERS, candidates
from runtime.sinks.file_clock import FileClock, believable_rate
from runtime.sinks.rtp_packets import CLOCK_RATE, RtpStream
from runtime.sinks.rtsp_address import RtspAddress
from runtime.sinks.rtsp_publisher import RtspPublisher
from runtime.sinks.sink import SinkOptions
from runtime.sinks.stream_encoder import StreamEncoder
from runtime.stop import Stop

TIMEOUT_S = 5.0  # for a server to answer, and to take a picture
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0  # before the next attempt, at most
PROVEN_NS = 10 * 10**9  # a server that took the stream for so long starts the waits from the first again
REPORT_NS = 5 * 10**9  # between two reports
PATIENCE_S = 1.5  # to send what is left once the run is over


class RtspPush:
    """A thread of its own takes the newest picture, encodes and sends it. What comes meanwhile is dropped and counted.

    A server that is not there or goes away is tried again for as long as the run goes on.
    """

    any_size = True

    def __init__(self, address: RtspAddress, options: SinkOptions) -> None:
        """Raises: Failure (USAGE) for an unknown encoder, (ENVIRONMENT) when this FFmpeg has none for H.264."""
        self._address, self._options = address, options
        self._say = Sparingly(options.say)
        rate = believable_rate(options.frame_rate)
        self._encoder = StreamEncoder(candidates(options.encoder, STREAM_ENCODERS), rate, options.bitrate)
        self._clock = FileClock(True, rate, Fraction(1, CLOCK_RATE))
        self._box: Mailbox[tuple[Image, Frame]] = Mailbox(1, latest=True)
        self._stop = Stop()
        self._link: RtspPublisher | None = None
        self._rtp = RtpStream(random.getrandbits(32))
        self._failure: BaseException | None = None
        self._backoff, self._told = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S), ""  # why it failed last, as it was told
        self._given = self._sent = self._lost = 0
        self._connected_ns = self._reported_ns = 0
        self._thread = threading.Thread(target=self._work, name="rtsp push", daemon=True)
        self._thread.start()

    def write(self, picture: Image, frame: Frame) -> None:
        """Leave (H, W, 3) uint8 BGR for the thread. Raises: Failure (ENVIRONMENT) when it cannot be encoded."""
        if self._failure is not None:
            raise self._failure
        self._given += 1
        self._box.put((picture, frame), self._stop)

    def close(self) -> None:
        """Send what is left, take leave and end; a server that takes nothing is left behind after 2.5 s."""
        self._box.close()
        link = self._link
        self._thread.join(PATIENCE_S if link is not None and link.open else 0)
        self._stop.set()
        if link is not None and self._thread.is_alive():
            link.abort()
        self._thread.join(1)

    def describe(self) -> str:
        what = f" of {size_text(self._encoder.size)}, {self._encoder.name}" if self._encoder.name else ""
        lost = f"; the connection was lost {self._lost} times" if self._lost else ""
        dropped = self._given - self._sent
        return f"{self._address.shown}: {self._sent} frames sent{what}; {dropped} dropped: newest wins{lost}"

    def _work(self) -> None:
        while (item := self._box.get(self._stop)) is not None:
            try:
                self._send(*item)
            except OSError as error:
                self._disconnect(error)
                if self._stop.wait_until(now_ns() + int(self._backoff.next_s() * 1e9)):
                    break
            except BaseException as error:
                self._failure = error
                break
            self._say.tick()
            del item  # a picture may be memory that the session wants back
        if self._link is not None:
            self._link.close()

    def _send(self, picture: Image, frame: Frame) -> None:
        """One picture on its way. Raises: OSError when the server is lost, Failure when it cannot be encoded."""
        ready = self._encoder.encode(picture, self._clock.tick(frame))
        if not ready:  # an encoder of hardware may keep some back
            return
        if self._link is None:
            self._link = RtspPublisher(self._address, TIMEOUT_S)
            self._link.connect(self._encoder.parameters)
            self._connected_ns, self._reported_ns = now_ns(), 0
        if frame.captured_ns - self._reported_ns >= REPORT_NS:
            captured_s = time.time() - (now_ns() - frame.captured_ns) / 1e9
            self._link.send([self._rtp.report(captured_s, ready[-1][0])], channel=1)
            self._reported_ns = frame.captured_ns
        for stamp, units in ready:
            self._link.send(self._rtp.packets(units, stamp))
            self._sent += 1
        if self._told:
            self._say.say(f"{self._address.shown}: sending again")
            self._told = ""
        if now_ns() - self._connected_ns >= PROVEN_NS:
            self._backoff.reset()

    def _disconnect(self, error: OSError) -> None:
        """Let go of the server and say why, once for each reason."""
        if self._link is not None:
            self._lost += self._link.open
            self._link.abort()
            self._link.close()
            self._link = None
        self._encoder.restart()  # what follows must begin with a keyframe
        why = error.strerror or str(error) or type(error).__name__
        if why != self._told:
            self._say.say(f"{self._address.shown} cannot be reached: {why}; trying again while the run goes on")
        self._told = why
