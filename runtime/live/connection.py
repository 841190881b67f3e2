"""Connection: a source that is opened again and again, and what all the openings have counted together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, now_ns
from runtime.live.reader import Reader
from runtime.live.status import State
from runtime.sources.source import Source
from runtime.sources.video_io import reason
from runtime.stop import Stop

OPEN_PATIENCE_S = 20.0  # an opening that takes longer hangs
FIRST_FRAME_PATIENCE_S = 10.0  # a coded stream starts with its next whole picture, which may be seconds away
LEAVE_PATIENCE_S = 2.0  # how long an opening waits for the one before it to be closed
MOST_LEFT = 3  # threads that may hang in a driver at one time
HUNG_S = 30.0  # a thread that was left for so long is not expected back
MOST_NOTES = 20


@dataclass(frozen=True)
class Trouble:
    """Why no frame comes."""

    state: State
    why: str  # in words, without credentials
    error: BaseException | None = None  # what the source raised, if it did


class Connection:
    """One opening of a source at a time, each with a thread of its own. All methods belong to one thread."""

    def __init__(self, open_source: Callable[[], Source], name: str) -> None:
        self.notes: list[str] = []
        self._open_source, self._name = open_source, name
        self._reader: Reader | None = None
        self._text = ""
        self._frames = 0  # of this opening
        self._corrupt_before = 0  # frames of this opening that were damaged before its last whole one
        self._left: list[tuple[int, Reader]] = []  # since when, and who: left to close their source
        self._corrupt = self._missed = self._superseded = 0  # of all openings before this one

    @property
    def source(self) -> Source | None:
        """The source, while it is open; only its plain values may be read."""
        reader = self._reader  # another thread may ask
        return reader.source if reader is not None else None

    @property
    def text(self) -> str:
        """The source in one line, as it was when it was open last; empty if it never was."""
        reader = self._reader  # another thread may ask
        return (reader.text if reader is not None else "") or self._text

    @property
    def corrupt(self) -> int:
        source = self.source
        return self._corrupt + (source.corrupt if source else 0)

    @property
    def missed(self) -> int:
        source = self.source
        return self._missed + (source.missed if source else 0)

    @property
    def superseded(self) -> int:
        source = self.source
        return self._superseded + (source.superseded if source else 0)

    @property
    def idle(self) -> bool:
        """Whether the source is neither open nor being opened."""
        return self._reader is None

    def open(self) -> bool:
        """Begin to open the source; False where the opening before must first be closed: a device has one user.

        Raises: Failure (SOURCE) when too many openings hang.
        """
        self._left = [(since_ns, reader) for since_ns, reader in self._left if reader.alive]
        waited_s = [(now_ns() - since_ns) / 1e9 for since_ns, _ in self._left]
        if len(waited_s) >= MOST_LEFT:
            if min(waited_s) < HUNG_S:
                return False
            raise Failure(
                f"{self._name} hangs in its driver: {len(waited_s)} attempts to open it again got no answer at all; "
                "unplug it or restart what drives it (a CSI camera: sudo systemctl restart nvargus-daemon), then "
                "start again",
                ExitCode.SOURCE,
            )
        if waited_s and min(waited_s) < LEAVE_PATIENCE_S:
            return False
        self._reader, self._frames, self._corrupt_before = Reader(self._open_source), 0, 0
        return True

    def wait_open(self, seconds: float) -> bool:
        """Wait until the source is open or cannot be; False where neither is known by then."""
        return self._reader is not None and self._reader.wait_open(seconds)

    def next(self, stop: Stop, seconds: float) -> Frame | None:
        """The next frame; None if `stop` is set, if none comes in time, or none any more."""
        if self._reader is None:
            return None
        self._reader.begin()
        frame = self._reader.next(stop, seconds)
        if frame is not None:
            self._frames += 1
            self._corrupt_before = self.corrupt
        return frame

    def trouble(self, stall_s: float) -> Trouble | None:
        """What is wrong with a source that gives no frame, if anything is. stall_s: how long it may be silent.

        Raises: what the source raised, where that is a mistake of ours and no fault of the source.
        """
        reader = self._reader
        if reader is None:
            return None
        if reader.over and reader.empty:
            if reader.error is not None and not isinstance(reader.error, (Failure, OSError)):
                raise reader.error
            return Trouble("lost", words(reader.error) if reader.error else "the stream ended", reader.error)
        silent_s = reader.silent_ns / 1e9
        if reader.source is None:
            why = f"it did not open within {OPEN_PATIENCE_S:g} s"
            return Trouble("lost", why) if silent_s > OPEN_PATIENCE_S else None
        patience_s = stall_s if self._frames else max(stall_s, FIRST_FRAME_PATIENCE_S)
        damaged = self.corrupt - self._corrupt_before
        why = f"no {'whole ' if damaged else ''}frame for {patience_s:g} s"
        why += f", {damaged} damaged ones" if damaged else ""
        return Trouble("stalled", why) if silent_s > patience_s else None

    def leave(self) -> None:
        """Let go of this opening; its source closes itself, now or when its driver answers."""
        if (reader := self._reader) is None:
            return
        self._text, counts = self.text, (self.corrupt, self.missed, self.superseded)
        self._reader, (self._corrupt, self._missed, self._superseded) = None, counts
        self._note(reader.source.notes if reader.source else [])
        self._left.append((now_ns(), reader))
        reader.leave()

    def close(self, patience_s: float) -> None:
        """Let go and wait a while for the source to be closed; what hangs is left behind, and noted."""
        reader = self._reader
        self.leave()
        if reader is not None and not reader.join(patience_s):
            self._note([f"{self._name} did not answer and was left behind"])

    def _note(self, notes: list[str]) -> None:
        """Keep what is new, once: a source may come and go for months."""
        for note in notes:
            if note not in self.notes and len(self.notes) < MOST_NOTES:
                self.notes.append(note)


def words(error: BaseException) -> str:
    """What went wrong, without the advice to start again: that is what we do. Names no credentials."""
    return str(error).split("; ")[0] if isinstance(error, Failure) else reason(error)
