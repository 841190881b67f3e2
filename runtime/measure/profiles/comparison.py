"""Comparison: two reports metric by metric, and whether a difference is larger than the spread of their repeats.

Frames of one run follow one another and are alike, so each repeat counts once, by its median. Whether two groups of
repeats differ is asked by shuffling: of all ways to deal the repeats to the two reports, how many give a difference as
large as the one that was found?
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

from runtime.measure.profiles.profile_report import DEFINITIONS

FEWEST_REPEATS = 3
CHANCE = 0.05
MOST_WAYS = 20_000  # to deal the repeats; beyond them so many are drawn
BETTER, WORSE, SAME, CANNOT_TELL = "better", "worse", "same within the spread", "cannot tell"
OTHER_MODE, OTHER_PICTURES, SAME_EXACTLY = "of another mode", "of other pictures", "the same"
LEAST_DB = 0.005  # of PSNR: less is how two processors round
# Fields of the header after which a speed is that of another thing, and those that only explain a difference.
LOUD = ("mode", "size", "device", "cpu", "cores", "gpu", "power_mode", "preset", "precision", "model", "model_sha256")
LOUD_PACED = ("source_rate",)
EXPLAINS = (
    "source",
    "policy",
    "cpu_quota",
    "governor",
    "clocks_locked",
    "driver",
    "driver_cuda",
    "l4t",
    "kernel",
    "python",
    "threads",
    "copies",
    "in_flight",
    "waiting",
    "engine_key",
    "codec",
    "outputs",
)
Report = Mapping[str, Any]


@dataclass(frozen=True)
class Metric:
    """One number of a report. exact: not measured in time, so that it has no spread."""

    name: str
    title: str
    unit: str
    path: tuple[str, ...]
    more_is_better: bool = False
    exact: bool = False

    def values(self, report: Report) -> list[float]:
        """Of each repeat, or the one there is."""
        found = [_at(repeat, self.path) for repeat in report.get("repeats") or ()] or [_at(report, self.path)]
        if found == [None] * len(found):  # known of the whole run only
            found = [_at(report, self.path)]
        return [float(value) for value in found if isinstance(value, int | float)]


def _stage(name: str, column: str, title: str) -> Metric:
    return Metric(f"{name}_{column}", title, "ms", ("ms", name, column))


METRICS = (
    Metric("fps", "output, unique frames", "1/s", ("fps",), more_is_better=True),
    _stage("age", "p50", "pipeline latency p50"),
    _stage("age", "p95", "pipeline latency p95"),
    *(_stage(name, "p50", f"{title} p50") for name, (title, _) in DEFINITIONS.items() if name != "age"),
    _stage("interval", "std", "jitter: std of the output interval"),
    Metric("cpu_ms", "processor time a frame", "ms", ("cpu_ms",)),
    Metric("deadline_share", "deadline misses, share", "", ("deadline_share",)),
    Metric("joules_per_frame", "energy a frame", "J", ("power", "joules_per_frame")),
    Metric("psnr_after", "PSNR of the output", "dB", ("psnr", "after_db"), more_is_better=True, exact=True),
)


def _at(part: Report, path: Sequence[str]) -> Any:
    found: Any = part
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


@dataclass(frozen=True)
class Compared:
    """One metric of both reports. change: of the medians, relative; chance: None with too few repeats to ask."""

    metric: Metric
    a: float
    b: float
    change: float | None
    chance: float | None
    verdict: str

    def as_json(self) -> dict[str, Any]:
        metric = self.metric
        return {
            "name": metric.name,
            "title": metric.title,
            "unit": metric.unit,
            "a": self.a,
            "b": self.b,
            "change": self.change,
            "chance": self.chance,
            "verdict": self.verdict,
        }


def compare(a: Report, b: Report) -> list[Compared]:
    """Every metric that both have, b beside a."""
    return list(_compared(a, b))


def differing_fields(a: Report, b: Report) -> tuple[dict[str, tuple[Any, Any]], dict[str, tuple[Any, Any]]]:
    """(those after which speed is not comparable, those that may explain a difference), field → its two values."""
    ours, theirs = _fields(a), _fields(b)
    paced = ours.get("mode") == "paced"
    loud = LOUD + (LOUD_PACED if paced else ())
    versions = sorted({*_versions(a), *_versions(b)})
    found = {name: (ours.get(name), theirs.get(name)) for name in (*loud, *EXPLAINS)}
    found |= {f"{name} version": (_versions(a).get(name), _versions(b).get(name)) for name in versions}
    differ = {name: pair for name, pair in found.items() if pair[0] != pair[1]}
    return (
        {name: pair for name, pair in differ.items() if name in loud},
        {name: pair for name, pair in differ.items() if name not in loud},
    )


def chance_of(a: Sequence[float], b: Sequence[float]) -> float:
    """Share of the ways to deal all values to two groups of these sizes that set the means at least so far apart."""
    pool, size = [*a, *b], len(a)
    found = abs(statistics.fmean(a) - statistics.fmean(b))
    total, count = sum(pool), 0
    deals = list(_deals(len(pool), size))
    for deal in deals:
        ours = sum(pool[place] for place in deal)
        apart = abs(ours / size - (total - ours) / (len(pool) - size))
        count += apart >= found * (1 - 1e-9)
    return count / len(deals)


def _deals(count: int, size: int) -> Iterator[tuple[int, ...]]:
    if comb(count, size) <= MOST_WAYS:
        yield from combinations(range(count), size)
        return
    dealer = random.Random(0)
    yield tuple(range(size))  # as it was found: it may not be missing among those that are drawn
    for _ in range(MOST_WAYS - 1):
        yield tuple(dealer.sample(range(count), size))


def _compared(a: Report, b: Report) -> Iterator[Compared]:
    same_mode = _fields(a).get("mode") == _fields(b).get("mode")
    for metric in METRICS:
        ours, theirs = metric.values(a), metric.values(b)
        if not ours or not theirs:
            continue
        first, second = statistics.median(ours), statistics.median(theirs)
        change = second / first - 1 if first else None
        if not same_mode:
            yield Compared(metric, first, second, change, None, OTHER_MODE)
            continue
        chance, verdict = (None, _judged_exact(a, b)) if metric.exact else _judged(metric, ours, theirs)
        yield Compared(metric, first, second, change, chance, verdict)


def _judged(metric: Metric, ours: list[float], theirs: list[float]) -> tuple[float | None, str]:
    if min(len(ours), len(theirs)) < FEWEST_REPEATS:
        return None, CANNOT_TELL
    chance = chance_of(ours, theirs)
    # Three repeats against three give at best 2 in 20: all of one side beyond all of the other.
    least = (2 if len(ours) == len(theirs) else 1) / comb(len(ours) + len(theirs), len(ours))
    if chance > max(CHANCE, least * (1 + 1e-9)):
        return chance, SAME
    more = statistics.fmean(theirs) > statistics.fmean(ours)
    return chance, BETTER if more is metric.more_is_better else WORSE


def _judged_exact(a: Report, b: Report) -> str:
    """PSNR is a matter of pictures and network alone."""
    ours, theirs = a["psnr"], b["psnr"]
    if ours["frames"] != theirs["frames"] or abs(ours["before_db"] - theirs["before_db"]) > LEAST_DB:
        return OTHER_PICTURES
    gain = theirs["after_db"] - ours["after_db"]
    return SAME_EXACTLY if abs(gain) <= LEAST_DB else BETTER if gain > 0 else WORSE


def _fields(report: Report) -> dict[str, Any]:
    header = report.get("header") or {}
    fields = {**header, "mode": report.get("mode"), "size": header.get("size") or report.get("size")}
    if not header:  # a summary of `run` has words only
        fields |= {name: report.get(name) for name in ("source", "model", "policy")}
    return fields


def _versions(report: Report) -> dict[str, str]:
    return (report.get("header") or {}).get("versions") or {}
