"""How sharp a frame is, from its own pixels, and how noisy: what the gate decides by.

An edge that is sharp rises within a step or two, a blurred one over as many steps as the blur is long. So the squared
difference of neighbours is compared with the squared difference over nine steps: their ratio falls with the length of
the blur, whatever the contrast. It is taken across and down, on blocks in a few bands of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.frame import Image

SPAN = 9  # steps, odd; blur beyond that cannot be told from a shading, and is blur all the same
ROWS = 16  # of a band; bands lie evenly over the frame
BANDS, BAND_COLUMNS = (4, 8), 10240  # least and most bands, and the columns of all of them together, for what it costs
BLOCK = 32  # columns: a block is ROWS x BLOCK
PATCH = 8  # columns of the patches on which noise is estimated
CONTRAST = 20.0  # levels over SPAN: blocks below it say nothing of blur
LEAST_BLOCKS = 4
LOW_SHARE = 0.1  # of the blocks may be blurrier than what is reported: a face before a blurred wall is no blurred frame
FLAT_SHARE = 0.02  # of the patches are taken as flat: what varies there is noise
UNCLIPPED = (16, 235)  # levels between which noise is not cut off
Values = NDArray[np.floating]


@dataclass(frozen=True)
class Sharpness:
    """What was seen in one frame."""

    ratio: float  # near 1 for one clean edge, below 0.2 for long blur, above 1 for fine texture; 0 where unknown
    noise: float  # standard deviation in grey levels


def sharpness(image: Image) -> Sharpness:
    """Of a (H, W, 3) uint8 BGR frame, by its green channel, which most of luma is.

    The ratio is 0 where there is too little contrast in one of the two directions: nothing is known of blur along it.
    """
    height, width = image.shape[:2]
    columns = (width - SPAN) // BLOCK * BLOCK
    if height < ROWS + SPAN or columns <= 0:
        return Sharpness(0.0, 0.0)
    bands = _bands(image, height)
    middle, before = bands[:, SPAN // 2 :][:, :ROWS], SPAN // 2
    down = bands[:, before + 1 :][:, :ROWS] - middle  # of neighbours; the first of ROWS rows lies amid its span
    noise = _noise(middle[:, :, :columns], (down[:, :, 1:] - down[:, :, :-1])[:, :, :columns])
    far_down = bands[:, SPAN:, before : before + columns] - bands[:, :ROWS, before : before + columns]
    across = np.diff(middle[:, :, before : before + columns + 1], axis=2)
    far_across = middle[:, :, SPAN : SPAN + columns] - middle[:, :, :columns]
    pairs = ((across, far_across), (down[:, :, before : before + columns], far_down))
    return Sharpness(min(_ratio(near, far, noise) for near, far in pairs), float(np.sqrt(noise)))


def _bands(image: Image, height: int) -> Values:
    """(bands, ROWS + SPAN, W) of the green channel."""
    deep = ROWS + SPAN
    width = image.shape[1]
    count = min(max(BANDS[0], min(BANDS[1], BAND_COLUMNS // width)), height // deep)
    tops = np.linspace(0, height - deep, count).astype(int)
    bands = np.empty((count, deep, width), np.float32)
    for band, top in zip(bands, tops, strict=True):
        band[:] = image[top : top + deep, :, 1]
    return bands


def _noise(level: Values, mixed: Values) -> float:
    """Variance of the noise. mixed: differences across of differences down, which edges along either are not in."""
    variance = _squares(mixed, PATCH) / 4
    brightness = _sums(level.sum(1), PATCH) / (ROWS * PATCH)
    clear = (brightness > UNCLIPPED[0]) & (brightness < UNCLIPPED[1])
    patches = variance[clear] if clear.sum() > variance.size // 50 else variance.ravel()
    return _low(patches, FLAT_SHARE)


def _ratio(near: Values, far: Values, noise: float) -> float:
    """Of squared differences, noise taken off, where there is contrast."""
    near_squares, far_squares = (_squares(values, BLOCK) - 2 * noise for values in (near, far))
    told = far_squares > CONTRAST**2
    if np.count_nonzero(told) < LEAST_BLOCKS:
        return 0.0
    return max(0.0, SPAN * _low(near_squares[told] / far_squares[told], LOW_SHARE))


def _squares(values: Values, columns: int) -> Values:
    """(bands, blocks): mean squares of (bands, ROWS, W) values over blocks of so many columns."""
    return _sums(np.einsum("brc,brc->bc", values, values), columns) / (ROWS * columns)


def _sums(values: Values, columns: int) -> Values:
    """(bands, blocks) of (bands, W): sums over so many columns, of which W has a whole number."""
    return np.add.reduceat(values, np.arange(0, values.shape[1], columns), axis=1)


def _low(values: Values, share: float) -> float:
    """The value that `share` of them lie below."""
    rank = int(share * (values.size - 1))
    return float(np.partition(values, rank)[rank])
