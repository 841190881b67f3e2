"""Soak: so many frames through the real pipeline that whatever grows, leaks or gets older shows."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from runtime.frame import Frame, now_ns
from runtime.measure.process import descriptors, resident_bytes, threads
from runtime.measure.profiles.overhead import bare_loop, without_references
from runtime.measure.profiles.paced_replay import PacedReplay
from runtime.measure.series import nearest_rank
from runtime.measure.timing import Delivery, Timing
from runtime.pipeline import Pipeline, PipelineOptions
from runtime.sessions.session import Session
from runtime.sinks.sink import NullSink
from runtime.stop import POLL_S, Stop

SCHEMA = "edgedeblur.soak/1"
TENTHS = 10
# Of the speed of a bare loop: below it the newest frame is nearly always taken, and a slower moment drops some.
LOAD = Fraction(4, 5)
FASTEST = Fraction(2000)  # frames a second: more and waking up is what is measured
MEASURED_S, MEASURED_FRAMES = 2.0, 2000  # of the bare loop
MOST_GROWTH = 0.01  # of resident memory after the first tenth
# How much older the youngest tenth of the frames may be at the end, in the median of the last tenths of the run, than
# in the second: what other programs do to it comes and goes, what grows stays.
OLDER, OLDER_MS, LAST = 1.25, 1.0, 3
ENDS_S = 2.0  # how long threads that have ended may be seen
LOOKS = 1000  # at memory, threads and descriptors over the run
KEPT_AGES = 4096  # of each tenth


class Watcher:
    """Looks at the process on the sink's thread as frames come out; its own memory is taken at the start."""

    def __init__(self, count: int, done: Callable[[], None], say: Callable[[str], None]) -> None:
        """count: frames after which `done` is called."""
        self.frames = 0
        self.ages_ms = np.full((TENTHS, KEPT_AGES), np.nan)
        self.kept = [0] * TENTHS
        self.memory = [0] * TENTHS  # highest of each tenth, bytes
        self.threads = [0] * TENTHS
        self.descriptors = [0] * TENTHS
        self._count, self._done, self._say = count, done, say
        self._every = max(1, count // LOOKS)
        self._age_every = max(1, count // TENTHS // KEPT_AGES)
        self._told_ns = now_ns()

    def watch(self, item: Delivery) -> None:
        """Called after every delivered frame."""
        if self.frames == self._count:  # one that was on its way
            return
        tenth = self.frames * TENTHS // self._count
        if self.frames % self._age_every == 0 and self.kept[tenth] < KEPT_AGES:
            self.ages_ms[tenth, self.kept[tenth]] = (item.handed_ns - item.frame.captured_ns) / 1e6
            self.kept[tenth] += 1
        if self.frames % self._every == 0:
            self.memory[tenth] = max(self.memory[tenth], resident_bytes())
            self.threads[tenth] = max(self.threads[tenth], threads())
            self.descriptors[tenth] = max(self.descriptors[tenth], descriptors())
        self.frames += 1
        if self.frames == self._count:
            self._done()
        if item.handed_ns - self._told_ns > 10e9:
            self._told_ns = item.handed_ns
            self._say(f"{self.frames} of {self._count} frames, {self.memory[tenth] / 2**20:.1f} MiB")

    def tenths(self) -> list[dict[str, Any]]:
        """What each tenth that was reached looked like."""
        rows = []
        for tenth in range(TENTHS):
            ages = np.sort(self.ages_ms[tenth, : self.kept[tenth]])
            if not len(ages) or not self.memory[tenth]:
                break
            rows.append(
                {
                    "age_p10_ms": nearest_rank(ages, 10),
                    "age_p50_ms": nearest_rank(ages, 50),
                    "memory_mib": self.memory[tenth] / 2**20,
                    "threads": self.threads[tenth],
                    "descriptors": self.descriptors[tenth],
                }
            )
        return rows


def soak(session: Session, held: list[Frame], count: int, stop: Stop, say: Callable[[str], None]) -> dict[str, Any]:
    """Pass `count` frames as a camera would give them, and judge. Raises: what the pipeline raises.

    held: frames of one size, played again and again.
    """
    frames = without_references(held)
    pace = bare_loop(session, frames, MEASURED_FRAMES, MEASURED_S)
    rate = min(Fraction(pace.fps).limit_denominator(1000) * LOAD, FASTEST)
    say(f"{count} frames at {float(rate):.0f} frames/s, {float(LOAD):.0%} of what a bare loop does")
    ended = Stop(stop)
    watcher, source, timing = Watcher(count, ended.set, say), PacedReplay(frames, rate), Timing(now_ns())
    options = PipelineOptions(latest=True, watchers=[watcher.watch])
    pipeline = Pipeline(source, session, [NullSink()], timing, options)
    gc.collect()
    before = {"threads": threads(), "descriptors": descriptors()}
    start_ns = now_ns()
    pipeline.run(ended)
    seconds = (now_ns() - start_ns) / 1e9
    after = _after(before)
    tenths = watcher.tenths()
    checks = judge(tenths, before, after) if len(tenths) == TENTHS else []
    return {
        "schema": SCHEMA,
        "frames": watcher.frames,
        "wanted": count,
        "seconds": seconds,
        "rate": float(rate),
        "captured": pipeline.captured,
        "drops": pipeline.drops(),
        "before": before,
        "after": after,
        "tenths": tenths,
        "checks": checks,
        "passed": all(check["passed"] for check in checks) if checks else None,
    }


def _after(before: dict[str, int]) -> dict[str, int]:
    """What is left after the run: a thread that has been joined is in the kernel's list for a moment more."""
    deadline_ns = now_ns() + int(ENDS_S * 1e9)
    while (left := {"threads": threads(), "descriptors": descriptors()}) and now_ns() < deadline_ns:
        if all(left[name] <= before[name] for name in left):
            break
        time.sleep(POLL_S)
    return left


def judge(tenths: list[dict[str, Any]], before: dict[str, int], after: dict[str, int]) -> list[dict[str, Any]]:
    """Each promise, whether it was kept, and the figures."""
    first, rest = tenths[0], tenths[1:]
    highest = max(tenth["memory_mib"] for tenth in rest)
    growth = highest / first["memory_mib"] - 1
    second_ms = tenths[1]["age_p10_ms"]
    last_ms = statistics.median(tenth["age_p10_ms"] for tenth in tenths[-LAST:])
    found = [
        (
            "memory",
            growth < MOST_GROWTH,
            f"{first['memory_mib']:.1f} MiB in the first tenth, {highest:.1f} MiB at the most after it: "
            f"{100 * growth:+.2f} % (allowed: below {MOST_GROWTH:.0%})",
        ),
        (
            "frame age",
            last_ms <= second_ms * OLDER + OLDER_MS,
            f"the youngest tenth of the frames: {second_ms:.2f} ms in the second tenth of the run, {last_ms:.2f} ms in "
            f"the last {LAST} (medians of all frames: {tenths[1]['age_p50_ms']:.2f} ms, "
            f"{tenths[-1]['age_p50_ms']:.2f} ms in the last one)",
        ),
    ]
    for name in ("threads", "descriptors"):
        most = max(tenth[name] for tenth in rest)
        kept = after[name] <= before[name] and most <= max(first[name], tenths[1][name])
        text = (
            f"{before[name]} before, {after[name]} after; {max(first[name], tenths[1][name])} in the first two tenths, "
            f"{most} at the most after the first"
        )
        found.append((name, kept, text))
    return [{"name": name, "passed": passed, "text": text} for name, passed, text in found]


def soak_text(result: dict[str, Any]) -> str:
    """The verdict for people."""
    drops = ", ".join(f"{count} {cause.replace('_', ' ')}" for cause, count in result["drops"].items() if count)
    lines = [
        f"{result['frames']} of {result['wanted']} frames in {result['seconds']:.1f} s, {result['captured']} captured "
        f"at {result['rate']:.0f} frames/s; dropped: {drops or 'none'}",
        f"{'tenth':>6}{'age p10, ms':>14}{'age p50, ms':>14}{'memory, MiB':>14}{'threads':>10}{'descriptors':>13}",
    ]
    for number, row in enumerate(result["tenths"], 1):
        lines.append(
            f"{number:>6}{row['age_p10_ms']:>14.2f}{row['age_p50_ms']:>14.2f}{row['memory_mib']:>14.2f}"
            f"{row['threads']:>10}{row['descriptors']:>13}"
        )
    lines += [f"{'ok  ' if check['passed'] else 'FAIL'} {check['name']}: {check['text']}" for check in result["checks"]]
    if not result["checks"]:
        lines.append("no verdict: the run ended before its last tenth")
    return "\n".join(lines)
