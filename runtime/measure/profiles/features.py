"""Features: what the page with one viewer and a recording cost beside the bare loop, in turns with it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, now_ns
from runtime.live.status import Controls, Status
from runtime.live.stream import Stream
from runtime.measure.profiles.overhead import (
    WARM_UP_S,
    Pace,
    Watch,
    bare_loop,
    in_turns,
    pipeline_pace,
    without_references,
)
from runtime.measure.timing import Delivery, Timing
from runtime.page.page import Page
from runtime.page.page_options import LOOPBACK, PageOptions
from runtime.pipeline import Pipeline, PipelineOptions
from runtime.sessions.session import Session
from runtime.sinks.sink import NullSink, SinkOptions
from runtime.sinks.video_sink import VideoSink
from runtime.sources.replay_source import ReplaySource
from runtime.stop import Stop

RATE = Fraction(30)  # of the recording, frames a second
ENDS_S = 5.0  # how long a viewer may take to see that the page is gone
# A viewer as a browser with the page is one: another process that reads the live picture as fast as it comes.
VIEWER = """
import socket, sys
link = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
link.sendall(b"GET /stream.mjpg HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n")
total = len(link.recv(65536))
print("connected", flush=True)
while data := link.recv(1 << 20):
    total += len(data)
print(total, flush=True)
"""
TITLES = {
    "pipeline": "pipeline, all features off",
    "page": "with the page and one viewer",
    "recording": "recording to mp4",
}


def features_beside_bare_loop(
    session: Session, held: list[Frame], count: int, repeats: int, stop: Stop
) -> dict[str, Any]:
    """Frames/s of the bare loop and of each way, their ratios, and what the viewer got."""
    frames = without_references(held)
    seen: list[int] = []
    bare_loop(session, frames, count, WARM_UP_S)
    ways: dict[str, Callable[[], Pace]] = {
        "bare": lambda: bare_loop(session, frames, count),
        "pipeline": lambda: pipeline_pace(session, frames, count, stop),
        "page": lambda: _with_page(session, frames, count, stop, seen),
        "recording": lambda: _recording(session, frames, count, stop),
    }
    paces = in_turns(ways, repeats, stop)
    if not paces["bare"]:
        return {}
    return {
        "frames": count,
        "viewer_bytes": sum(seen),
        "fps": {name: [pace.fps for pace in row] for name, row in paces.items()},
        "ways": {name: _beside(paces[name], paces["bare"]) for name in TITLES},
    }


def features_text(features: dict[str, Any]) -> Iterator[str]:
    """A line for each way."""
    yield f"{'beside a bare loop':34}{'frames/s':>10}{'ratio':>8}{'from':>8}{'to':>8}{'fastest':>9}{'processor':>11}"
    bare = statistics.median(features["fps"]["bare"])
    yield f"{'bare loop around the network':34}{bare:>10.2f}{1:>8.3f}"
    for name, title in TITLES.items():
        row = features["ways"][name]
        fps = statistics.median(features["fps"][name])
        yield (
            f"{title:34}{fps:>10.2f}{row['ratio_median']:>8.3f}{min(row['ratio']):>8.3f}{max(row['ratio']):>8.3f}"
            f"{row['ratio_of_fastest']:>9.3f}{row['cpu_ratio_median']:>11.3f}"
        )
    rounds = f"{len(features['fps']['bare'])} rounds of {features['frames']} frames each, in turns"
    yield f"medians of {rounds}; fastest: ratio of the fastest rounds"


def _beside(ours: list[Pace], bare: list[Pace]) -> dict[str, Any]:
    """Ratios round by round, and that of the fastest rounds, which other programs disturbed least.

    The processor's is of this process alone: the viewer is another one.
    """
    ratios = [pace.fps / base.fps for pace, base in zip(ours, bare, strict=True)]
    cpu = [pace.cpu_ms / base.cpu_ms for pace, base in zip(ours, bare, strict=True)]
    return {
        "ratio": ratios,
        "ratio_median": statistics.median(ratios),
        "ratio_of_fastest": max(pace.fps for pace in ours) / max(pace.fps for pace in bare),
        "cpu_ratio_median": statistics.median(cpu),
    }


def _with_page(session: Session, frames: list[Frame], count: int, stop: Stop, seen: list[int]) -> Pace:
    watchers: list[Callable[[Delivery], None]] = []
    timing, controls = Timing(now_ns()), Controls()
    options = PipelineOptions(latest=False, frames=count, watchers=watchers, controls=controls)
    pipeline = Pipeline(ReplaySource(frames), session, [NullSink()], timing, options)
    page = Page(PageOptions(LOOPBACK, 0))
    try:
        stream = Stream("profile", session.describe(), pipeline, timing, Status("live"), controls)
        watchers.append(page.add(stream))
        with _viewer(page.port, seen):
            watch = Watch()
            pipeline.run(stop)
            pace = watch.pace(count)
            page.close()
    finally:
        page.close()
    return pace


@contextmanager
def _viewer(port: int, seen: list[int]) -> Iterator[None]:
    """Reads the stream of a page until that closes; `seen` is given the bytes it got."""
    command = [sys.executable, "-I", "-c", VIEWER, str(port)]
    # In a session of its own: a Ctrl-C is ours to answer, and the viewer is ended below.
    viewer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert viewer.stdout is not None
        if viewer.stdout.readline().strip() != "connected":
            raise Failure("the viewer found no page on this machine's loopback", ExitCode.ENVIRONMENT)
        yield
        total, _ = viewer.communicate(timeout=ENDS_S)
        seen.append(int(total or 0))
    finally:
        viewer.kill()
        viewer.communicate()


def _recording(session: Session, frames: list[Frame], count: int, stop: Stop) -> Pace:
    """The end of the file included."""
    with tempfile.TemporaryDirectory(prefix="edgedeblur-") as folder:
        sink = VideoSink(Path(folder) / "out.mp4", SinkOptions(frame_rate=RATE, time_base=1 / RATE))
        options = PipelineOptions(latest=False, frames=count)
        pipeline = Pipeline(ReplaySource(frames), session, [sink], Timing(now_ns()), options)
        watch = Watch()
        pipeline.run(stop)
        return watch.pace(count)
