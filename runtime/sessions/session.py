"""Session: what runs a network on frames, and what every session checks before it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edgedeblur import ExitCode, Failure
from runtime.frame import MAX_SIDE, How, Image, size_text


class TooSmall(Failure):
    """A frame below what the model takes: other frames of the same source may fit."""


@dataclass(frozen=True)
class GpuTimes:
    """Milliseconds of one frame on the GPU, by CUDA events; None where nothing was copied (shared memory)."""

    upload_ms: float | None
    compute_ms: float  # the network alone
    download_ms: float | None


@dataclass(frozen=True, eq=False)
class Result:
    """One deblurred frame."""

    image: Image  # (H, W, 3) uint8 BGR, the taker's for as long as the taker holds it or a view of it
    finished_ns: int  # CLOCK_MONOTONIC: when it was in our memory
    gpu: GpuTimes | None = None  # None where no GPU computes
    how: How = "deblurred"


class Session(Protocol):
    """One network, ready to run. `submit` and `result` may be called from one thread or from two."""

    min_size: tuple[int, int]  # smallest (height, width) it takes
    bytes_per_pixel: int  # memory of this machine that a frame needs, about
    depth: int  # frames that may be in flight at once for the best throughput
    notes: list[str]  # what the user should know

    def submit(self, frame: Image) -> None:
        """Take (H, W, 3) uint8 BGR, which must stay as it is until its result is there.

        Waits while `depth` frames are in flight. Raises: Failure (MODEL) when the model does not fit the frame,
        (MEMORY) when memory runs out, (ENVIRONMENT) when the device fails; a failure may be that of an earlier frame.
        """
        ...

    def result(self) -> Result:
        """The oldest frame's result, as they were submitted. Raises: Failure as `submit` does."""
        ...

    def infer(self, frame: Image) -> Image:
        """(H, W, 3) uint8 BGR in, the same out: `submit` and `result` in one. No other frame may be in flight."""
        ...

    def describe(self) -> str:
        """One line for people: model, precision, what runs it."""
        ...

    def close(self) -> None:
        """Give everything back; may be called again, and after a failure."""
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
    needed, free = size[0] * size[1] * session.bytes_per_pixel, _free_bytes()
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
