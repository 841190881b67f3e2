"""Known blur kernels of a data set: `kernel/NAME.npy` or `kernel/NAME.png` beside the folders of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure
from training.data.pair_set import Pair

Kernel = NDArray[np.float32]


def kernel_paths(pairs: Sequence[Pair]) -> dict[str, Path]:
    """The kernel file of each pair, by the pair's name; empty for a set that has no kernels at all.

    Raises Failure (SOURCE) where a set with kernels lacks one.
    """
    folders = {pair.name: _kernel_folder(pair) for pair in pairs}
    if not any(folder.is_dir() for folder in set(folders.values())):
        return {}
    return {name: _kernel_path(folder, name.rpartition("/")[2]) for name, folder in folders.items()}


def read_kernel(path: Path) -> Kernel:
    """The point spread function in a file: (kh, kw) float32, odd sides, sum 1, origin in the middle.

    blurred = sharp convolved with it. A side that is even in the file has its origin at side // 2.
    Raises Failure (SOURCE) when the file holds no kernel.
    """
    values = _values(path)
    if values is None or values.ndim != 2 or values.dtype.kind not in "fiu" or not values.size:
        found = "not readable" if values is None else f"{values.dtype} {values.shape}"
        raise Failure(f"{path} is {found}; expected a kernel of real numbers, (height, width)", ExitCode.SOURCE)
    kernel = values.astype(np.float64)
    if not np.isfinite(kernel).all() or kernel.min() < 0 or kernel.sum() == 0:
        raise Failure(f"{path} holds negative or infinite values, or only zeros; expected a kernel", ExitCode.SOURCE)
    # An even side gets a last row of zeros: its origin, side // 2, is then the middle.
    odd = np.pad(kernel, [(0, 1 - length % 2) for length in kernel.shape])
    return np.asarray(odd / odd.sum(), np.float32)


def _kernel_folder(pair: Pair) -> Path:
    # Pictures side by side in one folder have no folder of their own that `kernel/` could be beside.
    side = pair.blurred.parent
    return (side if side == pair.sharp.parent else side.parent) / "kernel"


def _kernel_path(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.npy", folder / f"{name}.png"):
        if path.is_file():
            return path
    raise Failure(
        f"{folder} holds no {name}.npy or {name}.png; expected a kernel for every blurred picture, or no such folder",
        ExitCode.SOURCE,
    )


def _values(path: Path) -> NDArray[np.generic] | None:
    try:
        if path.suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False))
        return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_ANYDEPTH)  # grey, 8 or 16 bits
    except (OSError, ValueError, EOFError, cv2.error):
        return None
