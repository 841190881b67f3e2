"""What the frame age is made of, as inline SVG: stages one after the other, at its percentiles and over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from runtime.measure.profiles.stamps import Stamps
from runtime.report.axes import BOTTOM, LEFT, TOP, Plot, box, boxes, words
from runtime.report.charts import HIGH, WIDE, Values, notable, seconds_of, warming

SLICES = 110  # of time
ROW = 34  # pixels from bar to bar


@dataclass(frozen=True)
class Parts:
    """What the frame age is made of: stages that follow one another, and their milliseconds for each frame."""

    names: tuple[str, ...]
    ms: Mapping[str, Values]


def parts_of(stamps: Stamps) -> Parts:
    """The inference in its three parts where a GPU tells them; what is left of it stays `inference`."""
    stages = {name: np.nan_to_num(values) for name, values in stamps.stages_ms().items()}
    on_gpu = [name for name in ("upload", "compute", "download") if stages[name].any()]
    rest = stages["inference"] - sum((stages[name] for name in on_gpu), np.zeros(len(stamps)))
    names = ["capture", "queue", *on_gpu, "inference", "handover"]
    ms = {**stages, "inference": np.maximum(rest, 0)}
    return Parts(tuple(name for name in names if ms[name].any()), ms)


def stack_by_percentile(stamps: Stamps) -> Element:
    """What the frames around each percentile of the frame age spent their time with, as bars."""
    parts, age = parts_of(stamps), stamps.stages_ms()["age"]
    order = np.argsort(age, kind="stable")
    rows = [(f"p{percent}", order[_around(len(order), percent)]) for percent in notable(len(order))]
    rows.append(("max", order[-1:]))
    plot = Plot(WIDE, ROW * len(rows) + TOP + BOTTOM, (0.0, float(age.max()) * 1.08 or 1.0), (0.0, 1.0))
    drawn = plot.x_axis("milliseconds")
    for place, (name, frames) in enumerate(rows):
        drawn += _stacked(plot, parts, frames, TOP + ROW * place, name)
    return plot.svg("stages of the frames around each percentile of the pipeline latency", *drawn)


def stack_over_time(stamps: Stamps) -> Element:
    """The mean of each stage in slices of time, one above the other."""
    parts, seconds = parts_of(stamps), seconds_of(stamps)
    end = max(float(seconds.max()), 1e-3)
    slots = np.minimum((seconds / end * SLICES).astype(np.int64), SLICES - 1)
    count = np.bincount(slots, minlength=SLICES)
    means = {name: _mean_of(slots, parts.ms[name], count) for name in parts.names}
    height = np.sum(list(means.values()), axis=0)
    plot = Plot(WIDE, HIGH, (0.0, end), (0.0, float(height.max()) * 1.08 or 1.0))
    drawn = [*warming(plot, stamps, seconds), *plot.axes("seconds since the first frame came out", "milliseconds")]
    base, edges = np.zeros(SLICES), plot.across(np.linspace(0, end, SLICES + 1))
    for name in parts.names:
        above = base + means[name]
        low, up = plot.up(base), plot.up(above)
        width = float(edges[1] - edges[0]) - 0.4
        bars = [(float(edges[k]), float(up[k]), width, float(low[k] - up[k])) for k in np.flatnonzero(count)]
        drawn.append(boxes(bars, f"area {name}"))
        base = above
    return plot.svg("mean of each stage over time", *drawn)


def _stacked(plot: Plot, parts: Parts, frames: NDArray[np.int64], y: float, name: str) -> list[Element]:
    drawn = [words(LEFT - 8, y + 21, name, "end")]
    start = 0.0
    for part in parts.names:
        ms = float(parts.ms[part][frames].mean())
        x, end = float(plot.across(start)), float(plot.across(start + ms))
        drawn.append(box(x, y + 5, end - x, 24, f"area {part}", f"{part} {ms:.3f} ms"))
        start += ms
    drawn.append(words(float(plot.across(start)) + 6, y + 22, f"{start:.2f}"))
    return drawn


def _around(count: int, percent: int) -> slice:
    """Places of the frames within half a percent of a percentile's rank, at least one."""
    rank = max(0, -(-percent * count // 100) - 1)
    near = count // 200
    return slice(max(0, rank - near), min(count, rank + near + 1))


def _mean_of(slots: NDArray[np.int64], values: Values, count: NDArray[np.int64]) -> Values:
    sums = np.bincount(slots, weights=values, minlength=SLICES)
    return np.divide(sums, count, out=np.zeros(SLICES), where=count > 0)
