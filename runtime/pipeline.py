"""Pipeline: capture thread → inference on the calling thread → sink thread, joined by two mailboxes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from edgedeblur import Failure
from runtime.frame import STAND_INS, Frame, Image, now_ns
from runtime.live.status import Controls
from runtime.mailboxes import Mailbox
from runtime.measure.quality import Quality
from runtime.measure.timing import Delivery, Timing
from runtime.sessions.session import Session, TooSmall, check_size
from runtime.sinks.fan_out import FanOut
from runtime.sinks.sink import Quit, Sink
from runtime.sources.source import Source
from runtime.stop import POLL_S, Stop
from runtime.views import blend, compose

CAPTURE_PATIENCE_S = 2.0  # how long a capture thread may hang in its driver before it is left behind


@dataclass(frozen=True)
class PipelineOptions:
    """How frames pass."""

    latest: bool  # the newest frame wins and others are dropped; False: no frame is lost
    frames: int | None = None  # stop after so many
    read_ahead: int = 2  # frames that wait on each side of the session when none may be lost
    watchers: Sequence[Callable[[Delivery], None]] = ()  # called after each delivered frame, on the sink's thread
    admit: Callable[[], bool] = lambda: True  # asked for each frame that the network could take
    controls: Controls = field(default_factory=Controls)
    say: Callable[[str], None] = lambda text: None  # told what goes wrong while the run goes on


class Pipeline:
    """One run from a source to sinks. The first error of any thread ends all three and is raised by `run`."""

    def __init__(
        self, source: Source, session: Session, sinks: Sequence[Sink], timing: Timing, options: PipelineOptions
    ) -> None:
        self.size: tuple[int, int] | None = None  # (height, width) of the frames that came last
        self.quality = Quality()
        self.capture_hung = False
        self.source, self.sinks, self._session = source, sinks, session
        self._outlet = FanOut(sinks, source.live, options.say)
        self.latest_wins = options.latest
        self._timing, self._options = timing, options
        slots = 1 if options.latest else options.read_ahead
        self._inbox: Mailbox[Delivery] = Mailbox(slots, options.latest, _captured)
        self._outbox: Mailbox[Delivery] = Mailbox(slots, options.latest, _captured)
        self._stop = Stop()
        self._error: BaseException | None = None
        self._read = self._taken = self._delivered = self._not_admitted = 0  # frames that were captured
        self._last_sharp: Image | None = None
        self._too_small = 0  # pictures that were left out
        self._first_too_small: TooSmall | None = None

    def run(self, stop: Stop) -> None:
        """Pass frames until the source ends, `frames` are through, `stop` is set or something fails.

        Closes the source and the sinks. Raises: the first error of any thread.
        """
        self._stop = Stop(stop)
        capture = threading.Thread(target=self._capture, name="capture", daemon=True)
        sink = threading.Thread(target=self._deliver, name="sink", daemon=True)
        capture.start()
        sink.start()
        try:
            self._infer()
        except BaseException as error:
            self._fail(error)
        finally:
            self._stop.set()  # ends the capture; what is in the outbox is still delivered
            self._inbox.close()
            self._outbox.close()
            _join(sink)
            self.capture_hung = not _join(capture, CAPTURE_PATIENCE_S)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Close the source and the outputs of a pipeline that never ran."""
        with ExitStack() as closing:
            closing.callback(self.source.close)
            for sink in self.sinks:
                closing.callback(sink.close)

    @property
    def captured(self) -> int:
        """Frames that the source gave; what stands in for those of a lost one is none."""
        return self._read + self.source.superseded

    def drops(self) -> dict[str, int]:
        """Frames captured and not delivered, by cause."""
        unread = self._read - self._inbox.superseded - self._taken
        refused = self._too_small + self._not_admitted
        undelivered = self._taken - refused - self._outbox.superseded - self._delivered
        return {
            "camera_gap": self.source.missed,
            "superseded": self._inbox.superseded + self.source.superseded,
            "deadline": self._not_admitted,
            "sink_back_pressure": self._outbox.superseded,
            "corrupt": self.source.corrupt,
            "too_small": self._too_small,
            "not_processed_at_stop": unread + undelivered,
        }

    def _capture(self) -> None:
        try:
            while not self._enough() and (frame := self.source.read(self._stop)) is not None:
                item = Delivery(frame, now_ns() if frame.sensor_stamped else frame.captured_ns)
                if self._options.latest and not _captured(item) and len(self._inbox):
                    continue  # what stands in pushes out nothing that waits
                self._read += _captured(item)
                if not self._inbox.put(item, self._stop):
                    break
                del frame, item  # a waiting reader must not keep the last picture alive
        except BaseException as error:
            # The frames before the error are whole: they are still deblurred and delivered.
            self._error = self._error or error
        finally:
            self._inbox.close()
            try:
                self.source.close()
            except BaseException as error:
                self._error = self._error or error

    def _enough(self) -> bool:
        """Whether every frame that is wanted was read; where frames may drop, more may be needed."""
        return not self._options.latest and self._options.frames is not None and self._read >= self._options.frames

    def _infer(self) -> None:
        flying: deque[Delivery] = deque()
        try:
            self._submit_all(flying)
        except Failure:  # the frames before it are under way and whole
            self._land(flying)
            raise
        self._land(flying)
        if self._first_too_small is not None and self._too_small == self._taken:
            raise self._first_too_small

    def _submit_all(self, flying: deque[Delivery]) -> None:
        """Give frames to the session; `flying` keeps those whose results were not taken."""
        # A camera's frame is waited for at once: one in flight behind another would only be older when it is done.
        depth = 1 if self.source.live else self._session.depth
        limit = self._options.frames
        while limit is None or self._taken < limit:
            item = self._inbox.get(self._stop)
            if item is None:
                break
            self._taken += _captured(item)
            if not self._begin(item):
                continue
            flying.append(item)
            if len(flying) >= depth and not self._hand_over(flying.popleft()):
                break
            del item  # a frame that waits for the next one must not keep the last one's memory

    def _land(self, flying: deque[Delivery]) -> None:
        """Take every result, also after a stop: nobody else may find them in the session."""
        while flying:
            self._hand_over(flying.popleft())

    def _begin(self, item: Delivery) -> bool:
        """Give a frame to the session, or settle what does not need it; False where nothing is to go out for it."""
        frame = item.frame
        item.how, item.started_ns = frame.how, now_ns()
        if frame.how != "deblurred":
            item.sharp = self._last_sharp if frame.how == "held" else frame.image
            item.finished_ns = now_ns()
            return item.sharp is not None and item.sharp.shape == frame.image.shape
        if not self._fits(frame):
            return False
        if not self._options.admit():
            self._not_admitted += 1
            return False
        self._session.submit(frame.image)
        return True

    def _hand_over(self, item: Delivery) -> bool:
        """Wait for the oldest frame in flight and pass it to the sinks; False if they take no more."""
        if item.sharp is None:
            result = self._session.result()
            item.sharp, item.finished_ns, item.gpu, item.how = result.image, result.finished_ns, result.gpu, result.how
            self._last_sharp = item.sharp if self.source.live else None
        return self._outbox.put(item, self._stop) or self._deliver_last(item)

    def _deliver_last(self, item: Delivery) -> bool:
        """A stop came while a finished frame waited for room: it is still handed over, unless the sink is gone."""
        return self._error is None and self._outbox.put(item, Stop())

    def _fits(self, frame: Frame) -> bool:
        """Whether the model takes a frame; one of several pictures that is too small is left out and noted.

        Raises: Failure (SOURCE) where the frames after it cannot be any better, or the output takes no gaps.
        """
        if frame.size == self.size:
            return True
        try:
            check_size(frame.size, self._session)
        except TooSmall as failure:
            if not (frame.name and self._outlet.any_size):  # only pictures have names, and each its own size
                raise
            self._too_small += 1
            # Without its traceback, which would keep the picture.
            self._first_too_small = self._first_too_small or failure.with_traceback(None)
            self.source.notes.append(f"picture '{frame.name}' was left out: {failure}")
            return False
        self.size = frame.size
        return True

    def _deliver(self) -> None:
        never = Stop()  # on a stop the sinks still get what is finished
        try:
            while (item := self._outbox.get(never)) is not None:
                self._deliver_one(item)
                del item  # its picture may be memory that the session wants back
        except Quit:
            self._stop.set()
        except BaseException as error:
            self._fail(error)
        finally:
            self._outbox.close()
            try:
                self._outlet.close()
            except BaseException as error:
                self._fail(error)

    def _deliver_one(self, item: Delivery) -> None:
        frame, sharp = item.frame, item.sharp
        assert sharp is not None  # set before the frame is put into the outbox
        item.handed_ns = now_ns()
        controls = self._options.controls
        picture = compose(controls.view, frame.image, blend(frame.image, sharp, controls.strength))
        self._outlet.write(picture, frame)
        item.done_ns = now_ns()
        self._delivered += _captured(item)
        self._timing.add(item)
        self.quality.add(frame.image, sharp, frame.reference)
        for watcher in self._options.watchers:
            watcher(item)

    def _fail(self, error: BaseException) -> None:
        self._error = self._error or error
        self._stop.set()


def _captured(item: Delivery) -> bool:
    """Whether a frame is the source's own; what stands in for one counts in `Timing.by_how` alone."""
    return item.frame.how not in STAND_INS


def _join(thread: threading.Thread, patience_s: float = float("inf")) -> bool:
    """Wait for a thread in short steps, so that a second Ctrl-C gets through; False if patience ran out."""
    deadline_ns = now_ns() + int(min(patience_s, 1e6) * 1e9)
    while thread.is_alive() and now_ns() < deadline_ns:
        thread.join(POLL_S)
    return not thread.is_alive()
