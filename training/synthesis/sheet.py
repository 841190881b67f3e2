"""A contact sheet: what the virtual camera makes, blurred above sharp, with what was drawn for each pair."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from training.synthesis.scene import Scene
from training.synthesis.trajectory import corners, path_length

Image = NDArray[np.uint8]
_COLUMNS = 6
_TEXT, _LINE, _GAP = 230, 16, 6  # pixels: width and height of a line, and what lies between cells


def contact_sheet(scenes: Sequence[Scene], pairs: Sequence[tuple[Image, Image]]) -> Image:
    """One uint8 BGR picture of (blurred, sharp) pairs, (H, W, 3) each, under what `describe` says of their scenes."""
    cells = [_cell(describe(scene), *pair) for scene, pair in zip(scenes, pairs, strict=True)]
    blank = np.full_like(cells[0], 255)
    cells += [blank] * (-len(cells) % min(_COLUMNS, len(cells)))
    columns = min(_COLUMNS, len(cells))
    return np.vstack([np.hstack(cells[row : row + columns]) for row in range(0, len(cells), columns)])


def describe(scene: Scene) -> list[str]:
    """Lines of text about one scene without a batch dimension: motion, camera, response and coding."""
    height, width = scene.size.tolist()
    path = path_length(scene.motions[0].double().numpy(), corners(0, 0, height - 1, width - 1))
    readout, step = float(scene.readout), float(scene.quantiser[0, 0, 0])
    exponent, bend = scene.response.tolist()
    objects = int((scene.extents[:, 0] > 0).sum())
    coding = f"coded, step {step:.0f}" if step else "not coded"
    return [
        f"path {path / (1 + readout):.0f} px, 1/{1 / float(scene.shutter):.0f} s, {int(scene.instants)} instants",
        f"objects {objects}" + (", lamps" if scene.photo[3].any() else "") + (", rolling" if readout else ""),
        f"noise {float(scene.noise[0]) ** 0.5:.3f}" + (", bayer" if scene.bayer else "") + f", {coding}",
        f"{'display' if scene.in_display_space else 'light'} averaged, n {exponent:.2f} k {bend:.1f}",
    ]


def _cell(lines: list[str], blurred: Image, sharp: Image) -> Image:
    width = blurred.shape[1]
    margin = max(_TEXT - width, 0) + _GAP
    label = np.full((len(lines) * _LINE + 4, width + margin, 3), 255, np.uint8)
    for number, line in enumerate(lines):
        place = (2, (number + 1) * _LINE - 3)
        cv2.putText(label, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    pair = np.vstack((blurred, np.full((2, width, 3), 255, np.uint8), sharp))
    return np.vstack((label, np.pad(pair, ((0, _GAP), (0, margin), (0, 0)), constant_values=255)))
