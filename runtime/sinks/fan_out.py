"""FanOut: several outputs as one. Files of a run that reads files fail together, those of a camera's run one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from edgedeblur import Failure
from runtime.frame import Frame, Image
from runtime.sinks.sink import Quit, Sink


class FanOut:
    """Gives each picture to every sink."""

    def __init__(self, sinks: Sequence[Sink], live: bool, say: Callable[[str], None]) -> None:
        """live: an output that fails is closed and told with `say`, and the others go on, since what a camera shows
        meanwhile does not come back; without it the first failure is raised at once."""
        self.any_size = all(sink.any_size for sink in sinks)
        self._sinks = list(sinks)
        self._live = live
        self._say = say
        self._first: Failure | None = None

    def write(self, picture: Image, frame: Frame) -> None:
        """Raises: Failure of a sink; where one may fail alone, of the first one once none is left."""
        for sink in list(self._sinks):
            try:
                sink.write(picture, frame)
            except Quit:
                raise
            except Failure as failure:
                if not self._live:
                    raise
                self._leave(sink, failure)
        if not self._sinks and self._first is not None:
            raise self._first

    def close(self) -> None:
        """Close every sink, whatever the others do. Raises: the first failure of the run."""
        error: BaseException | None = self._first
        for sink in self._sinks:
            try:
                sink.close()
            except BaseException as failed:
                error = error or failed
        self._sinks = []
        if error is not None:
            raise error

    def _leave(self, sink: Sink, failure: Failure) -> None:
        self._sinks.remove(sink)
        self._first = self._first or failure
        with suppress(Failure, OSError):  # what closing has to say is what writing said
            sink.close()
        if self._sinks:
            self._say(f"an output was given up, {len(self._sinks)} go on: {failure}")
