"""LadderSession: less work for each frame while a target rate is not reached, more when it is (`--target-fps`).

Rungs, from the best: the model, each smaller one, the last at 3/4 and 1/2 size, that on every 2nd and every 3rd frame,
and frames as they came.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from edgedeblur import ExitCode, Failure
from runtime.frame import Image, now_ns, size_text
from runtime.sessions.session import Result, Session
from runtime.steering.around import InFlight, SessionAround
from runtime.steering.controller import Controller
from runtime.steering.resized_session import ResizedSession

SCALES = (Fraction(3, 4), Fraction(1, 2))
EVERY = {2: "2nd", 3: "3rd"}


@dataclass(frozen=True, eq=False)
class Rung:
    """One way to work."""

    text: str  # for people
    session: Session | None  # None: frames go out as they came
    every: int = 1  # of so many frames one is worked on


def rungs_of(models: Sequence[Session]) -> list[Rung]:
    """The ladder of models, the best first."""
    rungs = [Rung(_name(model), model) for model in models]
    last = rungs[-1]
    rungs += [Rung(f"{last.text} at {scale} size", ResizedSession(models[-1], scale)) for scale in SCALES]
    return [*rungs, *(_thinned(rungs[-1], every) for every in EVERY), Rung("frames as they came", None)]


@dataclass(frozen=True, eq=False)
class _Ticket:
    rung: int
    began_ns: int
    frame: Image


class LadderSession(SessionAround):
    """Frames of several rungs may be in flight at once; results come in the order of the frames."""

    def __init__(self, models: Sequence[Session], target_fps: float, say: Callable[[str], None]) -> None:
        """models: open, the best first; they are closed with this. say: told of each step."""
        super().__init__(models[0])
        self.rungs = rungs_of(models)
        # What each of the models takes, and the memory that all of them together keep.
        self.min_size = (max(model.min_size[0] for model in models), max(model.min_size[1] for model in models))
        self.bytes_per_pixel = sum(model.bytes_per_pixel for model in models)
        self.depth = min(model.depth for model in models)
        self.notes = [note for model in models for note in model.notes]
        self.target_fps, self._say = target_fps, say
        self._controller = Controller(target_fps, [rung.every for rung in self.rungs])
        self._flying: InFlight[_Ticket] = InFlight(self.depth)
        self._offered = 0
        self._finished_ns = 0  # of the last frame that a model worked on
        self._deciding = threading.Lock()

    @property
    def rung(self) -> Rung:
        """The one that the next frame takes."""
        return self.rungs[self._controller.rung]

    @property
    def usable(self) -> list[Rung]:
        """The ladder without what turned out not to work, the best first."""
        return [self.rungs[number] for number in self._controller.usable]

    @property
    def steps(self) -> int:
        """Steps made so far, down and up."""
        return self._controller.steps

    def keep_all(self) -> None:
        """Take the rungs that leave frames out off the ladder: of a file no frame may be lost."""
        with self._deciding:
            for number in [number for number in self._controller.usable if self.rungs[number].every > 1]:
                self._controller.discard(number, now_ns() / 1e9)

    def admit(self) -> bool:
        """Whether the next frame is worked on; to be asked once for each. Those left out are evenly spaced."""
        self._offered += 1
        return self._offered % self.rung.every == 0

    def submit(self, frame: Image) -> None:
        """Take (H, W, 3) uint8 BGR, which must stay as it is until its result is there. Raises: as the models."""
        self._flying.wait_for_room()
        number = self._controller.rung
        while not self._started(number, frame):
            number = self._controller.rung

    def result(self) -> Result:
        """The oldest frame's result."""
        ticket = self._flying.oldest()
        session = self.rungs[ticket.rung].session
        if session is None:
            self._decide(ticket.rung, None)
            return Result(ticket.frame, ticket.began_ns, how="passthrough")
        result = session.result()
        # What a frame waits behind another is not its own: frames in flight are as far apart as each of them takes.
        took_ns = result.finished_ns - max(ticket.began_ns, self._finished_ns)
        self._finished_ns = result.finished_ns
        self._decide(ticket.rung, took_ns / 1e9)
        return result

    def close(self) -> None:
        self._flying.close()
        for rung in self.rungs:
            if rung.session is not None:
                rung.session.close()

    def _started(self, number: int, frame: Image) -> bool:
        """Begin a frame on a rung; False where it turned out that this one cannot be used."""
        rung, began_ns = self.rungs[number], now_ns()
        if rung.session is not None:
            try:
                if number:
                    _check_least(frame, rung.session)
                rung.session.submit(frame)
            except Failure as failure:
                if not number or failure.code != ExitCode.MODEL:
                    raise
                self._discard(number, failure)
                return False
        self._flying.add(_Ticket(number, began_ns, frame))
        return True

    def _discard(self, number: int, failure: Failure) -> None:
        """Go on without a rung, such as a size that an engine does not take; those made of it are made anew."""
        with self._deciding:
            above = self.rungs[self._controller.discard(number, now_ns() / 1e9)]
            lost = self.rungs[number].session
            for place, rung in enumerate(self.rungs):
                if rung.session is lost and place > number:
                    self.rungs[place] = _thinned(above, rung.every)
            self._say(f"{self.rungs[number].text} cannot be used ({failure}): {self.rung.text} instead")

    def _decide(self, rung: int, took_s: float | None) -> None:
        """Tell the controller of a frame, unless it is one of an earlier rung, and people of a step."""
        with self._deciding:
            if rung != self._controller.rung:
                return
            if self._controller.decide(now_ns() / 1e9, took_s) != rung:
                self._tell(climbed=self._controller.rung < rung)

    def _tell(self, climbed: bool) -> None:
        verb, again = ("would take", "back to ") if climbed else ("take", "")
        took, target = f"{self._controller.expected_s * 1000:.0f} ms", f"{self.target_fps:g} frames/s"
        self._say(f"frames {verb} {took}, {target} are asked for: {again}{self.rung.text}")


def _thinned(rung: Rung, every: int) -> Rung:
    return Rung(f"{rung.text} on every {EVERY[every]} frame", rung.session, every)


def _check_least(frame: Image, session: Session) -> None:
    size = frame.shape[:2]
    if size[0] < session.min_size[0] or size[1] < session.min_size[1]:
        raise Failure(f"it needs frames of at least {size_text(session.min_size)}", ExitCode.MODEL)


def _name(model: Session) -> str:
    """What the description of a session begins with: preset and precision."""
    return model.describe().split(" (")[0]
