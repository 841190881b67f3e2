"""Channel: one stream as the page shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from runtime.frame import STAND_INS, now_ns
from runtime.live.status import State
from runtime.live.stream import Stream
from runtime.page.newest import Newest
from runtime.page.pictures import Pictures

FINAL: tuple[State, ...] = ("ended", "failed")
FRESH_NS = 10_000_000_000  # a healthy stream has given a frame within that time


@dataclass(eq=False)
class Channel:
    """A stream, the frame that its viewers see, and what a person may choose for its outputs."""

    stream: Stream
    views: Sequence[str]  # that its outputs can take while they run
    newest: Newest = field(default_factory=Newest)
    pictures: Pictures = field(init=False)

    def __post_init__(self) -> None:
        self.pictures = Pictures(self.newest, lambda: self.stream.controls.strength)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """For as long as somebody looks: nothing is encoded or kept otherwise."""
        try:
            with self.newest.watched():
                yield
        finally:
            if not self.newest.viewers:
                self.pictures.forget()

    @property
    def has_ended(self) -> bool:
        return self.stream.status.state in FINAL

    @property
    def is_ok(self) -> bool:
        """Whether the source is healthy and a frame of it, not one in place of it, went out in the last seconds."""
        recent = reversed(self.stream.timing.recent.copy())
        last_ns = next((handed_ns for handed_ns, _, how in recent if how not in STAND_INS), 0)
        return self.stream.status.healthy and last_ns > 0 and now_ns() - last_ns < FRESH_NS
