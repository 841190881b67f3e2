"""Service: tells systemd that a run is ready, at work or about to stop (sd_notify); where no systemd is, nothing."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from runtime.frame import now_ns
from runtime.live.status import State, Status
from runtime.live.stream import Stream
from runtime.stop import Stop

STATUS_PERIOD_S = 5.0  # how often `systemctl status` gets a new line; the watchdog may need it more often
SEND_TIMEOUT_S = 1.0  # systemd reads at once; where it does not, the run must not wait for it
FINAL: tuple[State, ...] = ("ended", "failed")  # the other streams of the run decide
PATIENCE_S = 30.0  # with nothing out, and no news of the source: then a driver may hang, and a new process helps


class Service:
    """The side of systemd's notification protocol that a service has.

    The watchdog is fed only while the run is at work, so that systemd restarts one that hangs and not only one that
    ends.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """environment: as systemd sets it (NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID); None: the process's own."""
        environment = os.environ if environment is None else environment
        address = environment.get("NOTIFY_SOCKET", "")
        # An abstract socket's name starts with a zero byte, which a variable cannot hold.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._watchdog_s = _watchdog_s(environment)

    @property
    def managed(self) -> bool:
        """Whether a service manager listens."""
        return self._address.startswith(("/", "\0"))

    def ready(self, status: str = "") -> None:
        """The models are loaded and the outputs are open: what waits for this service may start."""
        self._send("READY=1", f"STATUS={_one_line(status)}")

    def stopping(self) -> None:
        """The run ends by itself or was asked to: its last frames are written."""
        self._send("STOPPING=1", "STATUS=stopping")

    @contextmanager
    def watched(self, at_work: Callable[[], bool], status: Callable[[], str]) -> Iterator[None]:
        """In the block a thread reports `status` and feeds the watchdog for as long as `at_work` says so.

        Both are called on that thread, at least twice in systemd's time limit, and must not wait. One that raises
        counts as not at work.
        """
        if not self.managed:
            yield
            return
        stop = Stop()
        thread = threading.Thread(target=self._watch, args=(at_work, status, stop), name="service", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _watch(self, at_work: Callable[[], bool], status: Callable[[], str], stop: Stop) -> None:
        period_s = min(STATUS_PERIOD_S, self._watchdog_s / 2)
        while True:
            try:
                fed, text = at_work(), status()
            except Exception as error:  # this thread must go on, and say what is wrong
                fed, text = False, f"its state cannot be told: {error!r}"
            self._send(f"STATUS={_one_line(text)}", *(["WATCHDOG=1"] if fed else []))
            if stop.wait_until(now_ns() + int(period_s * 1e9)):
                return

    def _send(self, *lines: str) -> None:
        if not self.managed:
            return
        # What systemd does not get is not worth ending a run: it restarts one from which it hears nothing.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
            link.settimeout(SEND_TIMEOUT_S)
            link.sendto("\n".join(lines).encode(errors="backslashreplace"), self._address)


def at_work(streams: Sequence[Stream], patience_s: float = PATIENCE_S) -> bool:
    """Whether every stream that has not ended gives frames, or is known to seek its source.

    patience_s: how long a stream may give nothing; several frame intervals for a slow source.
    """
    now = now_ns()
    return all(_works(stream, now, int(patience_s * 1e9)) for stream in streams if stream.status.state not in FINAL)


def status_text(streams: Sequence[Stream]) -> str:
    """One line for `systemctl status`: how each stream is, its rate and the age of its frames."""
    return "; ".join(_stream_text(stream) for stream in streams)


def _works(stream: Stream, now: int, patience_ns: int) -> bool:
    if _seeks(stream.status):
        return True
    # A state that is new has had no time yet. What stands in for a lost source counts: it goes the whole way, too.
    return now - max(stream.status.since_ns, _last_out_ns(stream)) <= patience_ns


def _seeks(status: Status) -> bool:
    """Whether the source is away and looked for, which is work however long it takes.

    One that was not there when the run began is starting, with why it is not there.
    """
    return status.state == "lost" or (status.state == "starting" and bool(status.reason))


def _last_out_ns(stream: Stream) -> int:
    """When the last frame left, however it came to be; 0 before the first."""
    try:
        return stream.timing.recent[-1][0]
    except IndexError:
        return 0


def _stream_text(stream: Stream) -> str:
    stats = stream.stats()
    parts = [f"{stats['state']}" + (f" ({stats['reason']})" if stats["reason"] else "")]
    parts += [f"{stats['now']['fps']:.1f} frames/s"]
    if stats["now"]["age_p50_ms"] is not None:
        parts += [f"age {stats['now']['age_p50_ms']:.0f} ms"]
    return f"{stats['name']}: {', '.join(parts)}"


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """systemd's limit in seconds; infinite where it set none, or set it for another process."""
    usec, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    ours = usec.isdecimal() and int(usec) > 0 and pid in ("", str(os.getpid()))
    return int(usec) / 1e6 if ours else float("inf")


def _one_line(text: str) -> str:
    """A line break would begin another message."""
    return " ".join(text.split())
