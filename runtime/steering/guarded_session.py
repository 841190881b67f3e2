"""GuardedSession: the input goes out wherever the network's output is not to be trusted (`--guard`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from runtime.frame import Image
from runtime.sessions.session import Result, Session
from runtime.steering.around import InFlight, SessionAround
from runtime.steering.trust import distrust


class GuardedSession(SessionAround):
    """Each frame is judged by itself. What did not go through the network needs no judgement."""

    def __init__(self, inner: Session, say: Callable[[str], None]) -> None:
        """say: told of the first guarded frame, the 10th, the 100th …"""
        super().__init__(inner)
        self.guarded = 0
        self._say = say
        self._tell_at = 1
        self._flying: InFlight[Image] = InFlight(self.depth)

    def submit(self, frame: Image) -> None:
        """Take (H, W, 3) uint8 BGR, which must stay as it is until its result is there. Raises: as the one inside."""
        self._flying.wait_for_room()
        self._inner.submit(frame)
        self._flying.add(frame)

    def result(self) -> Result:
        """The oldest frame's result: the very frame that was submitted where it was guarded."""
        frame = self._flying.oldest()
        result = self._inner.result()
        if result.how != "deblurred" or not (fault := distrust(frame, result.image)):
            return result
        self.guarded += 1
        self._tell(fault)
        return replace(result, image=frame, how="guarded")

    def close(self) -> None:
        self._flying.close()
        super().close()

    def _tell(self, fault: str) -> None:
        if self.guarded < self._tell_at:
            return
        self._tell_at *= 10
        frames = "frame" if self.guarded == 1 else "frames"
        self._say(f"guard: {fault}; the input goes out instead ({self.guarded} {frames} so far)")
