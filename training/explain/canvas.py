"""The look of all figures: sizes, type, colour scales that are safe for colour-blind readers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from training.explain.observe import Image, Map
from training.whole_files import replacing

Range = tuple[float, float]

# Fusion has a neutral middle: both branches alike.
MASK_COLOURS, SHARE_COLOURS, LENGTH_COLOURS = "cividis", "PuOr", "magma"
INK, QUIET = "#222222", "#666666"
ACCENT, OTHER, SKY = "#0072b2", "#d55e00", "#56b4e9"  # of the palette of Okabe and Ito
_DPI = 110
_STYLE: Any = {
    "font.size": 9.5,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}


@contextlib.contextmanager
def figure(path: Path, title: str, note: str, size: tuple[float, float]) -> Iterator[Figure]:
    """A figure of (height, width) inches, written to `path` at the end. Raises Failure (ENVIRONMENT)."""
    with matplotlib.rc_context(_STYLE):
        drawn = Figure(figsize=(size[1], size[0]), layout="constrained", dpi=_DPI)
        drawn.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        drawn.supxlabel(note, x=0.01, ha="left", fontsize=8.5, color=QUIET)
        yield drawn
        with replacing(path) as partial:
            drawn.savefig(partial, format="png")


def two_wide(frame: Image) -> tuple[float, float]:
    """(height, width) in inches of a figure with two pictures of the frame's shape side by side."""
    return 1.3 + 6.0 * float(np.clip(frame.shape[0] / frame.shape[1], 0.25, 2.0)), 14.0


def show_frame(axes: Axes, frame: Image, title: str, grey: bool = False) -> None:
    """Draw (H, W, 3) uint8 BGR; `grey` makes a pale background for what is drawn on it."""
    if grey:
        axes.imshow(255 - (255 - frame.mean(axis=2)) * 0.55, cmap="gray", vmin=0, vmax=255)
    else:
        axes.imshow(frame[:, :, ::-1])
    axes.set_title(title)


def show_map(axes: Axes, values: Map, stride: int, frame: Image, colours: str, limits: Range) -> AxesImage:
    """Draw a map (h, w) of feature pixels on the frame's own axes; `limits` are the ends of the colour scale."""
    height, width = values.shape
    picture = axes.imshow(
        values,
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        interpolation="nearest",
        extent=(-0.5, width * stride - 0.5, height * stride - 0.5, -0.5),
    )
    axes.set(xlim=(-0.5, frame.shape[1] - 0.5), ylim=(frame.shape[0] - 0.5, -0.5))
    return picture


def colour_bar(axes: Axes, picture: AxesImage, label: str) -> None:
    """A colour bar at the right of its picture, with arrows where the scale leaves out a hundredth of the values."""
    assert isinstance(axes.figure, Figure)
    extend = "max" if picture.get_clim()[0] == 0 else "both"
    axes.figure.colorbar(picture, cax=axes.inset_axes((1.015, 0, 0.025, 1)), extend=extend, label=label)


def shared_range(maps: list[Map], around: float | None = None) -> Range:
    """One colour scale for several maps: all but a hundredth at either end; symmetric about `around` where given."""
    low, high = np.percentile(np.concatenate([values.ravel() for values in maps]), (1, 99))
    if around is not None:
        reach = max(abs(low - around), abs(high - around), 1e-3)
        return around - reach, around + reach
    return float(low), float(max(high, low + 1e-3))


def spread_of(values: NDArray[np.floating], unit: str = "") -> str:
    """A map in words."""
    low, high = np.percentile(values, (1, 99))
    return f"mean {values.mean():.3g}{unit}, 98 % within {low:.3g} to {high:.3g}{unit}"
