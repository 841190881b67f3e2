"""Overhead: what the pipeline costs beside a bare loop around the session, in turns, since a busy machine drifts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from runtime.frame import Frame, now_ns
from runtime.measure.timing import Timing
from runtime.pipeline import Pipeline, PipelineOptions
from runtime.sessions.session import Session
from runtime.sinks.sink import NullSink
from runtime.sources.replay_source import ReplaySource
from runtime.stop import Stop

WARM_UP_S = 1.0


@dataclass(frozen=True)
class Pace:
    """How fast frames went, and the processor time of all threads that each took."""

    fps: float
    cpu_ms: float


class Watch:
    """Runs from its making."""

    def __init__(self) -> None:
        self._start_s, self._start_cpu_s = time.perf_counter(), time.process_time()

    def seconds(self) -> float:
        return time.perf_counter() - self._start_s

    def pace(self, frames: int) -> Pace:
        return Pace(frames / self.seconds(), (time.process_time() - self._start_cpu_s) / frames * 1000)


def without_references(frames: list[Frame]) -> list[Frame]:
    """The same pictures as a camera would give them: measuring quality on the way takes time from the network."""
    return [replace(frame, reference=None) for frame in frames]


def bare_loop(session: Session, frames: list[Frame], count: int, at_most_s: float = float("inf")) -> Pace:
    """The session alone, on frames in memory, with as many in flight as it likes."""
    watch = Watch()
    given = done = 0
    while done < count:
        if given < count and given - done < session.depth and watch.seconds() < at_most_s:
            session.submit(frames[given % len(frames)].image)
            given += 1
        elif given == done:  # the time is up
            break
        else:
            session.result()
            done += 1
    return watch.pace(max(done, 1))


def pipeline_pace(session: Session, frames: list[Frame], count: int, stop: Stop) -> Pace:
    """The whole pipeline to null:// on the same frames, the start and end of its threads included."""
    options = PipelineOptions(latest=False, frames=count)
    pipeline = Pipeline(ReplaySource(frames), session, [NullSink()], Timing(now_ns()), options)
    watch = Watch()
    pipeline.run(stop)
    return watch.pace(count)


def in_turns(ways: dict[str, Callable[[], Pace]], repeats: int, stop: Stop) -> dict[str, list[Pace]]:
    """Every way, `repeats` times; a round that `stop` cut short is left out.

    The order is turned round after each round, since what comes later may find a warmer or a busier machine.
    """
    paces: dict[str, list[Pace]] = {name: [] for name in ways}
    order = list(ways)
    for _ in range(repeats):
        found = {}
        for name in order:
            found[name] = ways[name]()
            if stop.is_set():
                return paces
        for name, pace in found.items():
            paces[name].append(pace)
        order.reverse()
    return paces


def speed_beside_bare_loop(
    session: Session, frames: list[Frame], count: int, repeats: int, stop: Stop
) -> dict[str, Any]:
    """Frames/s of the bare loop and of the pipeline, and their ratio for each repeat."""
    pictures = without_references(frames)
    bare_loop(session, pictures, count, WARM_UP_S)
    ways = {
        "bare": lambda: bare_loop(session, pictures, count),
        "pipeline": lambda: pipeline_pace(session, pictures, count, stop),
    }
    paces = in_turns(ways, repeats, stop)
    ratios = [ours.fps / theirs.fps for ours, theirs in zip(paces["pipeline"], paces["bare"], strict=True)]
    if not ratios:
        return {}
    return {
        "frames": count,
        "bare_fps": [pace.fps for pace in paces["bare"]],
        "pipeline_fps": [pace.fps for pace in paces["pipeline"]],
        "ratio": ratios,
        "ratio_median": statistics.median(ratios),
        "ratio_of_fastest": max(pace.fps for pace in paces["pipeline"]) / max(pace.fps for pace in paces["bare"]),
        "bare_cpu_ms": statistics.median(pace.cpu_ms for pace in paces["bare"]),
        "pipeline_cpu_ms": statistics.median(pace.cpu_ms for pace in paces["pipeline"]),
    }
