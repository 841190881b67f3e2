"""Cautions: what a reader of a report must know before believing its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

BUSY = 0.05  # of the processor: what others may take unnoticed
SPREAD = 0.10  # between the repeats, of their median
FEWEST_REPEATS = 3
STEPPING_GOVERNORS = ("ondemand", "schedutil", "conservative", "powersave", "nvhost_podgov")
GROWTH = 1.25  # of the frame age from the first repeat to the last

Report = Mapping[str, Any]


def cautions(report: Report) -> list[str]:
    """Sentences, the most important first; none for a quiet machine and steady results."""
    return [*_throttled(report), *_shared(report), *_clocks(report), *_repeats(report), *_growing(report)]


def _throttled(report: Report) -> Iterator[str]:
    throttling = report["throttling"]
    events = [f"{count} x {cause}" for cause, count in throttling["events"].items() if count]
    causes = [*(throttling["seen"] or []), *events]
    if causes:
        yield f"the machine was slowed down meanwhile: {', '.join(causes)}"


def _shared(report: Report) -> Iterator[str]:
    shares = report["processor"]
    if shares and shares["others"] > BUSY:
        yield f"other programs took {100 * shares['others']:.0f} % of the processor: this is a busy machine's speed"
    if shares and shares["stolen"] > BUSY:
        yield f"the hypervisor gave {100 * shares['stolen']:.0f} % of the processor to other machines"


def _clocks(report: Report) -> Iterator[str]:
    header = report["header"]
    if header["clocks_locked"] is False and set((header["governor"] or "").split(", ")) & set(STEPPING_GOVERNORS):
        lock = "sudo jetson_clocks" if header["l4t"] else "sudo cpupower frequency-set -g performance"
        yield f"clocks may change with the load (governor {header['governor']}); fixed by: {lock}"
    if report["warm_up"]["clocks"].startswith("not steady"):
        yield f"clocks were {report['warm_up']['clocks']}"


def _repeats(report: Report) -> Iterator[str]:
    repeats = report["repeats"]
    if len(repeats) < FEWEST_REPEATS:
        yield f"{len(repeats)} whole repeats cannot show how far results spread; --repeats {FEWEST_REPEATS} or more do"
    row = report["spread"].get("age_p50" if report["mode"] == "paced" else "fps")
    if row and row["median"] and (row["most"] - row["least"]) / row["median"] > SPREAD:
        apart = 100 * (row["most"] - row["least"]) / row["median"]
        what = "pipeline latency" if report["mode"] == "paced" else "frames/s"
        yield f"repeats differ by {apart:.0f} % in {what}: smaller differences to other runs mean nothing"


def _growing(report: Report) -> Iterator[str]:
    ages = [repeat["ms"]["age"]["p50"] for repeat in report["repeats"]]
    rising = len(ages) >= FEWEST_REPEATS and all(later > earlier for earlier, later in pairwise(ages))
    if report["mode"] == "paced" and rising and ages[-1] > GROWTH * ages[0]:
        yield f"frame age grew in every repeat, from {ages[0]:.1f} to {ages[-1]:.1f} ms"
