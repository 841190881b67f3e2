"""Charts as inline SVG: shares of a whole, a bar either side of zero, a line over doublings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from xml.etree.ElementTree import Element

from runtime.report.markup import tag

WIDTH, HEIGHT = 640, 210  # of the line's drawing, in CSS pixels
LEFT, RIGHT, TOP, BOTTOM = 50, 26, 28, 46  # what it leaves free at its sides for figures
APART = 40  # pixels from figure to figure, so that they do not touch
LEAST_SPAN = 1.0  # of the values: what is less should look level


def shares_bar(parts: Sequence[tuple[str, float]], label: str) -> Element:
    """One bar of stacked parts, (class of its colour, share of the whole from 0 to 1)."""
    ends = accumulate(share for _, share in parts)
    bars = (_rect(end - share, share, colour) for (colour, share), end in zip(parts, ends, strict=True) if share > 0)
    return tag("svg", *bars, role="img", aria_label=label, class_="shares")


def signed_bar(value: float, lowest: float, highest: float, colour: str) -> Element:
    """A bar from zero to `value` on an axis from `lowest` (at most 0) to `highest` (at least 0)."""
    span = (highest - lowest) or 1.0
    bar = _rect((min(value, 0.0) - lowest) / span, abs(value) / span, colour)
    return tag("svg", bar, aria_hidden="true", class_="signed")  # its figure stands beside it


def settling_line(points: Sequence[tuple[int, float]], unit: str, below: str) -> Element:
    """A line through (count ≥ 1, value), counts on a logarithmic axis; figures at the points as far as there is room.

    points: at least one, rising in count; all finite.
    """
    xs = _spread([math.log(count) for count, _ in points], LEFT, WIDTH - RIGHT, 0.0)
    ys = _spread([-value for _, value in points], TOP, HEIGHT - BOTTOM, LEAST_SPAN)
    drawn: list[Element] = [
        tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True)), class_="line")
    ]
    free = math.inf  # where figures may stand, going back from the last point, which always has them
    for x, y, (count, value) in reversed(list(zip(xs, ys, points, strict=True))):
        drawn.append(tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="3.5", class_="dot"))
        if x <= free:
            drawn += [_text(x, y - 10, f"{value:.2f}"), _text(x, HEIGHT - 24, str(count))]
            free = x - APART
    drawn += [_text(WIDTH / 2, HEIGHT - 5, below), tag("text", unit, x="0", y="12")]
    label = f"{unit} by {below}: " + ", ".join(f"{count}: {value:.2f}" for count, value in points)
    return tag("svg", *drawn, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label, class_="chart")


def _rect(start: float, share: float, colour: str) -> Element:
    """Placed in percent, so that the bar is as wide as the page lets it be."""
    return tag("rect", x=f"{100 * start:.3f}%", width=f"{100 * share:.3f}%", height="100%", class_=colour)


def _spread(values: Sequence[float], first: float, last: float, least: float) -> list[float]:
    """The values moved linearly onto [first, last]; around its middle where they span less than `least`."""
    middle, span = (min(values) + max(values)) / 2, max(max(values) - min(values), least) or 1.0
    return [(first + last) / 2 + (last - first) * (value - middle) / span for value in values]


def _text(x: float, y: float, content: str) -> Element:
    return tag("text", content, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor="middle")
