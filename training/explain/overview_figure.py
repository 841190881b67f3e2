"""The overview: the frame, what became of it, and the maps of the deepest modules on one page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from training.explain.canvas import LENGTH_COLOURS, QUIET, colour_bar, figure, show_frame, two_wide
from training.explain.map_figures import MAP_DRAWERS, Scales
from training.explain.observe import Image
from training.explain.summary import Summary

_DEEPEST = 2


def draw_overview(
    path: Path, frame: Image, sharp: Image, summaries: list[Summary], scales: Scales, missing: dict[str, str]
) -> None:
    """Write the page; `missing` says why a kind of map is not there."""
    deepest = deepest_modules(summaries)
    height, width = two_wide(frame)
    rows = 1 + len(deepest)
    note = f"frame {frame.shape[0]}x{frame.shape[1]} (height x width) · axes in frame pixels"
    size = ((height - 0.4) * 0.85 * rows + 0.8, width * 1.3)
    with figure(path, "What the network looked at", note, size) as drawn:
        panels = drawn.subplots(rows, 3)
        show_frame(panels[0, 0], frame, "Frame")
        show_frame(panels[0, 1], sharp, "Output")
        _draw_difference(panels[0, 2], frame, sharp)
        for row, summary in zip(panels[1:], deepest, strict=True):
            _draw_module(row, frame, summary, scales, missing)


def deepest_modules(summaries: list[Summary]) -> list[Summary]:
    """The last content-aware modules at the coarsest scale that sees the whole frame, in the network's order."""
    modules = [summary for summary in summaries if summary.content_aware]
    ranks = [(-summary.grid[0] * summary.grid[1], summary.stride) for summary in modules]
    return [summary for summary, rank in zip(modules, ranks, strict=True) if rank == max(ranks)][-_DEEPEST:]


def _draw_difference(axes: Axes, frame: Image, sharp: Image) -> None:
    difference = np.abs(sharp.astype(np.float32) - frame).mean(axis=2)
    top = max(float(np.percentile(difference, 99.5)), 1.0)
    picture = axes.imshow(difference, cmap=LENGTH_COLOURS, vmin=0, vmax=top)
    axes.set_title(f"Difference: mean {difference.mean():.2g} grey levels")
    colour_bar(axes, picture, "|output - frame| (grey levels)")


def _draw_module(row: np.ndarray, frame: Image, summary: Summary, scales: Scales, missing: dict[str, str]) -> None:
    for axes, (kind, draw) in zip(row, MAP_DRAWERS.items(), strict=True):
        if kind in missing:
            axes.set_axis_off()
            axes.text(0.5, 0.5, f"no {kind}:\n{missing[kind]}", ha="center", va="center", color=QUIET)
        else:
            draw(axes, frame, summary, scales)
        axes.set_title(f"{summary.place}\n{axes.get_title(loc='left')}")
