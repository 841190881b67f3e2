"""GatedSession: frames that are sharp already bypass the network (`--gate auto`)."""

from __future__ import annotations

from runtime.frame import Image, now_ns
from runtime.sessions.session import Result, Session
from runtime.steering.around import InFlight, SessionAround
from runtime.steering.sharpness import sharpness

# (least ratio, most noise in grey levels). Measured: README.md. A noisy frame is none for the gate, however sharp: the
# network also takes noise away.
TO_OPEN = (0.7, 2.0)
TO_STAY_OPEN = (0.6, 2.5)
FRAMES_TO_OPEN = 5  # in a row; one blurred frame closes it, since that one would be seen


def is_sharp(frame: Image, limits: tuple[float, float]) -> bool:
    """Whether the network is not worth its time for a (H, W, 3) uint8 BGR frame."""
    seen = sharpness(frame)
    return seen.ratio >= limits[0] and seen.noise <= limits[1]


class Gate:
    """Decides by the frame and by those before it: frames near a limit do not go this way and that in turns."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def lets_pass(self, frame: Image) -> bool:
        """Whether the frame is to bypass the network; to be asked once for each, in their order."""
        is_open = self._in_a_row >= FRAMES_TO_OPEN
        self._in_a_row = self._in_a_row + 1 if is_sharp(frame, TO_STAY_OPEN if is_open else TO_OPEN) else 0
        return self._in_a_row >= FRAMES_TO_OPEN


class GatedSession(SessionAround):
    """The results of frames that bypass the network are the very frames that were submitted."""

    def __init__(self, inner: Session) -> None:
        super().__init__(inner)
        self.sharp = 0  # frames that bypassed the network
        self._gate = Gate()
        self._flying: InFlight[Result | None] = InFlight(self.depth)  # None: the session inside has it

    def submit(self, frame: Image) -> None:
        """Take (H, W, 3) uint8 BGR, which must stay as it is until its result is there. Raises: as the one inside."""
        self._flying.wait_for_room()
        if self._gate.lets_pass(frame):
            self.sharp += 1
            self._flying.add(Result(frame, now_ns(), how="sharp"))
        else:
            self._inner.submit(frame)
            self._flying.add(None)

    def result(self) -> Result:
        """The oldest frame's result."""
        ticket = self._flying.oldest()
        return self._inner.result() if ticket is None else ticket

    def close(self) -> None:
        self._flying.close()
        super().close()
