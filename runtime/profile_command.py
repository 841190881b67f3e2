"""`edgedeblur profile [URI]`: what the pipeline costs beside a bare loop around the model, start-up and memory."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, now_ns, size_text
from runtime.measure.timing import Timing
from runtime.pipeline import Pipeline, PipelineOptions
from runtime.run_options import add_model_arguments, add_source_arguments, first_size, model_options, source_options
from runtime.sessions.models import open_session
from runtime.sessions.session import Session, check_size
from runtime.sinks.sink import NullSink
from runtime.sources.replay_source import ReplaySource
from runtime.sources.source import frames_of, open_source
from runtime.stop import Stop, stop_on_signals

HELD_FRAMES = 60  # frames kept in memory and played again and again: reading them must cost nothing
WARM_UP_S = 1.0
GPU_STAGES = {"upload": "upload", "compute": "network (GPU compute)", "download": "download"}
START_UPS = {"edgedeblur --help": ["-m", "edgedeblur", "--help"], "import runtime": ["-c", "import runtime"]}


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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edgedeblur profile`."""
    parser.formatter_class = argparse.HelpFormatter  # the defaults are said in words where there are any
    parser.add_argument(
        "input", nargs="?", default="test://640x360", help="where the frames come from (default: test://640x360)"
    )
    add_model_arguments(parser)
    parser.add_argument("--frames", type=int, default=60, help="frames in one repeat (default: %(default)s)")
    parser.add_argument(
        "--repeats",
        type=int,
        default=5,
        help="repeats of both, in turns, as a busy machine drifts (default: %(default)s)",
    )
    parser.add_argument("--memory-frames", type=int, default=0, help="also run so many frames and watch the memory")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_source_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print. Raises: Failure as the source and the model do."""
    if min(args.frames, args.repeats) < 1 or args.memory_frames < 0:
        raise Failure("--frames and --repeats are at least 1, --memory-frames at least 0")
    stop = Stop()
    report = measure(args, stop)
    if stop.signal_name:
        return ExitCode.INTERRUPTED
    print(json.dumps(report, indent=2) if args.json else _text(report), flush=True)
    return ExitCode.OK


def measure(args: argparse.Namespace, stop: Stop) -> dict[str, Any]:
    """Everything this command measures, as JSON can hold it."""
    wanted = source_options(args)
    session, why = open_session(model_options(args), lambda: first_size(args.input, wanted))
    with closing(session), stop_on_signals(stop):
        return _measure(args, session, why, stop)


def _measure(args: argparse.Namespace, session: Session, why: str, stop: Stop) -> dict[str, Any]:
    source = open_source(args.input, source_options(args))
    about = source.describe()
    frames = list(islice(frames_of(source, stop), min(args.frames, HELD_FRAMES)))
    if not frames:  # a source without frames raises, so this is a stop
        raise KeyboardInterrupt
    check_size(frames[0].size, session)
    report: dict[str, Any] = {"schema": 1, "source": about, "model": f"{session.describe()} ({why})"}
    report["size"] = size_text(frames[0].size)
    report["notes"] = session.notes
    timing = Timing(now_ns())  # of all frames that go through the pipeline
    report["speed"] = _speed(session, frames, args.frames, args.repeats, stop, timing)
    report["gpu_ms"] = {name: getattr(timing.stages, name).summary() for name in GPU_STAGES}
    report["start_up_s"] = {name: _start_up(command, args.repeats) for name, command in START_UPS.items()}
    if args.memory_frames:
        report["memory"] = _memory(session, frames, args.memory_frames, stop)
    return report


def _speed(
    session: Session, frames: list[Frame], count: int, repeats: int, stop: Stop, timing: Timing
) -> dict[str, Any]:
    """FPS of both and their ratio, for each repeat; the two take turns so that drift hits both."""
    bare_loop(session, frames, count, WARM_UP_S)
    bare: list[Pace] = []
    through: list[Pace] = []
    for repeat in range(repeats):
        # Who goes first changes, since the second may find a warmer or a busier machine.
        if repeat % 2 == 0:
            bare.append(bare_loop(session, frames, count))
        through.append(pipeline_pace(session, frames, count, stop, timing))
        if repeat % 2:
            bare.append(bare_loop(session, frames, count))
        if stop.is_set():
            raise KeyboardInterrupt
    ratios = [ours.fps / theirs.fps for ours, theirs in zip(through, bare, strict=True)]
    return {
        "frames": count,
        "bare_fps": [pace.fps for pace in bare],
        "pipeline_fps": [pace.fps for pace in through],
        "ratio": ratios,
        "ratio_median": statistics.median(ratios),
        "bare_cpu_ms": statistics.median(pace.cpu_ms for pace in bare),
        "pipeline_cpu_ms": statistics.median(pace.cpu_ms for pace in through),
    }


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
    return watch.pace(done)


def pipeline_pace(session: Session, frames: list[Frame], count: int, stop: Stop, timing: Timing) -> Pace:
    """The whole pipeline to null:// on the same frames, the start and end of its threads included."""
    options = PipelineOptions(latest=False, frames=count)
    pipeline = Pipeline(ReplaySource(frames), session, [NullSink()], timing, options)
    watch = Watch()
    pipeline.run(stop)
    return watch.pace(count)


def _start_up(command: list[str], repeats: int) -> float:
    """The fastest of some starts of a new Python, in seconds: the slower ones measure other programs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return min(times)


def _memory(session: Session, frames: list[Frame], count: int, stop: Stop) -> dict[str, Any]:
    """Resident memory after the first tenth of a long run and at its end."""
    resident: list[int] = []
    options = PipelineOptions(latest=False, frames=count, watchers=[lambda item: resident.append(resident_bytes())])
    Pipeline(ReplaySource(frames), session, [NullSink()], Timing(now_ns()), options).run(stop)
    early, late = resident[: max(1, count // 10)], resident[count // 10 :] or resident
    growth = max(late) - max(early)
    return {"frames": len(resident), "after_tenth_mib": max(early) / 2**20, "growth_mib": growth / 2**20}


def resident_bytes() -> int:
    """Memory of this process that is in RAM now, in bytes."""
    with open("/proc/self/statm", encoding="ascii") as fields:
        return int(fields.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _text(report: dict[str, Any]) -> str:
    speed = report["speed"]
    lines = [f"source   {report['source']}", f"model    {report['model']}", ""]
    lines += [f"{'repeat':>8}{'bare loop':>14}{'pipeline':>14}{'ratio':>10}   frames/s, {speed['frames']} frames each"]
    for number, row in enumerate(zip(speed["bare_fps"], speed["pipeline_fps"], speed["ratio"], strict=True), 1):
        lines.append(f"{number:>8}{row[0]:>14.2f}{row[1]:>14.2f}{row[2]:>10.3f}")
    low, high = min(speed["ratio"]), max(speed["ratio"])
    lines += [f"pipeline / bare loop: median {speed['ratio_median']:.3f}, from {low:.3f} to {high:.3f}"]
    lines += [
        f"processor time a frame, all threads: bare loop {speed['bare_cpu_ms']:.2f} ms, "
        f"pipeline {speed['pipeline_cpu_ms']:.2f} ms",
        "",
    ]
    for name, title in GPU_STAGES.items():
        if (row := report["gpu_ms"][name])["n"]:
            lines.append(
                f"{title}, ms by CUDA events: p50 {row['p50']:.3f}, p95 {row['p95']:.3f}, max {row['max']:.3f}"
            )
    lines += [f"{name}: {seconds:.3f} s" for name, seconds in report["start_up_s"].items()]
    if "memory" in report:
        memory = report["memory"]
        lines.append(
            f"memory over {memory['frames']} frames: {memory['after_tenth_mib']:.1f} MiB after a tenth of them, "
            f"{memory['growth_mib']:+.1f} MiB at the most after that"
        )
    return "\n".join(lines)
