"""Profiling: the parts of `edgedeblur profile` in their order, the speed before everything that could disturb it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, now_ns, size_text
from runtime.measure.distribution import PERCENTILES
from runtime.measure.process import resident_bytes, start_ups
from runtime.measure.profiles.accuracy import accuracy, find_pairs, pairs_of_frames, read_pairs
from runtime.measure.profiles.blocks import Block, Span
from runtime.measure.profiles.cautions import cautions
from runtime.measure.profiles.header import header_of
from runtime.measure.profiles.overhead import speed_beside_bare_loop, without_references
from runtime.measure.profiles.paced_replay import PacedReplay
from runtime.measure.profiles.profile_report import Report, Wanted, profile_report
from runtime.measure.profiles.recording import Recording, record
from runtime.measure.profiles.stamps import Stamps
from runtime.measure.timing import Timing
from runtime.pipeline import Pipeline, PipelineOptions
from runtime.sessions.session import Session, check_size
from runtime.sinks.sink import NullSink
from runtime.sources.replay_source import ReplaySource
from runtime.sources.source import Source, SourceOptions, frames_of, open_source
from runtime.stop import Stop

HELD_FRAMES = 60  # frames kept in memory and played again and again: reading them must cost nothing
FRAMES, DURATION_S = 60, 7.0  # of a repeat; five of 7 s are 1050 frames of 30 a second, enough for a p99
UNKNOWN_RATE = Fraction(30)
START_UPS = 5  # starts of a new Python, of which the fastest counts
GPU_STAGES = ("upload", "compute", "download")
KNOWN = "the source, which knows its sharp originals"


@dataclass(frozen=True)
class ProfileOptions:
    """What the user asks of a profile."""

    uri: str
    source: SourceOptions = field(default_factory=SourceOptions)
    launched_ns: int = field(default_factory=now_ns)  # when the command began
    mode: str | None = None  # paced | saturated; None: what fits the source
    frames: int | None = None
    duration_s: float | None = None
    repeats: int = 5
    warm_up_ms: float = 200.0
    budget_ms: float | None = None
    percentiles: Sequence[Fraction] = PERCENTILES
    overhead: bool = False
    memory_frames: int = 0
    pairs: Path | None = None


@dataclass(frozen=True, eq=False)
class ProfileResult:
    """The report, every frame behind it, and what ended the run early."""

    report: Report
    stamps: Stamps
    error: BaseException | None


@dataclass(frozen=True, eq=False)
class Material:
    """What is measured, and how frames come."""

    source: Source
    mode: str
    about: str  # the source that the user named
    held: list[Frame]  # in memory; none where a camera gives them
    pairs: list[tuple[Path, Path]]


def profile(
    session: Session, model: str, load_s: float, options: ProfileOptions, stop: Stop, say: Callable[[str], None]
) -> ProfileResult:
    """Measure everything that is asked for. model: the session in words; load_s: what opening it took.

    Raises: Failure as the source does, and for pairs that are none; KeyboardInterrupt if `stop` came before a frame.
    """
    material = _material(session, options, stop)
    source = material.source
    header = header_of(session, source, "newest frame wins" if source.live else "no frame is lost")
    spans, tell = spans_of(material.mode, options), _teller(say, options.repeats)
    recording = record(source, session, spans, options.warm_up_ms, options.launched_ns, stop, tell)
    _refuse_nothing(recording, material.about, stop)
    report = _report(recording, material, options)
    report |= {"model": model, "header": header | report["header"], "notes": [*session.notes, *source.notes]}
    report["warm_up"]["load_s"] = load_s
    if recording.error is None:
        _measure_the_rest(session, material, options, stop, report, say)
    report["interrupted"] = stop.is_set()
    report["cautions"] = cautions(report)
    return ProfileResult(report, recording.stamps, recording.error)


def _material(session: Session, options: ProfileOptions, stop: Stop) -> Material:
    pairs = find_pairs(options.pairs) if options.pairs else []
    source = open_source(options.uri, options.source)
    mode = options.mode or ("paced" if source.live else "saturated")
    about = source.describe()
    if mode == "paced" and source.live:
        return Material(source, mode, about, [], pairs)
    held = hold(source, session, options.frames or HELD_FRAMES, stop)
    frames = without_references(held)
    if mode == "saturated":
        return Material(ReplaySource(frames), mode, about, held, pairs)
    rate = options.source.rate or source.frame_rate or UNKNOWN_RATE
    return Material(PacedReplay(frames, rate), mode, about, held, pairs)


def _report(recording: Recording, material: Material, options: ProfileOptions) -> Report:
    """What the recording says, and of its header what only the frames could tell."""
    budget_ms, rate = options.budget_ms, material.source.frame_rate
    if budget_ms is None and material.mode == "paced" and rate:
        budget_ms = float(1000 / rate)
    report = profile_report(recording, Wanted(material.mode, options.percentiles, budget_ms))
    size = recording.pipeline.size
    assert size is not None  # a frame was delivered
    report |= {"source": material.about, "size": size_text(size)}
    report["header"] = {"size": list(size), "shape": f"{size_text(size)}, uint8 BGR in and out"}
    report["gpu_ms"] = {name: report["ms"][name] for name in GPU_STAGES}
    quality = None if material.held else recording.pipeline.quality.summary()
    if quality:
        report["psnr"] = {**quality, "of": KNOWN}
    return report


def spans_of(mode: str, options: ProfileOptions) -> list[Span]:
    """Each repeat once with stamps and once without, in turns; who is first changes."""
    frames = options.frames or (FRAMES if mode == "saturated" and options.duration_s is None else inf)
    seconds = options.duration_s or (DURATION_S if mode == "paced" and options.frames is None else inf)
    # At a camera's pace nobody wants to wait twice as long: what recording costs is seen in less, too.
    less = 1 if mode == "saturated" else 4
    spans = []
    for repeat in range(options.repeats):
        turn = [Span(frames, seconds), Span(max(10, frames / less), seconds / less, recorded=False)]
        spans += turn if repeat % 2 == 0 else turn[::-1]
    return spans


def hold(source: Source, session: Session, most: int, stop: Stop) -> list[Frame]:
    """The first frames of a source, all of one size; closes it.

    Raises: Failure as the source does and for a size that the session does not take; KeyboardInterrupt after a stop.
    """
    frames = list(islice(frames_of(source, stop), min(most, HELD_FRAMES)))
    if not frames:  # a source without frames raises, so this is a stop
        raise KeyboardInterrupt
    frames = [frame for frame in frames if frame.size == frames[0].size]
    check_size(frames[0].size, session)
    return frames


def _refuse_nothing(recording: Recording, about: str, stop: Stop) -> None:
    if len(recording.stamps.unique) and recording.pipeline.size is not None:
        return
    if recording.error is not None:
        raise recording.error
    if stop.is_set():
        raise KeyboardInterrupt
    raise Failure(f"{about}: it gave no frame that could be measured", ExitCode.SOURCE)


def _measure_the_rest(
    session: Session,
    material: Material,
    options: ProfileOptions,
    stop: Stop,
    report: Report,
    say: Callable[[str], None],
) -> None:
    """What needs no stamps, one after the other until `stop` comes."""
    count, held = options.frames or FRAMES, material.held
    if not held and (options.overhead or options.memory_frames) and not stop.is_set():  # a camera's are gone by
        held = hold(open_source(options.uri, options.source), session, count, stop)
    if held and (material.mode == "saturated" or options.overhead) and not stop.is_set():
        say(f"the bare loop and the pipeline, {options.repeats} times in turns")
        report["speed"] = speed_beside_bare_loop(session, held, count, options.repeats, stop)
    if held and options.overhead and not stop.is_set():
        # Imported here: the page and PyAV, only where they are wanted.
        from runtime.measure.profiles.features import features_beside_bare_loop

        say(f"the page and recording beside the bare loop, {options.repeats} times in turns")
        report["features"] = features_beside_bare_loop(session, held, count, options.repeats, stop)
    if material.pairs and not stop.is_set():
        say(f"quality on {len(material.pairs)} pairs")
        report["psnr"] = accuracy(session, read_pairs(material.pairs), str(options.pairs), stop)
    elif material.held and not stop.is_set():
        report["psnr"] = accuracy(session, pairs_of_frames(material.held), KNOWN, stop)
    if options.memory_frames and held and not stop.is_set():
        say(f"memory over {options.memory_frames} frames")
        report["memory"] = _memory(session, held, options.memory_frames, stop)
    if not stop.is_set():
        report["start_up_s"] = start_ups(min(options.repeats, START_UPS))


def _memory(session: Session, frames: list[Frame], count: int, stop: Stop) -> dict[str, Any]:
    """Resident memory after the first tenth of a long run and at its end."""
    resident: list[int] = []
    options = PipelineOptions(latest=False, frames=count, watchers=[lambda item: resident.append(resident_bytes())])
    Pipeline(ReplaySource(frames), session, [NullSink()], Timing(now_ns()), options).run(stop)
    early, late = resident[: max(1, count // 10)], resident[count // 10 :] or resident
    growth = max(late) - max(early)
    return {"frames": len(resident), "after_tenth_mib": max(early) / 2**20, "growth_mib": growth / 2**20}


def _teller(say: Callable[[str], None], repeats: int) -> Callable[[Block], None]:
    def tell(block: Block) -> None:
        if block.recorded:
            say(f"repeat {block.repeat + 1} of {repeats}: {block.delivered} frames, {block.fps:.2f} unique frames/s")

    return tell
