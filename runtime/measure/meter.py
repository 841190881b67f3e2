"""Meter: telemetry over a run: mean power, heat and clocks at both ends, what slowed the machine down."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Any

from runtime.frame import now_ns
from runtime.measure.neighbours import ProcessorTime, processor_time
from runtime.measure.telemetry import read_telemetry

EVERY_S = 0.5
MOST_SAMPLES = 4096  # beyond them every second one is let go


@dataclass(frozen=True)
class Sample:
    """Telemetry at one moment of CLOCK_MONOTONIC."""

    at_ns: int
    telemetry: dict[str, Any]
    processor: ProcessorTime | None


class Meter:
    """Reads the sensors twice a second in a thread of its own while it is entered."""

    def __init__(self, read: Callable[[], dict[str, Any]] = read_telemetry, every_s: float = EVERY_S) -> None:
        self.samples: list[Sample] = []
        self._read, self._every_s = read, every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="meter", daemon=True)

    def __enter__(self) -> Meter:
        self._take()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._take()

    def summary(self, start_ns: int, end_ns: int, frames: int) -> dict[str, Any]:
        """What happened between two moments in which `frames` were delivered; None where nothing was readable."""
        inside = [sample for sample in self.samples if start_ns <= sample.at_ns <= end_ns]
        inside = inside if len(inside) > 1 else self.samples
        first, last = inside[0].telemetry, inside[-1].telemetry
        watts = _mean_watts(inside)
        slowed = [reason for sample in inside for reason in sample.telemetry["throttling"] or ()]
        seconds = (end_ns - start_ns) / 1e9
        return {
            "watts_mean": watts,
            "watts_of": last["watts_of"],
            "joules_per_frame": watts * seconds / frames if watts is not None and frames else None,
            "temperatures_c": {"start": first["temperatures_c"], "end": last["temperatures_c"]},
            "clocks_mhz": {"start": first["clocks_mhz"], "end": last["clocks_mhz"], "least": _least_clocks(inside)},
            "throttling": None if last["throttling"] is None else sorted(set(slowed)),
            "throttle_events": _new_events(first["throttle_events"], last["throttle_events"]),
            "unreadable": {key: why for key, why in last["unreadable"].items() if not (key == "watts" and watts)},
            "processor": _shares(inside[0].processor, inside[-1].processor),
            "samples": len(inside),
        }

    def _sample(self) -> None:
        while not self._ended.wait(self._every_s):
            self._take()

    def _take(self) -> None:
        self.samples.append(Sample(now_ns(), self._read(), processor_time()))
        if len(self.samples) > MOST_SAMPLES:
            del self.samples[1:-1:2]


def _mean_watts(samples: list[Sample]) -> float | None:
    """By time: what a sample says holds until the next."""
    known = [(sample.at_ns, sample.telemetry["watts_total"]) for sample in samples]
    known = [(at_ns, watts) for at_ns, watts in known if watts is not None]
    if len(known) < 2:
        return known[0][1] if known else None
    spans = [later[0] - earlier[0] for earlier, later in pairwise(known)]
    # A reading of a counter is the mean since the reading before; one of a sensor is of now. Both fit the later one.
    weighted = [span * later[1] for span, later in zip(spans, known[1:], strict=True)]
    return sum(weighted) / sum(spans) if sum(spans) else statistics.fmean(watts for _, watts in known)


def _least_clocks(samples: list[Sample]) -> dict[str, float]:
    names = samples[-1].telemetry["clocks_mhz"]
    seen = {name: [sample.telemetry["clocks_mhz"].get(name) for sample in samples] for name in names}
    return {name: min(mhz for mhz in values if mhz is not None) for name, values in seen.items()}


def _new_events(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {cause: count - before.get(cause, 0) for cause, count in after.items()}


def _shares(before: ProcessorTime | None, after: ProcessorTime | None) -> dict[str, float] | None:
    return after.since(before) if before is not None and after is not None else None
