"""Recordings of made-up cameras, and the times that are in them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from runtime.frame import Frame
from runtime.sinks.sink import Sink, SinkOptions
from runtime.sources.source import frames_of, open_source
from tests.runtime.conftest import picture

LIVE = SinkOptions(frame_rate=Fraction(30), live=True)
SMALL, WIDE = (36, 52), (34, 98)  # (height, width)


def write(sink: Sink, milliseconds: Sequence[float], size: tuple[int, int] = SMALL, first: int = 0) -> None:
    """Pictures `first`, `first + 1`, … captured at these times."""
    for index, at in enumerate(milliseconds, first):
        image = picture(index % 50, size)
        sink.write(image, Frame(image, index, 10**15 + round(at * 1e6), time=Fraction(index)))


def times(path: Path) -> list[float]:
    """When the frames of a video are shown, in milliseconds."""
    return [float((frame.time or 0) * 1000) for frame in frames_of(open_source(str(path)))]
