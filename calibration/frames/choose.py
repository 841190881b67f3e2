"""Calibration frames: few that stand for all of a source, and others, held out, to measure on."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np

from calibration.frames.candidates import Candidates
from calibration.frames.coverage import Features, reasons
from calibration.frames.pairs import open_frames
from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, Image
from runtime.sources.source import Source
from runtime.stop import Stop

MEMORY = 2 * 2**30  # bytes of frames held at the most: what a board with 8 GB can spare beside ONNX Runtime
CANDIDATES = 4  # held for each frame asked for; with more of them, coverage is no better


@dataclass(frozen=True, eq=False)
class Sample:
    """A frame of a source, with its sharp one where it is known."""

    image: Image  # (H, W, 3) uint8 BGR
    name: str  # "000017.png" or "frame 17": what the report shows
    sharp: Image | None = None  # of the same shape
    features: Features | None = None  # where it was chosen by them
    why: str = ""  # why it was chosen, in words: "nearest to the average", "darkest", …


@dataclass(frozen=True, eq=False)
class Selection:
    """Frames of one source to calibrate on and to measure on."""

    source: str  # in one line for people, without credentials
    seen: int  # frames read
    calibration: list[Sample]  # in the order of choice: each prefix covers the source as well as its length allows
    evaluation: list[Sample]  # none of the calibration frames, unless `held_out` is False (too few frames)
    held_out: bool


def choose_frames(uri: str, count: int, evaluation: int, min_size: tuple[int, int]) -> Selection:
    """`count` > 0 frames to calibrate on and `evaluation` others, both chosen for coverage, from any source.

    One pass with bounded memory; a camera or test scene, which never ends, is read until there are enough candidates.
    Of a source with too few frames for both, up to a quarter is held out; of fewer than four frames none is, and
    evaluation falls back to the calibration frames. No chance is in it: the same source gives the same frames.
    Raises Failure (SOURCE) when the source cannot be read, is empty or has frames below `min_size` (height, width),
    (USAGE) when the frames asked for do not fit into memory.
    """
    with _opened(uri) as source:
        name = _text(source.describe())
        candidates = _candidates(_frames(source, min_size), count, evaluation, _is_endless(source, uri))
    others = _held_out(len(candidates.held), count, evaluation)
    chosen = candidates.spread(candidates.held, min(count, len(candidates.held) - others))
    rest = candidates.spread([place for place in candidates.held if place not in chosen], others)
    calibration, measured = _samples(candidates, chosen), _samples(candidates, rest)
    if evaluation and not others:
        return Selection(name, candidates.seen, calibration, calibration[:evaluation], held_out=False)
    return Selection(name, candidates.seen, calibration, measured, held_out=True)


def evaluation_frames(uri: str, most: int, min_size: tuple[int, int], memory: int = MEMORY) -> list[Sample]:
    """At most `most` > 0 frames of a source in its order, spread evenly; the first ones of a camera or test scene.

    One pass that holds up to twice as many; fewer are taken where those, or these and what graphs make of them, would
    not fit into `memory`: bytes, a share of MEMORY where several sources are measured on.
    Raises Failure (SOURCE) as `choose_frames` does.
    """
    held: list[Sample] = []
    spacing = 1
    with _opened(uri) as source:
        endless = _is_endless(source, uri)
        for place, frame in enumerate(_frames(source, min_size)):
            most = min(most, max(1, memory // _bytes_measured(frame)))
            if place % spacing == 0:
                held.append(_sample(frame))
            if endless and len(held) >= most:
                break
            while len(held) >= 2 * most:
                held, spacing = held[::2], spacing * 2
    return evenly(held, most)


def evenly(samples: Sequence[Sample], most: int) -> list[Sample]:
    """At most `most` of the samples, spread evenly, the first and the last among them."""
    places = np.linspace(0, len(samples) - 1, min(most, len(samples))).round().astype(int)
    return [samples[place] for place in places]


def _candidates(frames: Iterable[Frame], count: int, evaluation: int, endless: bool) -> Candidates:
    """Frames that cover all of a source, or the first of an endless one. Raises Failure (USAGE) when too few fit."""
    candidates = Candidates(CANDIDATES * (count + evaluation), least=count + evaluation)
    for frame in frames:
        candidates.shrink(max(1, MEMORY // _bytes_of(frame)))
        if candidates.full or endless:
            _check_room(candidates.capacity, count, evaluation, frame)
        candidates.add(frame)
        if candidates.full and endless:
            break
    return candidates


@contextmanager
def _opened(uri: str) -> Iterator[Source]:
    """A source, closed in the end; what was damaged in it is told in one line."""
    with closing(open_frames(uri)) as source:
        name, known = source.describe(), len(source.notes)
        yield source
        found = [f"{source.corrupt} damaged, left out"] if source.corrupt else []
        found += source.notes[known:][:1]  # the first stands for all: a picture's has its name
        if found:
            print(f"{name}: {'; '.join(found)}", file=sys.stderr)


def _frames(source: Source, min_size: tuple[int, int]) -> Iterator[Frame]:
    """All frames of a source. Raises Failure (SOURCE) when there is none, or one below `min_size`."""
    frame = None
    for frame in iter(partial(source.read, Stop()), None):
        height, width = frame.size
        if height < min_size[0] or width < min_size[1]:
            raise Failure(
                f"{_name(frame)} of {source.describe()}, is {height}x{width}; this model needs at "
                f"least {min_size[0]}x{min_size[1]} (height x width)",
                ExitCode.SOURCE,
            )
        yield frame
    if frame is None:
        raise Failure(f"{source.describe()}, has no frames; check it with: edgedeblur run", ExitCode.SOURCE)


def _is_endless(source: Source, uri: str) -> bool:
    return source.live or uri.startswith("test://")


def _check_room(room: int, count: int, evaluation: int, frame: Frame) -> None:
    """Raises Failure (USAGE) when `count` cannot be had of so many frames."""
    most = room - _held_out(room, count, evaluation)
    if most < count:
        height, width = frame.size
        raise Failure(
            f"{count} frames of {height}x{width} (height x width) are too many to hold; use --frames {most} or fewer"
        )


def _held_out(frames: int, count: int, evaluation: int) -> int:
    """How many of so many frames are kept for evaluation."""
    return min(evaluation, max(frames - count, frames // 4))


def _samples(candidates: Candidates, chosen: list[int]) -> list[Sample]:
    features = candidates.features
    whys = reasons(features, chosen)
    return [
        _sample(candidates.held[place], Features(*map(float, features[place])), why)
        for place, why in zip(chosen, whys, strict=True)
    ]


def _sample(frame: Frame, features: Features | None = None, why: str = "") -> Sample:
    return Sample(frame.image, _name(frame), frame.reference, features, why)


def _name(frame: Frame) -> str:
    return _text(frame.name) or f"frame {frame.index}"


def _text(name: str) -> str:
    """A name as it can be written: those of files may hold bytes that are no text."""
    return name.encode("utf-8", "backslashreplace").decode()


def _bytes_of(frame: Frame) -> int:
    return frame.image.nbytes * (1 if frame.reference is None else 2)


def _bytes_measured(frame: Frame) -> int:
    """With the FP32 graph's output, which is held, and that of the graph which is measured."""
    return _bytes_of(frame) + 2 * frame.image.nbytes
