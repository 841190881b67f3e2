"""The effective filters of a layer at a few pixels, drawn over the enlarged neighbourhoods they read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

from training.explain.canvas import INK, MASK_COLOURS, Range, figure, show_frame
from training.explain.filters import EffectiveFilter, Pixel
from training.explain.map_figures import whereabouts
from training.explain.observe import Image
from training.explain.summary import Summary

_COLUMNS = 3


def draw_filters(folder: Path, frame: Image, summary: Summary, pixels: list[Pixel], limits: Range) -> Path:
    """One panel a pixel; `limits` are the ends of the colour scale of the modulation. Returns the PNG's path."""
    path = folder / f"{summary.slug}.filters.png"
    columns = min(_COLUMNS, len(pixels))
    rows = -(-len(pixels) // columns)
    note = (
        r"crosses: the plain grid $\rho$ · discs: where the taps sample, $\rho + \Delta$ · area: share of the weight, "
        rf"modulation x $\Vert W \Vert$"
        f"\n{whereabouts(frame, summary)}"
    )
    size = (1.2 + 4.2 * rows, 2.0 + 4.2 * columns)
    with figure(path, f"Effective filters: {summary.place}", note, size) as drawn:
        panels = drawn.subplots(rows, columns, squeeze=False).ravel()
        half = _half_width(summary)
        for panel, pixel, found in zip(panels, pixels, summary.filters, strict=False):
            discs = _draw_filter(panel, frame, found, half, limits)
            panel.set_title(_title(pixel, summary))
        for panel in panels[len(pixels) :]:
            panel.remove()
        label = "modulation of the tap (1: as in a plain convolution)"
        drawn.colorbar(discs, ax=list(panels[: len(pixels)]), label=label, shrink=0.6, aspect=30)
    return path


def _draw_filter(axes: Axes, frame: Image, found: EffectiveFilter, half: float, limits: Range) -> PathCollection:
    show_frame(axes, frame, "", grey=True)
    grid, taps = found.centre + found.base, found.centre + found.positions
    for start, end in zip(grid, taps, strict=True):
        axes.plot((start[1], end[1]), (start[0], end[0]), color=INK, linewidth=0.8)
    axes.scatter(grid[:, 1], grid[:, 0], marker="+", s=40, color=INK, linewidths=0.8)
    discs = axes.scatter(
        taps[:, 1],
        taps[:, 0],
        s=1400 * found.weights,
        c=found.modulation,
        cmap=MASK_COLOURS,
        vmin=limits[0],
        vmax=limits[1],
        edgecolors=INK,
        linewidths=0.8,
        zorder=3,
    )
    y, x = found.centre
    axes.set(xlim=(x - half, x + half), ylim=(y + half, y - half))
    return discs


def _half_width(summary: Summary) -> float:
    """Half the side of every panel, in frame pixels: the farthest sample, and one feature pixel around it."""
    farthest = max(float(np.abs((found.base, found.positions)).max()) for found in summary.filters)
    return farthest + summary.stride


def _title(pixel: Pixel, summary: Summary) -> str:
    where = f"row {pixel[0]}, column {pixel[1]}"
    if summary.fusion is None:
        return where
    local = 1 - summary.fusion[pixel[0] // summary.stride, pixel[1] // summary.stride]
    return f"{where} (share of the local branch: {local:.0%})"
