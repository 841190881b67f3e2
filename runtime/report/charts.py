"""Charts of a profile as inline SVG: latency over time, how it is spread, and how repeats differ."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from runtime.measure.distribution import values_needed
from runtime.measure.profiles.stamps import WARM_UP, Stamps
from runtime.measure.series import nearest_rank
from runtime.report.axes import BOTTOM, RIGHT, TOP, Plot, box, boxes, line, words
from runtime.report.markup import tag

WIDE, HALF, HIGH = 1088, 536, 300  # pixels of a drawing
MOST_DOTS = 3000  # of one series; beyond them a column shows its lowest, middle and highest
COLUMNS = 700
BINS = 48
TAIL = 3.0  # times the 95th percentile: what lies beyond is counted beside the histogram, so that the rest has room
NOTABLE = (50, 90, 95, 99)  # percentiles to draw where there are values enough for them
CLOSE = 75  # pixels between figures on the axis of a half drawing
Values = NDArray[np.float64]


def latency_over_time(stamps: Stamps, budget_ms: float | None) -> Element:
    """Frame age and inference latency of every frame, the warm-up shaded."""
    stages, seconds = stamps.stages_ms(), seconds_of(stamps)
    age, inference = stages["age"], stages["inference"]
    top = max(float(age.max()), budget_ms or 0.0) * 1.06 or 1.0
    plot = Plot(WIDE, HIGH, (0.0, max(float(seconds.max()), 1e-3)), (0.0, top))
    drawn = [*warming(plot, stamps, seconds), *plot.axes("seconds since the first frame came out", "milliseconds")]
    drawn += [_dots(plot, seconds, inference, "inference"), _dots(plot, seconds, age, "age")]
    if budget_ms is not None:
        y = float(plot.up(budget_ms))
        drawn += [
            line(58, y, WIDE - RIGHT, y, "limit"),
            words(WIDE - RIGHT, y - 5, f"budget {budget_ms:.1f} ms", "end", "limit on"),
        ]
    return plot.svg("pipeline latency and inference latency of each frame over time", *drawn)


def histogram(age: Values) -> Element:
    """How many frames had which age."""
    shown, limit = _shown(age)
    counts, edges = np.histogram(shown, BINS, (0.0, limit))
    plot = Plot(HALF, HIGH, (0.0, limit), (0.0, float(counts.max()) * 1.12))
    left, right, up = plot.across(edges[:-1]), plot.across(edges[1:]), plot.up(counts.astype(np.float64))
    floor = HIGH - BOTTOM
    bars = [
        (float(x) + 0.5, float(y), float(end - x) - 1, floor - float(y))
        for x, end, y, count in zip(left, right, up, counts, strict=True)
        if count
    ]
    drawn = [*plot.axes("pipeline latency, milliseconds", "frames", CLOSE), boxes(bars, "area plain")]
    return plot.svg(
        "histogram of the pipeline latency", *drawn, *_percentile_lines(plot, age), *_beyond(plot, age, limit)
    )


def cumulative(age: Values) -> Element:
    """Which share of the frames was at most so old."""
    shown, limit = _shown(age)
    ordered = np.sort(shown)
    share = np.arange(1, len(ordered) + 1) / len(age) * 100
    keep = np.unique(np.linspace(0, len(ordered) - 1, 600).astype(np.int64))
    plot = Plot(HALF, HIGH, (0.0, limit), (0.0, 100.0))
    path = _path(plot.across(ordered[keep]), plot.up(share[keep]))
    drawn = [*plot.axes("pipeline latency, milliseconds", "% of frames at most so old", CLOSE)]
    drawn += [*_percentile_lines(plot, age), tag("path", d=path, class_="curve plain"), *_beyond(plot, age, limit)]
    return plot.svg("cumulative distribution of the pipeline latency", *drawn)


def repeats_strip(values: Sequence[float], unit: str) -> Element:
    """One dot for each repeat with its figure, and a line at their median."""
    low, high = min(values), max(values)
    room = (high - low) * 0.35 or abs(high) * 0.05 or 1.0
    plot = Plot(HALF, 190, (0.4, len(values) + 0.6), (max(0.0, low - room), high + room))
    middle = float(plot.up(float(np.median(values))))
    drawn = [
        *plot.axes("repeat", unit, apart=max(24, HALF // (2 * len(values)))),
        line(58, middle, HALF - RIGHT, middle, "mark"),
    ]
    xs, ys = plot.across(np.arange(1, len(values) + 1, dtype=np.float64)), plot.up(np.array(values))
    drawn.append(tag("path", d=_dot_path(xs, ys), class_="dots plain", style="stroke-width: 8"))
    if len(values) <= 12:
        drawn += [
            words(float(x), float(y) - 9, f"{value:.2f}", "middle", "on")
            for x, y, value in zip(xs, ys, values, strict=True)
        ]
    return plot.svg(f"{unit} of each repeat", *drawn)


def notable(count: int) -> list[int]:
    """Percentiles that so many values can tell."""
    return [percent for percent in NOTABLE if count >= values_needed(Fraction(percent))]


def seconds_of(stamps: Stamps) -> Values:
    """Since the first frame came out."""
    handed = stamps.at_ns("handed")
    return np.asarray((handed - handed[0]) / 1e9, np.float64)


def warming(plot: Plot, stamps: Stamps, seconds: Values) -> list[Element]:
    """A shade behind the warm-up."""
    warm = seconds[stamps.repeat == WARM_UP]
    if not len(warm) or len(warm) == len(seconds):
        return []
    x, end = float(plot.across(0.0)), float(plot.across(float(warm.max())))
    shade = box(x, TOP, end - x, plot.height - TOP - BOTTOM, "warming")
    return [shade, words(x + 4, TOP + 13, "warm-up", "start", "faint")] if end - x > 60 else [shade]


def _dots(plot: Plot, seconds: Values, values: Values, class_: str) -> Element:
    if len(values) > MOST_DOTS:
        seconds, values = _thinned(seconds, values)
    path = _dot_path(plot.across(seconds), plot.up(values))
    return tag("path", d=path, class_=f"dots {class_}")


def _thinned(seconds: Values, values: Values) -> tuple[Values, Values]:
    """The lowest, the middle and the highest of each column: no spike is lost."""
    edges = np.linspace(0, len(values), COLUMNS + 1).astype(np.int64)
    kept = []
    for start, end in pairwise(edges.tolist()):
        order = start + np.argsort(values[start:end], kind="stable")
        kept += [order[0], order[len(order) // 2], order[-1]]
    rows = np.unique(kept)
    return seconds[rows], values[rows]


def _shown(age: Values) -> tuple[Values, float]:
    ordered = np.sort(age)
    limit = min(float(ordered[-1]), TAIL * nearest_rank(ordered, 95)) * 1.02 or 1.0
    return age[age <= limit], limit


def _percentile_lines(plot: Plot, age: Values) -> list[Element]:
    ordered, drawn, free = np.sort(age), [], -1e9
    for percent in notable(len(age)):
        x = float(plot.across(nearest_rank(ordered, percent)))
        drawn.append(line(x, TOP, x, plot.height - BOTTOM, "mark"))
        if x - free > 34:  # figures must not lie on each other
            drawn.append(words(x + 3, TOP + 11, f"p{percent}", "start", "faint on"))
            free = x
    return drawn


def _beyond(plot: Plot, age: Values, limit: float) -> list[Element]:
    count = int(np.sum(age > limit))
    if not count:
        return []
    text = f"{count} frame{'s' if count > 1 else ''} beyond, up to {float(age.max()):.1f} ms →"
    return [words(plot.width - RIGHT, TOP + 30, text, "end", "on")]


def _path(xs: Values, ys: Values) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))


def _dot_path(xs: Values, ys: Values) -> str:
    """A dot is a line of no length with round ends."""
    return "".join(f"M{x:.1f},{y:.1f}h0" for x, y in zip(xs, ys, strict=True))
