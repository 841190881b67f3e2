"""The worst and best frames in one picture: where in the frame, then input, outputs and sharp at full resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from training.evaluation.metrics import capped_psnr
from training.evaluation.rows import INPUT, Measured

Image = NDArray[np.uint8]
Box = tuple[slice, slice]  # rows, columns

_CROP = (288, 384)  # (height, width)
_EACH = 3  # worst and best frames
_BAR, _GAP = 30, 6  # heights of a line of text and of the space around pictures, in pixels
_RED, _INK, _PAPER = (40, 40, 230), (0, 0, 0), 255


class _Strip(NamedTuple):
    rank: tuple[float, int]  # sorts first: gain in dB and number of the frame, both negative among the best
    title: str
    row: Image


class Gallery:
    """Keeps one strip for each of the worst and best frames so far, by the PSNR that the first model gains."""

    def __init__(self, models: Sequence[str]) -> None:
        self._shown = [INPUT, *models]
        self._worst: list[_Strip] = []  # worst first
        self._best: list[_Strip] = []  # best first
        self.count = 0  # frames added

    def add(self, measured: Measured) -> None:
        """One more frame. Its pictures: the input's, the models' and "sharp"."""
        psnr = {row.method: row.values["psnr"] for row in measured.rows}
        before, after = (psnr[name] for name in self._shown[:2])
        gain = after - before
        title = f"{measured.rows[0].frame}, {before:.2f} -> {after:.2f} dB ({gain:+.2f})"
        for strips, sign in ((self._worst, 1), (self._best, -1)):
            # Frames that gain the same need an order, too: else both ends would show the same ones.
            rank = (sign * gain, sign * self.count)
            if len(strips) < _EACH or rank < strips[-1].rank:
                strips.append(_Strip(rank, title, self._row(measured.pictures, worst=sign == 1)))
                strips.sort(key=lambda strip: strip.rank)
                del strips[_EACH:]
        self.count += 1  # last: a frame that is counted is in both lists, or was beaten

    def picture(self) -> Image:
        """(H, W, 3) uint8 BGR, of at least one frame. A frame is among the worst or among the best, not both."""
        half = self.count // 2
        parts = []
        for rank, strips in (("worst", self._worst[:half]), ("best", self._best[: self.count - half])):
            for number, strip in enumerate(strips, 1):
                parts += [_text(f"{rank} {number}: {strip.title}", strip.row.shape[1]), strip.row]
        return np.vstack(parts)

    def _row(self, pictures: Mapping[str, Image], worst: bool) -> Image:
        sharp = pictures["sharp"]
        before, after = (_squared_error(pictures[name], sharp) for name in self._shown[:2])
        # The worst frames are about the error that is left, the best ones about the error that went away.
        box = _largest(after if worst else before - after)
        crops = {
            f"{name}, {capped_psnr(pictures[name][box], sharp[box]):.2f} dB here": pictures[name]
            for name in self._shown
        }
        cells = [_cell(picture[box], label) for label, picture in {**crops, "sharp": sharp}.items()]
        return np.hstack([_cell(_located(sharp, box), "where"), *cells])


def _squared_error(image: Image, sharp: Image) -> NDArray[np.float32]:
    """(H, W) float32."""
    return np.sum(np.square(cv2.subtract(image, sharp, dtype=cv2.CV_32F)), axis=2)


def _largest(values: NDArray[np.float32]) -> Box:
    """The crop with the largest sum of (H, W) values; the whole of a frame that is smaller."""
    height, width = (min(pair) for pair in zip(_CROP, values.shape, strict=True))
    sums = cv2.integral(values, sdepth=cv2.CV_64F)
    windows = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(np.argmax(windows), windows.shape)
    return slice(int(top), int(top) + height), slice(int(left), int(left) + width)


def _located(image: Image, box: Box) -> Image:
    """The whole frame made to fit a cell, with the box drawn in."""
    scale = min(cell / length for cell, length in zip(_CROP, image.shape, strict=False))
    rows, columns = box
    # In the frame's own pixels, so wide that the line is two pixels when it is small.
    marked = cv2.rectangle(
        image.copy(), (columns.start, rows.start), (columns.stop - 1, rows.stop - 1), _RED, round(2 / scale) or 1
    )
    size = [max(1, round(length * scale)) for length in image.shape[:2]]
    return cast(Image, cv2.resize(marked, size[::-1], interpolation=cv2.INTER_AREA))


def _cell(image: Image, label: str) -> Image:
    """An image of at most the crop's size, in a cell with its label above."""
    cell = np.full((_CROP[0] + _GAP, _CROP[1] + _GAP, 3), _PAPER, np.uint8)
    cell[: image.shape[0], : image.shape[1]] = image
    return np.vstack([_text(label, cell.shape[1]), cell])


def _text(text: str, width: int) -> Image:
    """A line of text; one that is too long is set smaller."""
    line = np.full((_BAR, width, 3), _PAPER, np.uint8)
    needed, _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0]
    scale = 0.5 * min(1, (width - 2 * _GAP) / max(needed, 1))
    cv2.putText(line, text, (_GAP, _BAR - 9), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
    return line
