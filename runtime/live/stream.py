"""Stream: one source on its way to its outputs, and all that is known of it while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from runtime.frame import UNIQUE, now_ns
from runtime.live.status import Controls, Status
from runtime.measure.summary import STAGES
from runtime.measure.timing import Timing
from runtime.pipeline import Pipeline
from runtime.steering.steering import Steering

RECENT_NS = 5_000_000_000  # what "now" means where a rate or an age is of now


class Described(Protocol):
    """An output that says what became of it."""

    def describe(self) -> str: ...


@dataclass(eq=False)
class Stream:
    """One source, its pipeline and its numbers. Read by other threads than those that write it."""

    name: str  # in URLs and labels: letters, digits, `-` and `_`
    model: str  # one line for people
    pipeline: Pipeline
    timing: Timing
    status: Status
    controls: Controls
    steering: Steering | None = None  # what decides on what the network sees
    outputs: list[Described] = field(default_factory=list)  # what was written and shown
    at_end: list[Callable[[], None]] = field(default_factory=list)  # called once the pipeline is through

    def stats(self) -> dict[str, Any]:
        """What the stream does now and has done so far, as JSON can hold it; times in milliseconds."""
        now = now_ns()
        return {
            "name": self.name,
            "source": self.pipeline.source.describe(),
            "model": self.model,
            "state": self.status.state,
            "healthy": self.status.healthy,
            "reason": self.status.reason,
            "state_for_s": (now - self.status.since_ns) / 1e9,
            "reconnects": self.status.reconnects,
            "size": list(self.pipeline.size) if self.pipeline.size else None,
            "view": self.controls.view,
            "strength": self.controls.strength,
            "captured": self.pipeline.captured,
            "delivered": self.timing.delivered,
            "by_how": dict(self.timing.by_how),
            "drops": self.pipeline.drops(),
            "steering": self.steering.counts() if self.steering else {},
            "now": self._now(now),
            "ms": {name: getattr(self.timing.stages, name).summary() for name in STAGES},
            "seconds_since_last_frame": (now - self.timing.last_ns) / 1e9 if self.timing.delivered else None,
        }

    def _now(self, now: int) -> dict[str, float | None]:
        """Unique frames a second and the age of frames over the last 5 s; None where there were none."""
        recent = [(handed_ns, age_ms) for handed_ns, age_ms, how in self.timing.recent.copy() if how in UNIQUE]
        recent = [(handed_ns, age_ms) for handed_ns, age_ms in recent if now - handed_ns <= RECENT_NS]
        if len(recent) < 2:
            return {"fps": 0.0, "age_p50_ms": None, "age_max_ms": None}
        ages = sorted(age_ms for _, age_ms in recent)
        # Up to now, not up to the last frame: a stream that stopped shows a rate that falls to nothing.
        fps = (len(recent) - 1) / (now - recent[0][0]) * 1e9
        return {"fps": fps, "age_p50_ms": ages[(len(ages) - 1) // 2], "age_max_ms": ages[-1]}
