"""The report of a profile: a recording turned into the numbers that DEFINITIONS names, as JSON can hold them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from runtime.measure.distribution import PERCENTILES, RULE, percentile, summary_of
from runtime.measure.profiles.blocks import Block
from runtime.measure.profiles.recording import Recording
from runtime.measure.profiles.stamps import Stamps

SCHEMA = "edgedeblur.profile/2"
Report = dict[str, Any]
MODES = {
    "paced": "frames came at a camera's pace and the newest won: what a user of the camera gets",
    "saturated": "frames came back to back and none was lost: what the machine can do; frame age is mostly queueing",
}
# By the points that every frame passes on CLOCK_MONOTONIC.
POINTS_ARE = (
    "t0 sensor's or driver's stamp, else arrival; t1 in our memory; t2 the session takes it; t3, t4 the network's "
    "start and end on a GPU; t5 the result is in our memory; t6 handed to the outputs; t7 the outputs are done"
)
DEFINITIONS = {
    "age": ("pipeline latency (frame age)", "t6 - t0: how old a frame is when it leaves us; the headline"),
    "capture": ("capture delay", "t1 - t0; n/a where the source stamps on arrival, never 0"),
    "queue": ("queue wait", "t2 - t1: waiting for the network"),
    "inference": ("inference latency", "t5 - t2, copies included; as trtexec's Latency with transfers"),
    "upload": ("pre (upload)", "t3 - t2 by CUDA events; a GPU that copies has it"),
    "compute": ("network (GPU compute)", "t4 - t3 by CUDA events: the network alone; as trtexec's GPU Compute Time"),
    "download": ("post (download)", "t5 - t4 by CUDA events; a GPU that copies has it"),
    "handover": ("output wait", "t6 - t5: a finished frame waits for the outputs"),
    "sink": ("sink delay", "t7 - t6: composing, encoding, writing"),
    "interval": ("output interval", "from one t6 to the next"),
}
ALSO_DEFINED = {
    "output FPS": "unique frames delivered by wall time; held, blank and passed-through frames are counted apart",
    "capacity": "1 / mean busy time of the slowest stage; what could be, not what was: never called FPS",
    "drops": "frames captured and not delivered, by cause",
    "deadline miss": "share of delivered frames whose pipeline latency is over the budget",
    "jitter": "p99 - p50 of the pipeline latency, and the standard deviation of the output interval",
    "glass-to-glass": "never derived from these: only a camera before a screen can tell",
    "percentiles": RULE,
    "spread": "of the repeats of this run: their smallest and largest value",
    "J/frame": "mean power of what `watts_of` names, times the time, by the frames delivered in it",
}


@dataclass(frozen=True)
class Wanted:
    """What the user asks of a report."""

    mode: str  # paced | saturated
    percentiles: Sequence[Fraction] = PERCENTILES
    budget_ms: float | None = None  # None: no deadline is known


def profile_report(recording: Recording, wanted: Wanted) -> Report:
    """Everything but the header; milliseconds, frames a second, watts."""
    measured, in_warm_up = _measured(recording.stamps)
    stages = measured.stages_ms()
    ms = {name: summary_of(values[~np.isnan(values)], wanted.percentiles) for name, values in stages.items()}
    repeats = [_repeat(recording, measured, block, wanted) for block in recording.recorded if block.whole]
    start_ns, end_ns = _extent(recording, measured)
    delivered = sum(block.delivered for block in recording.blocks) or len(measured)
    power = recording.meter.summary(start_ns, end_ns, delivered)
    return {
        "schema": SCHEMA,
        "mode": wanted.mode,
        "mode_means": MODES[wanted.mode],
        "fps": _fps(recording, stages, ms, repeats),
        "ms": ms,
        "jitter_ms": {
            "p99_minus_p50": _p99_minus_p50(np.sort(stages["age"])),
            "interval_std": ms["interval"]["std"],
        },
        "deadline": _deadline(stages["age"], wanted),
        "frames": _frames(recording),
        "repeats": repeats,
        "spread": spread_of(repeats),
        "warm_up": _warm_up(recording, in_warm_up),
        "power": {key: power[key] for key in ("watts_mean", "watts_of", "joules_per_frame")},
        "temperatures_c": power["temperatures_c"],
        "clocks_mhz": power["clocks_mhz"],
        "throttling": {"seen": power["throttling"], "events": power["throttle_events"]},
        "processor": power["processor"],
        "unreadable": power["unreadable"],
        "profiler_cost": _cost(recording, wanted.mode),
        "percentile_rule": RULE,
    }


def spread_of(repeats: Sequence[Report]) -> Report:
    """Metric → the median of its repeats, their smallest and their largest; needs at least two of them."""
    values = {
        "fps": [repeat["fps"] for repeat in repeats],
        "cpu_ms": [repeat["cpu_ms"] for repeat in repeats],
        **{f"{stage}_p50": [repeat["ms"][stage]["p50"] for repeat in repeats] for stage in DEFINITIONS},
    }
    known = {name: row for name, row in values.items() if len(row) > 1 and None not in row}
    return {
        name: {"median": statistics.median(row), "least": min(row), "most": max(row)} for name, row in known.items()
    }


def _measured(stamps: Stamps) -> tuple[Stamps, bool]:
    """The frames that count; those of the warm-up, and True, where the run ended in it."""
    measured = stamps.measured
    return (measured, False) if len(measured) else (stamps.unique, True)


def _repeat(recording: Recording, measured: Stamps, block: Block, wanted: Wanted) -> Report:
    own = measured.where(measured.repeat == block.repeat)
    stages = own.stages_ms()
    return {
        "fps": _finite(block.fps),
        "cpu_ms": _finite(block.cpu_ms),
        "seconds": (block.end_ns - block.start_ns) / 1e9,
        "captured": block.captured,
        "delivered": block.delivered,
        "drops": _settled(block.drops),
        "deadline_share": _deadline(stages["age"], wanted)["share"],
        "ms": {name: summary_of(values[~np.isnan(values)], wanted.percentiles) for name, values in stages.items()},
    }


def _fps(recording: Recording, stages: dict[str, Any], ms: Report, repeats: list[Report]) -> Report:
    """Output by the recorded blocks; capacity by the stage that is busy longest."""
    span_s = sum((block.end_ns - block.start_ns) / 1e9 for block in recording.recorded)
    delivered = sum(block.delivered for block in recording.recorded)
    busy = {"inference": ms["inference"]["mean"], "sink": ms["sink"]["mean"]}
    if ms["compute"]["n"] and not recording.pipeline.source.live:
        # Several frames are in flight: upload, network and download overlap, each on its own stream.
        busy = {name: ms[name]["mean"] or 0.0 for name in ("upload", "compute", "download")} | {"sink": busy["sink"]}
    slowest = max(busy, key=lambda name: busy[name] or 0.0)
    return {
        "output": delivered / span_s if span_s else recording.timing.fps,
        "repeats": [repeat["fps"] for repeat in repeats],
        "capacity": 1000 / busy[slowest] if busy[slowest] else None,
        "bottleneck": slowest,
    }


def _p99_minus_p50(ages: Any) -> float | None:
    p99, p50 = (percentile(ages, Fraction(percent)) if len(ages) else None for percent in (99, 50))
    return p99 - p50 if isinstance(p99, float) and isinstance(p50, float) else None


def _deadline(ages: Any, wanted: Wanted) -> Report:
    if wanted.budget_ms is None:
        why = "no camera's pace" if wanted.mode == "saturated" else "the source does not say its rate"
        return {"budget_ms": None, "missed": None, "share": None, "why": f"{why}; give --budget MS"}
    missed = int(np.sum(ages > wanted.budget_ms))
    return {"budget_ms": wanted.budget_ms, "missed": missed, "share": missed / len(ages) if len(ages) else None}


def _frames(recording: Recording) -> Report:
    """Of the whole run, the warm-up and the blocks without recording included."""
    return {
        "captured": recording.pipeline.captured,
        "delivered": recording.timing.delivered,
        "by_how": dict(recording.timing.by_how),
        "drops": recording.pipeline.drops(),
        "drops_measured": {
            cause: sum(block.drops[cause] for block in recording.recorded)
            for cause in _settled(recording.pipeline.drops())
        },
    }


def _settled(drops: dict[str, int]) -> dict[str, int]:
    """Without those that are only on their way when somebody counts."""
    return {cause: count for cause, count in drops.items() if cause != "not_processed_at_stop"}


def _warm_up(recording: Recording, included: bool) -> Report:
    return {
        "frames": recording.warm_up.frames,
        "ms": recording.warm_up.lasted_ms,
        "clocks": recording.warm_up.clocks or "the run ended before they were read",
        "included": included,
        "first_frame_ms": recording.timing.first_frame_ms,
        "first_out_ms": recording.timing.first_out_ms,
    }


def _extent(recording: Recording, measured: Stamps) -> tuple[int, int]:
    """From the end of the warm-up to the end of the last block."""
    if recording.blocks:
        return recording.blocks[0].start_ns, recording.blocks[-1].end_ns
    handed = measured.at_ns("handed")
    return (int(handed[0]), int(handed[-1])) if len(handed) else (0, 0)


def _cost(recording: Recording, mode: str) -> Report:
    """Recorded blocks against those that are not, in turns: processor time a frame, and what the mode is about."""
    pairs = []
    blocks = [(block, recording.ages_ms[place]) for place, block in enumerate(recording.blocks) if block.whole]
    with_, without = ([pair for pair in blocks if pair[0].recorded is recorded] for recorded in (True, False))
    for (ours, our_age), (plain, plain_age) in zip(with_, without, strict=False):
        speed = plain_age / our_age if mode == "paced" else ours.fps / plain.fps
        pairs.append({"speed": _finite(speed), "cpu": _finite(ours.cpu_ms / plain.cpu_ms)})
    return {
        "record_us": recording.record_us,
        "measure": "frame age without / with" if mode == "paced" else "frames/s with / without",
        "speed_ratio": [pair["speed"] for pair in pairs],
        "cpu_ratio": [pair["cpu"] for pair in pairs],
        "speed_ratio_median": _median([pair["speed"] for pair in pairs]),
        "cpu_ratio_median": _median([pair["cpu"] for pair in pairs]),
    }


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
