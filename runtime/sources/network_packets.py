"""PacketReceiver: takes a stream's packets off the network without a pause, so that none grows old in a socket."""

from __future__ import annotations

import errno
import threading
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from runtime.frame import now_ns
from runtime.mailboxes import Mailbox
from runtime.sources.video_io import reason
from runtime.stop import Stop, Until

WAITED_NS = 1_000_000  # a packet that took so long to come was not there already
CATCH_UP_NS = 1_000_000_000  # how long packets are taken for old ones at the most
ROOM = 256  # packets that may wait to be decoded; beyond it the network has to wait


@dataclass(frozen=True)
class Arrival:
    """A packet and when it came."""

    packet: Any  # av.Packet
    at_ns: int  # CLOCK_MONOTONIC
    old: bool  # it came before anybody asked: while the stream was opened, and until it was read


class PacketReceiver:
    """Reads in a thread of its own, from the first question on, while others are decoded: they are stamped when they
    come and not when there is time for them, and who takes them knows how far behind they are."""

    def __init__(self, packets: Generator[Any], timeout_s: float) -> None:
        """packets: of a container that nobody else reads. timeout_s: its time limit."""
        self.over = False  # the stream ended or broke; packets may still wait
        self.why = ""  # in words, where it broke
        self._packets, self._timeout_s = packets, timeout_s
        self._error: BaseException | None = None  # a mistake of ours
        self._stop = Stop()
        self._box: Mailbox[Arrival] = Mailbox(ROOM, latest=False)
        self._thread = threading.Thread(target=self._receive, name="packets", daemon=True)
        self._begun = False

    @property
    def waiting(self) -> int:
        """How many packets have come that were not taken."""
        return len(self._box)

    def next(self, stop: Stop, seconds: float) -> Arrival | None:
        """The oldest packet; None if `stop` is set, if none comes in time, or none any more."""
        if not self._begun:
            self._begun = True
            self._thread.start()
        arrival = self._box.get(Until(stop, seconds))
        if arrival is None and self._error is not None:
            raise self._error
        return arrival

    def close(self) -> None:
        """End, once what is being read is there or takes too long."""
        self._stop.set()
        self._box.close()
        if self._begun:
            self._thread.join()
        self._packets.close()

    def _receive(self) -> None:
        import av

        old_until_ns, asked_ns = now_ns() + CATCH_UP_NS, now_ns()
        try:
            for packet in self._packets:
                at_ns = now_ns()
                old_until_ns = 0 if at_ns - asked_ns > WAITED_NS else old_until_ns
                if not self._box.put(Arrival(packet, at_ns, at_ns < old_until_ns), self._stop):
                    break
                asked_ns = now_ns()
        except EOFError:
            pass
        except (av.error.FFmpegError, OSError) as error:
            self.why = why(error, asked_ns, self._timeout_s)
        except BaseException as error:
            self._error = error
        finally:
            self.over = True
            self._box.close()


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
