"""Session: what runs a network on a frame, and what every session checks before it does."""

from __future__ import annotations

from typing import Protocol

from edgedeblur import ExitCode, Failure
from runtime.frame import MAX_SIDE, Image, size_text

# Peak of the smallest preset at run time (106 to 136 measured, the less the larger the frame); larger models need more,
# so this refuses only frames that cannot possibly fit. What it lets through may still end in an out-of-memory message.
BYTES_PER_PIXEL = 110


class TooSmall(Failure):
    """A frame below what the model takes: other frames of the same source may fit."""


class Session(Protocol):
    """One network, ready to run on one thread."""

    min_size: tuple[int, int]  # smallest (height, width) it takes

    def infer(self, frame: Image) -> Image:
        """(H, W, 3) uint8 BGR in, a new array of the same shape and type out.

        Raises: Failure (MODEL) when the model does not fit the frame, (MEMORY) when memory runs out.
        """
        ...

    def describe(self) -> str:
        """One line for people: model, precision, what runs it."""
        ...


def check_size(size: tuple[int, int], session: Session) -> None:
    """Refuse a (height, width) that no session can work on.

    Raises: Failure (SOURCE), naming the size and the limit; TooSmall where that is the reason.
    """
    smallest = session.min_size
    if size[0] < smallest[0] or size[1] < smallest[1]:
        raise TooSmall(
            f"frames of {size_text(size)} are too small: this model needs at least {size_text(smallest)}",
            ExitCode.SOURCE,
        )
    if max(size) > MAX_SIDE:
        raise Failure(
            f"frames of {size_text(size)} are too large: at most {MAX_SIDE} pixels a side; scale them down",
            ExitCode.SOURCE,
        )
    needed, free = size[0] * size[1] * BYTES_PER_PIXEL, _free_bytes()
    if free is not None and needed > free:
        raise Failure(
            f"frames of {size_text(size)} need about {needed / 2**30:.1f} GiB to deblur and {free / 2**30:.1f} GiB "
            "are free; scale them down or close other programs",
            ExitCode.SOURCE,
        )


def _free_bytes() -> int | None:
    """Memory the kernel could give now, in bytes; None where it does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
