"""Axes: where values lie in a drawing, with round figures and units beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from runtime.report.markup import tag

LEFT, RIGHT, TOP, BOTTOM = 58, 16, 16, 44  # what a drawing leaves free for figures, in its own pixels


@dataclass(frozen=True)
class Plot:
    """A drawing of `width` x `height` whose axes span `x` and `y`, (low, high)."""

    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, values: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return _place(values, self.x, LEFT, self.width - RIGHT)

    def up(self, values: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return _place(values, self.y, self.height - BOTTOM, TOP)

    def axes(self, x_label: str, y_label: str, apart: int = 110) -> list[Element]:
        """Lines and figures; apart: pixels from one figure on the x axis to the next, about."""
        drawn = []
        for value, text in ticks(*self.y, round((self.height - TOP - BOTTOM) / 42)):
            y = float(self.up(value))
            drawn.append(line(LEFT, y, self.width - RIGHT, y, "grid"))
            drawn.append(words(LEFT - 8, y + 4.5, text, "end", "faint"))
        middle = (TOP + self.height - BOTTOM) / 2
        turned = words(14, middle, y_label, "middle", "faint")
        turned.set("transform", f"rotate(-90 14 {middle:.1f})")
        return [*drawn, *self.x_axis(x_label, apart), turned]

    def x_axis(self, label: str, apart: int = 110) -> list[Element]:
        """The lower one alone."""
        drawn = []
        for value, text in ticks(*self.x, round((self.width - LEFT - RIGHT) / apart)):
            x = float(self.across(value))
            drawn.append(line(x, self.height - BOTTOM, x, self.height - BOTTOM + 5, "axis"))
            drawn.append(words(x, self.height - BOTTOM + 19, text, "middle", "faint"))
        floor = self.height - BOTTOM
        drawn.append(line(LEFT, floor, self.width - RIGHT, floor, "axis"))
        return [*drawn, words((LEFT + self.width - RIGHT) / 2, self.height - 6, label, "middle", "faint")]

    def svg(self, label: str, *drawn: Element) -> Element:
        return tag(
            "svg", *drawn, viewBox=f"0 0 {self.width:g} {self.height:g}", role="img", aria_label=label, class_="chart"
        )


def ticks(low: float, high: float, about: int) -> list[tuple[float, str]]:
    """Round values from low to high, about so many, with their figures."""
    if not high > low:
        return [(low, f"{low:g}")]
    rough = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((power * factor for factor in (1, 2, 5) if power * factor >= rough * 0.999), power * 10)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [(number * step, f"{number * step:.{decimals}f}") for number in range(first, last + 1)]


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Element:
    return tag("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_=class_)


def words(x: float, y: float, text: str, anchor: str = "start", class_: str = "") -> Element:
    return tag("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_=class_)


def box(x: float, y: float, width: float, height: float, class_: str, title: str = "") -> Element:
    inside = [tag("title", title)] if title else []
    shape = {"x": f"{x:.2f}", "y": f"{y:.2f}", "width": f"{max(width, 0):.2f}", "height": f"{max(height, 0):.2f}"}
    return tag("rect", *inside, **shape, class_=class_)


def boxes(corners: Sequence[tuple[float, float, float, float]], class_: str) -> Element:
    """Many rectangles (x, y, width, height) as one path."""
    path = "".join(f"M{x:.1f},{y:.1f}h{width:.2f}v{height:.2f}h-{width:.2f}z" for x, y, width, height in corners)
    return tag("path", d=path, class_=class_)


def _place(
    values: NDArray[np.float64] | float, span: tuple[float, float], first: float, last: float
) -> NDArray[np.float64]:
    low, high = span
    return first + (np.asarray(values, np.float64) - low) / ((high - low) or 1.0) * (last - first)
