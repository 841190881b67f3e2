"""The directions of a model's filters against the blur's, drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from training.explain.canvas import ACCENT, OTHER, QUIET, figure
from training.explain.psf import ANGLES, CHANCE, LENGTHS, Rows, turned, turning_errors


def draw_psf(path: Path, layers: dict[str, Rows]) -> None:
    """One row of panels for each layer: direction against direction, the same less each picture's mean, and errors."""
    note = (
        "directions in degrees modulo 180: 0 horizontal, 90 vertical, counter-clockwise; each point is one blurred "
        "picture; on the line, filters lie along the blur"
    )
    size = (1.3 + 3.8 * len(layers), 13.0)
    with figure(path, "Do the filters turn with the blur?", note, size) as drawn:
        panels = drawn.subplots(len(layers), 3, squeeze=False)
        for row, (layer, rows) in zip(panels, layers.items(), strict=True):
            _draw_angles(row[0], rows, [measured.predicted for measured in rows], ACCENT)
            row[0].set_title(f"{layer}\nFilters as they are")
            _draw_angles(row[1], rows, turned(rows), OTHER)
            row[1].set_title("\nLess the picture's mean")
            _draw_errors(row[2], rows)


def _draw_angles(axes: Axes, rows: Rows, predicted: list[float], colour: str) -> None:
    axes.plot((0, 180), (0, 180), color=QUIET, linewidth=0.8)
    for length, marker in zip(LENGTHS, ("o", "^"), strict=True):
        chosen = [index for index, row in enumerate(rows) if row.length == length]
        axes.scatter(
            [rows[index].angle for index in chosen],
            [predicted[index] for index in chosen],
            s=16,
            marker=marker,
            color=colour,
            alpha=0.6,
            linewidths=0,
            label=f"blur {length} px",
        )
    axes.set(xlim=(-7, 180), ylim=(-7, 187), xlabel="direction of the blur", ylabel="direction of the samples")
    axes.set_xticks(range(0, 181, 45))
    axes.set_yticks(range(0, 181, 45))
    _legend(axes)


def _draw_errors(axes: Axes, rows: Rows) -> None:
    for errors, colour, name in (
        ([row.error for row in rows], ACCENT, "as they are"),
        (turning_errors(rows), OTHER, "less the mean"),
    ):
        means = [np.mean([error for error, row in zip(errors, rows, strict=True) if row.angle == at]) for at in ANGLES]
        axes.plot(
            ANGLES, means, "o-", color=colour, linewidth=1.2, markersize=4, label=f"{name} {np.mean(errors):.1f}°"
        )
    axes.axhline(CHANCE, color=QUIET, linewidth=0.8, linestyle="--")
    axes.annotate("at random", (170, CHANCE + 1.5), color=QUIET, ha="right", fontsize=8.5)
    axes.set(xlim=(-7, 180), ylim=(0, 92), xlabel="direction of the blur", ylabel="mean error (degrees)")
    axes.set_xticks(range(0, 181, 45))
    _legend(axes)
    axes.set_title("\nMean error")


def _legend(axes: Axes) -> None:
    """Above the panel, at its right: no corner of it is sure to be free of points."""
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.02, 0.985),
        ncols=2,
        frameon=False,
        fontsize=8,
        columnspacing=1,
        handlelength=1,
    )
