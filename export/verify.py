"""The gate of the export: the graph must compute what PyTorch computes, on real frames of lopsided sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure
from training.data.pictures import check_size, picture_paths, read_picture
from training.evaluation.evaluate import torch_model
from training.evaluation.metrics import psnr
from training.network import SAPHNet
from training.synthesis.deadleaves import dead_leaves

Image = NDArray[np.uint8]
MAX_DIFFERENCE = 1  # grey levels: rounding may fall either way, nothing else may differ
MIN_PSNR = 60.0  # dB between the two outputs


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far two implementations are apart on a set of frames. worst in grey levels, psnr in dB (inf when equal)."""

    frames: int
    worst: int
    psnr: float


def compare(network: SAPHNet, graph: onnx.ModelProto, frames: list[Image]) -> Agreement:
    """Run PyTorch and ONNX Runtime on the same frames. Raises Failure (QUALITY) when they disagree."""
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    reference = torch_model(network, "cpu")
    worst, lowest = 0, float("inf")
    for frame in frames:
        expected, found = reference(frame), session.run(None, {"frame": frame})[0]
        difference = int(np.abs(expected.astype(np.int16) - found).max())
        worst, lowest = max(worst, difference), min(lowest, psnr(found, expected))
        if worst > MAX_DIFFERENCE or lowest < MIN_PSNR:
            raise Failure(
                f"on a {frame.shape[0]}x{frame.shape[1]} frame ONNX and PyTorch differ by up to {difference} "
                f"grey levels ({lowest:.1f} dB between them); expected at most {MAX_DIFFERENCE} "
                f"and at least {MIN_PSNR:g} dB; nothing was written",
                ExitCode.QUALITY,
            )
    return Agreement(len(frames), worst, lowest)


def verification_frames(folder: Path | None, min_size: tuple[int, int]) -> list[Image]:
    """Frames to compare on: the first pictures of a folder (dead leaves without one), whole and cut to odd sizes.

    Raises Failure (SOURCE) when the folder has no pictures or one is smaller than `min_size`.
    """
    pictures = list(_pictures(folder, min_size))
    first, last = pictures[0], pictures[-1]
    smallest = first[: max(17, min_size[0]), : max(31, min_size[1])]
    odd = last[: max(last.shape[0] // 2 * 2 - 1, min_size[0]), : max(last.shape[1] // 3 * 2 + 1, min_size[1])]
    return [*pictures, smallest, odd]


def _pictures(folder: Path | None, min_size: tuple[int, int], count: int = 4) -> Iterator[Image]:
    if folder is None:
        yield from (dead_leaves(np.random.default_rng(seed), (270, 482)) for seed in range(count))
        return
    for path in picture_paths(folder)[:count]:
        picture = read_picture(path)
        check_size(picture, path, min_size)
        yield picture
