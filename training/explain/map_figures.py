"""One figure for each layer and kind of map: spatial mask, fusion map, offsets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from training.explain.canvas import (
    ACCENT,
    LENGTH_COLOURS,
    MASK_COLOURS,
    SHARE_COLOURS,
    SKY,
    Range,
    colour_bar,
    figure,
    shared_range,
    show_frame,
    show_map,
    spread_of,
    two_wide,
)
from training.explain.filters import direction
from training.explain.observe import Image, Map
from training.explain.summary import Summary

_ARROWS = 40  # along the longer side of the frame


@dataclasses.dataclass(frozen=True)
class Scales:
    """Ends of the colour scales that all layers of a model share; (0, 1) where no layer has such a map."""

    mask: Range
    fusion: Range
    reach: Range
    modulation: Range


def shared_scales(summaries: list[Summary]) -> Scales:
    """Scales that show the maps of all layers, so that equal colours mean equal values in every figure."""
    masks = [summary.mask for summary in summaries if summary.mask is not None]
    fusions = [summary.fusion for summary in summaries if summary.fusion is not None]
    reaches = [summary.shifts.reach for summary in summaries if summary.shifts is not None]
    modulations = [found.modulation for summary in summaries for found in summary.filters]
    return Scales(
        shared_range(masks) if masks else (0, 1),
        shared_range(fusions, around=0.5) if fusions else (0, 1),
        (0.0, shared_range(reaches)[1]) if reaches else (0, 1),
        (0.0, max(float(values.max()) for values in modulations)) if modulations else (0, 1),
    )


def draw_maps(folder: Path, frame: Image, summary: Summary, scales: Scales) -> list[Path]:
    """Write a PNG for each kind of map that the layer has. Returns their paths."""
    kinds = {"mask": summary.mask, "fusion": summary.fusion, "offsets": summary.shifts}
    titles = {"mask": "Spatial mask", "fusion": "Fusion map", "offsets": "Sampling offsets"}
    paths = []
    for kind in (kind for kind, maps in kinds.items() if maps is not None):
        paths.append(folder / f"{summary.slug}.{kind}.png")
        title = f"{titles[kind]}: {summary.place}"
        with figure(paths[-1], title, whereabouts(frame, summary), two_wide(frame)) as drawn:
            left, right = drawn.subplots(1, 2)
            show_frame(left, frame, "Frame")
            if kind == "offsets":
                _draw_directions(left, frame, summary)
            MAP_DRAWERS[kind](right, frame, summary, scales)
    return paths


def whereabouts(frame: Image, summary: Summary) -> str:
    """Frame size, resolution and patches, for the foot of a figure."""
    rows, columns = summary.grid
    patches = f"seen in {rows}x{columns} patches (rows x columns)" if rows * columns > 1 else "seen whole"
    pixels = f"one feature pixel is {summary.stride}x{summary.stride} frame pixels" if summary.stride > 1 else ""
    parts = [f"frame {frame.shape[0]}x{frame.shape[1]} (height x width)", pixels, patches]
    return " · ".join(
        part for part in [*parts, "axes in frame pixels", "colours as in all figures of this run"] if part
    )


def draw_mask(axes: Axes, frame: Image, summary: Summary, scales: Scales) -> None:
    """M: what the attention reads."""
    assert summary.mask is not None
    picture = show_map(axes, summary.mask, summary.stride, frame, MASK_COLOURS, scales.mask)
    axes.set_title(f"Mask M (0 hides a place): {spread_of(summary.mask)}")
    colour_bar(axes, picture, "M")


def draw_fusion(axes: Axes, frame: Image, summary: Summary, scales: Scales) -> None:
    """F: which branch a place takes."""
    assert summary.fusion is not None
    picture = show_map(axes, summary.fusion, summary.stride, frame, SHARE_COLOURS, scales.fusion)
    axes.set_title(f"Fusion F: {spread_of(summary.fusion)}")
    colour_bar(axes, picture, "share of the global branch")


def draw_reach(axes: Axes, frame: Image, summary: Summary, scales: Scales) -> None:
    """How far taps are moved (colour), and where to on the whole (arrows)."""
    assert summary.shifts is not None
    reach, drift = summary.shifts.reach, summary.shifts.drift
    picture = show_map(axes, reach, summary.stride, frame, LENGTH_COLOURS, scales.reach)
    y, x, (down, right) = _sparse(drift, summary.stride)
    typical = max(float(np.percentile(np.hypot(down, right), 95)), 1e-3)
    scale = typical / (1.5 * _spacing(frame))
    arrows = axes.quiver(x, y, right, down, color=SKY, angles="xy", scale_units="xy", scale=scale, width=0.0018)
    axes.quiverkey(arrows, 0.96, -0.13, typical, f"{typical:.3g} px", labelpos="W", color=ACCENT)
    axes.set_title(f"Offsets: {spread_of(reach, ' px')}")
    colour_bar(axes, picture, "RMS offset (frame pixels)")


def _draw_directions(axes: Axes, frame: Image, summary: Summary) -> None:
    """Principal axis of the sampling positions, as long as it is pronounced."""
    assert summary.shifts is not None
    show_frame(axes, frame, "", grey=True)
    y, x, vectors = _sparse(summary.shifts.stretch, summary.stride)
    turn, strength = np.radians(np.nan_to_num(direction(vectors))), np.hypot(*vectors)
    longest = max(float(np.percentile(strength, 99)), 1e-6)
    length = np.minimum(strength / longest, 1) * _spacing(frame)
    half_y, half_x = -np.sin(turn) * length / 2, np.cos(turn) * length / 2
    ends = np.stack(((x - half_x, y - half_y), (x + half_x, y + half_y))).transpose(2, 0, 1)  # (N, 2, 2)
    axes.add_collection(LineCollection(list(ends), colors=ACCENT, linewidths=1.4), autolim=False)
    axes.set_title(f"Principal axis of the samples; longest: elongation {longest:.2g} (0 round, 1 a line)")


def _spacing(frame: Image) -> float:
    return max(frame.shape[:2]) / _ARROWS


def _sparse(vectors: Map, stride: int) -> tuple[Map, Map, Map]:
    """Centres y and x, (N,) in frame pixels, of the feature pixels that get an arrow, and their vectors (2, N)."""
    height, width = vectors.shape[1:]
    step = max(1, round(max(height, width) / _ARROWS))
    rows, columns = (index.ravel() for index in np.mgrid[step // 2 : height : step, step // 2 : width : step])
    y, x = ((index + 0.5) * stride - 0.5 for index in (rows, columns))
    return y, x, vectors[:, rows, columns]


MAP_DRAWERS = {"mask": draw_mask, "fusion": draw_fusion, "offsets": draw_reach}
