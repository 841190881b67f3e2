"""Sharp photographs to make pairs from, as many as memory has room for."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure
from training.data.pictures import check_size, picture_paths, read_picture
from training.synthesis.config import SynthConfig

Image = NDArray[np.uint8]
MEMORY = 4 * 2**30  # bytes of decoded photographs kept


def read_photos(folder: Path, config: SynthConfig) -> dict[str, Image]:
    """Photographs (H, W, 3) uint8 BGR directly in a folder, by name, until they fill MEMORY.

    What cannot be used for pairs of `config`, and what is left out, is told on standard error.
    Raises Failure (SOURCE) when none can be used.
    """
    paths = picture_paths(folder)
    photos: dict[str, Image] = {}
    used = 0
    for path in paths:
        if used > MEMORY:
            print(f"kept the first {len(photos)} of {len(paths)} photographs: memory limit reached", file=sys.stderr)
            break
        try:
            photos[path.name] = _read(path, config)
            used += photos[path.name].nbytes
        except Failure as failure:
            print(f"skipped: {failure}", file=sys.stderr)
    if not photos:
        raise Failure(f"none of the {len(paths)} photographs in {folder} can be used", ExitCode.SOURCE)
    return photos


def _read(path: Path, config: SynthConfig) -> Image:
    photo = read_picture(path)
    # Smaller ones would be enlarged more than twice, upright or turned, and are then blurred themselves.
    shortest = max(config.seen) // 2
    check_size(photo, path, (shortest, shortest))
    return photo
