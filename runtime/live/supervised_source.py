"""SupervisedSource: a live source that is opened again when it breaks, ends, falls silent or freezes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, How, now_ns
from runtime.live.backoff import Backoff
from runtime.live.connection import Connection, Trouble
from runtime.live.continuity import Continuity
from runtime.live.damage import Damage
from runtime.live.health import Health, Outage
from runtime.live.lost_options import LostOptions, OnLost
from runtime.live.status import Status
from runtime.live.watchdog import Verdict, Watchdog
from runtime.sources.source import Source
from runtime.stop import POLL_S, Stop

CLOSE_PATIENCE_S = 1.0  # how long the end of a run waits for a driver
SLOW_FRAMES = 3  # a source may be silent for so many of its own frame periods
STAND_IN_PERIOD_S = 0.1  # enough for a page, a stream and a recording
STAND_INS: dict[OnLost, How] = {"hold": "held", "blank": "blank"}
MEANWHILE: dict[OnLost, str] = {
    "hold": "holding its last picture until it is back",
    "blank": "sending black pictures until it is back",
    "passthrough": "sending nothing until it is back",
}
WHY: dict[Verdict, str] = {
    "live": "",
    "frozen": "its picture has not changed for {:g} s",
    "black": "it has seen no light for {:g} s",
}


@dataclass(frozen=True)
class Supervised:
    """What is supervised."""

    open: Callable[[], Source]  # called for every attempt
    name: str  # for people, without credentials
    noisy: bool = False  # its sensor never gives one picture twice, so that one that stays is a fault


class SupervisedSource:
    """Looks like one source that does not end; what comes and goes behind it is told through `status` and `say`.

    `describe`, the counts and the notes may be asked for by any thread.
    """

    live = True
    time_base: Fraction | None = None  # frames carry times of our clock

    def __init__(
        self,
        subject: Supervised,
        lost: LostOptions,
        status: Status,
        say: Callable[[str], None],
        stop: Stop | None = None,
    ) -> None:
        """Open the source. stop: ends a long opening; no frame comes then.

        Raises: Failure as `subject.open` does, unless the source is to be waited for; (SOURCE) where that hangs.
        """
        self.inputs: tuple[Path, ...] = ()
        self.frame_rate: Fraction | None = None
        self.corrupt = self.missed = self.superseded = 0  # of all openings; what an outage cost nobody has counted
        self._subject, self._lost = subject, lost
        self._connection, self._continuity = Connection(subject.open, subject.name), Continuity()
        self._backoff = Backoff(lost.reconnect_interval_s, lost.reconnect_max_interval_s)
        self._health, self._watchdog, self._damage = Health(subject.name, status, say), Watchdog(), Damage()
        self._verdict: Verdict = "live"
        self._outage: Outage | None = None
        self._outages, self._lost_s = 0, 0.0
        self._good_ns = 0  # when the last good frame came
        self._first_ns = 0  # when the first one since the last outage came
        self._thaw_failed = False  # opening a frozen source again did not change its picture: that is what it sees
        self._over = False
        self.notes = self._connection.notes
        try:
            self._open_first(stop or Stop())
        except BaseException:
            self._connection.leave()
            raise

    def describe(self) -> str:
        return self._connection.text or f"{self._subject.name}, not there yet"

    def read(self, stop: Stop) -> Frame | None:
        """The next frame of the source, or what stands in for it; None at the end or once `stop` is set.

        Raises: Failure (SOURCE) where the source is lost and that is to end the run, or no attempt is left.
        """
        try:
            while not stop.is_set() and not self._over:
                self._health.tick()
                frame = self._next(stop)
                if frame is not None and self._good(frame):
                    return self._continuity.passed(frame, self._how(frame))
                if self._stand_in_due():
                    return self._continuity.stand_in(STAND_INS[self._lost.on_lost])
        except Failure as failure:
            self._health.over("failed", str(failure))
            raise
        return None

    def close(self) -> None:
        """Close the source; one whose driver hangs is left behind after a second."""
        self._connection.close(CLOSE_PATIENCE_S)
        if self._outages:
            lost_s = self._lost_s + (self._outage.lasted_s if self._outage else 0.0)
            times = "once" if self._outages == 1 else f"{self._outages} times"
            self.notes.append(f"{self._subject.name} was lost {times}, for {lost_s:.1f} s in all")
            self._outages = 0

    def _open_first(self, stop: Stop) -> None:
        self._connection.open()
        trouble = None
        while not self._connection.wait_open(POLL_S) and not stop.is_set() and trouble is None:
            trouble = self._connection.trouble(self._stall_s)
        trouble = trouble or self._connection.trouble(self._stall_s)
        if trouble is None:
            self._meet()
            return
        mistake = isinstance(trouble.error, Failure) and trouble.error.code == ExitCode.USAGE
        if mistake or not self._lost.wait_for_source:
            raise trouble.error or Failure(
                f"{self._subject.name} does not answer: {trouble.why}; check it and start again", ExitCode.SOURCE
            )
        self._lose(trouble)

    def _meet(self) -> None:
        """Take over what an opened source says of itself."""
        if (source := self._connection.source) is not None:
            self.inputs, self.frame_rate = source.inputs, source.frame_rate or self.frame_rate

    def _next(self, stop: Stop) -> Frame | None:
        """A frame, if one comes soon; opens the source again where that is due."""
        if self._outage is not None and self._connection.idle:
            if stop.wait_until(min(self._outage.retry_ns, _soon())) or now_ns() < self._outage.retry_ns:
                return None
            if not self._connection.open():
                stop.wait_until(_soon())
                return None
            self._outage.attempts += 1
            self._continuity.restart()
        frame = self._connection.next(stop, POLL_S)
        connection = self._connection
        self.corrupt, self.missed, self.superseded = connection.corrupt, connection.missed, connection.superseded
        if frame is None and (trouble := self._connection.trouble(self._stall_s)) is not None and not stop.is_set():
            self._lose(trouble)
        return frame

    def _good(self, frame: Frame) -> bool:
        """Look at a frame that came; False where it is the one that shows that its camera is frozen."""
        now = now_ns()
        self._verdict = self._watchdog.look(frame.image, now, int(self._stall_s * 1e9))
        self._damage.add(self.corrupt, now)
        why = WHY[self._verdict].format(self._stall_s)
        if self._verdict == "live":
            self._thaw_failed = False
        elif self._verdict == "frozen" and self._subject.noisy and not self._thaw_failed and self._acts:
            self._thaw_failed = True  # until its picture changes
            self._lose(Trouble("frozen", why))
            return False
        elif self._verdict == "frozen" and self._thaw_failed:
            why += ", nor when it was opened again"
        if self._outage is not None or not self._first_ns:
            self._come_back(now)
        if now - self._first_ns >= self._lost.proven_s * 1e9:
            self._backoff.reset()
        self._good_ns = now
        self._health.sees(self._verdict, self._damage.reason, why)
        return True

    def _come_back(self, now: int) -> None:
        self._first_ns = now
        self._meet()
        if (outage := self._outage) is not None:
            self._outage = None
            self._lost_s += outage.lasted_s if self._continuity.begun else 0.0  # to be waited for is not to be lost
            self._health.back(outage)

    def _lose(self, trouble: Trouble) -> None:
        """No frames: let go of the source, and settle when to open it again. Raises: Failure where that is the end."""
        self._connection.leave()
        first = self._outage is None
        outage = self._outage = self._outage or Outage(self._good_ns or now_ns())
        awaited = self._lost.wait_for_source and not self._continuity.begun
        self._outages += first and not awaited
        if not awaited and self._ends(trouble):
            return
        wait_s = self._backoff.next_s()
        outage.retry_ns = now_ns() + int(wait_s * 1e9)
        if not first:
            self._health.retry(trouble, wait_s, outage.attempts)
        elif awaited:
            self._health.awaited(trouble)
        else:
            self._health.lost(trouble, MEANWHILE[self._lost.on_lost] if self._continuity.begun else "opening it again")

    def _ends(self, trouble: Trouble) -> bool:
        """Whether this loss is the end of the stream. Raises: Failure (SOURCE) where it is the failure of the run."""
        most, name = self._lost.reconnect_attempts, self._subject.name
        if self._lost.on_lost == "exit":
            raise Failure(
                f"{name} is {trouble.state}: {trouble.why}; with --on-lost exit that ends the run. Check it, or have "
                "it opened again: --on-lost hold",
                ExitCode.SOURCE,
            )
        if 0 < most <= self._backoff.attempts:
            raise Failure(
                f"{name} is {trouble.state}: {trouble.why}; {most} attempts to open it again came to nothing. Check "
                "it, or have it tried for ever: --reconnect-attempts -1",
                ExitCode.SOURCE,
            )
        if most != 0:
            return False
        if trouble.state != "lost" or trouble.error is not None:
            raise trouble.error or Failure(
                f"{name} is {trouble.state}: {trouble.why}; check it, then start again", ExitCode.SOURCE
            )
        self._over = True
        self._health.over("ended", trouble.why)
        return True

    def _how(self, frame: Frame) -> How:
        """What is to become of a frame; what is suspicious may be let through without the network."""
        suspicious = self._verdict != "live" or self._damage.reason
        return "passthrough" if suspicious and self._lost.on_lost == "passthrough" else frame.how

    def _stand_in_due(self) -> bool:
        if self._over or self._outage is None or not self._continuity.begun or self._lost.on_lost not in STAND_INS:
            return False
        period_s = max(STAND_IN_PERIOD_S, 1 / (self.frame_rate or 1000))
        return now_ns() - self._continuity.last_ns >= period_s * 1e9

    @property
    def _acts(self) -> bool:
        """Whether a fault has consequences."""
        return self._lost.reconnect_attempts != 0 or self._lost.on_lost == "exit"

    @property
    def _stall_s(self) -> float:
        """How long no new picture may come."""
        return max(self._lost.stall_timeout_s, SLOW_FRAMES / float(self.frame_rate or 1000))


def _soon() -> int:
    return now_ns() + int(POLL_S * 1e9)
