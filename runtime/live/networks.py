"""Networks: the models of a run, each open once however many streams use it, and what steers them for each stream."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from runtime.live.shared_session import SharedSession
from runtime.sessions.models import ModelOptions, open_session
from runtime.sessions.session import Session
from runtime.steering.steering import Steering, SteeringOptions, steered

Size = tuple[int, int]


class Networks:
    """The model that was asked for, and those of the ladder once a stream asks for them."""

    def __init__(self, options: ModelOptions, streams: int, frame_size: Callable[[], Size]) -> None:
        """Open the model. streams: how many will use it; frame_size: as `open_session` asks for it.

        Raises: Failure as `open_session`.
        """
        self._options, self._streams, self._frame_size = options, streams, frame_size
        self._opened = ExitStack()
        self._shared: dict[str, SharedSession] = {}
        self.main, why = open_session(options, frame_size)
        self._opened.callback(self.main.close)
        self.text = f"{self.main.describe()} ({why})"

    def steered(self, options: SteeringOptions, say: Callable[[str], None]) -> Steering:
        """The network of one more stream, with what `options` ask for around it.

        Closing its session leaves those of the others open. Raises: Failure as `open_session` for one of the ladder.
        """
        return steered(self._lane(self._options.model, self.main), options, self._open, say)

    def close(self) -> None:
        """Close every model; may be called again."""
        self._opened.close()

    def _open(self, model: str) -> Session:
        shared = self._shared.get(model)
        return self._lane(model, None if shared else self._open_one(model))

    def _open_one(self, model: str) -> Session:
        session, _ = open_session(replace(self._options, model=model), self._frame_size)
        self._opened.callback(session.close)
        return session

    def _lane(self, model: str, session: Session | None) -> Session:
        """The session itself for the only stream, which needs no order among others; else a lane of it."""
        if self._streams == 1 and session is not None:
            return session
        if model not in self._shared and session is not None:
            self._shared[model] = SharedSession(session)
        return self._shared[model].lane()
