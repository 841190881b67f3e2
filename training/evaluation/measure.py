"""The loops over frames: every method on every frame, handed on one measured frame at a time."""

from __future__ import annotations

import contextlib
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure
from training.data.pair_set import Pair
from training.data.pictures import check_size, read_pair, read_picture
from training.evaluation.baselines import baselines
from training.evaluation.evaluate import Deblur
from training.evaluation.flicker import MOTION_WINDOW, ChangeFlicker, ErrorFlicker, difference, rms
from training.evaluation.kernels import read_kernel
from training.evaluation.metrics import SSIM_WINDOW, capped_psnr, ssim
from training.evaluation.models import Model, Size, smallest_frame
from training.evaluation.perceptual import SMALLEST, Perceptual
from training.evaluation.rows import INPUT, Measured, Row

Image = NDArray[np.uint8]


def measure_pairs(
    pairs: Sequence[Pair],
    models: Sequence[Model],
    kernels: Mapping[str, Path] | None = None,
    perceptual: Perceptual | None = None,
) -> Iterator[Measured]:
    """The input and every method against the sharp frame: psnr, ssim, lpips, ms, and between frames of a video flicker.

    kernels: of each pair by its name; {} for the baselines that need none, None for no baselines.
    Raises Failure: SOURCE for frames that cannot be read or do not fit, MEMORY for frames that are too large.
    """
    flicker: dict[str, ErrorFlicker] = defaultdict(ErrorFlicker)
    for index, pair in enumerate(pairs):
        blurred, sharp = read_pair((pair.blurred, pair.sharp), smallest_frame(models, SSIM_WINDOW))
        rows = []
        kernel = read_kernel(kernels[pair.name]) if kernels else None
        methods = _functions(models) | (baselines(kernel) if kernels is not None else {})
        with memory_for(pair.blurred, blurred):
            _warm_up(models, blurred, index)
            outputs, spent = _outputs(methods, blurred)
            for name, output in {INPUT: blurred, **outputs}.items():
                values = _against_sharp(output, sharp, perceptual)
                values |= flicker[name].step(pair.sequence, output, sharp) | spent.get(name, {})
                rows.append(Row(pair.sequence, pair.name, name, values))
        yield Measured(rows, {INPUT: blurred, **outputs, "sharp": sharp})


def measure_sharp(frames: Mapping[str, Path], models: Sequence[Model]) -> Iterator[Measured]:
    """What models do to frames that are sharp already: psnr of the output to its input, ms.

    Raises as `measure_pairs`.
    """
    for index, (name, path) in enumerate(frames.items()):
        frame = _read_frame(path, smallest_frame(models))
        with memory_for(path, frame):
            _warm_up(models, frame, index)
            outputs, spent = _outputs(_functions(models), frame)
            values = {model: {"psnr": capped_psnr(output, frame)} for model, output in outputs.items()}
        rows = [Row("", name, model, values[model] | spent[model]) for model in outputs]
        yield Measured(rows, outputs)


def measure_unpaired(frames: Mapping[str, Path], models: Sequence[Model]) -> Iterator[Measured]:
    """Consecutive frames without sharp partners: RMS change against the input and flicker, both in grey levels, and ms.

    Raises as `measure_pairs`.
    """
    steadiness = ChangeFlicker()
    for index, (name, path) in enumerate(frames.items()):
        frame = _read_frame(path, smallest_frame(models, MOTION_WINDOW))
        with memory_for(path, frame):
            _warm_up(models, frame, index)
            outputs, spent = _outputs(_functions(models), frame)
            changes = {model: difference(output, frame) for model, output in outputs.items()}
            flicker = steadiness.step(frame, changes)
            values = {model: {"change": rms(change)} for model, change in changes.items()}
        rows = [Row("", name, model, values[model] | flicker.get(model, {}) | spent[model]) for model in outputs]
        yield Measured(rows, outputs)


@contextlib.contextmanager
def memory_for(path: Path, frame: Image) -> Iterator[None]:
    """Turns what NumPy, OpenCV and torch raise for want of memory into a Failure (MEMORY) that names the frame."""
    try:
        yield
    except (MemoryError, RuntimeError, cv2.error) as error:
        if not isinstance(error, MemoryError) and not re.search(
            r"out of memory|insufficient memory|alloc", str(error), re.IGNORECASE
        ):
            raise
        height, width = frame.shape[:2]
        raise Failure(
            f"out of memory at {path}, {height}x{width}; use smaller frames, a smaller model or --device cpu",
            ExitCode.MEMORY,
        ) from error


def _against_sharp(output: Image, sharp: Image, perceptual: Perceptual | None) -> dict[str, float]:
    values = {"psnr": capped_psnr(output, sharp), "ssim": ssim(output, sharp)}
    if perceptual and min(sharp.shape[:2]) >= SMALLEST:
        values["lpips"] = perceptual(output, sharp)
    return values


def _functions(models: Sequence[Model]) -> dict[str, Deblur]:
    return {model.name: model.deblur for model in models}


def _warm_up(models: Sequence[Model], frame: Image, index: int) -> None:
    """The first call of a model allocates and compiles: it is no measure of the others."""
    for model in models if index == 0 else ():
        model.deblur(frame)


def _outputs(methods: Mapping[str, Deblur], frame: Image) -> tuple[dict[str, Image], dict[str, dict[str, float]]]:
    """What each method makes of a frame, and {"ms": …}, from frame in memory to frame in memory."""
    outputs, spent = {}, {}
    for name, restore in methods.items():
        started = time.perf_counter()
        outputs[name] = restore(frame)
        spent[name] = {"ms": (time.perf_counter() - started) * 1000}
    return outputs, spent


def _read_frame(path: Path, min_size: Size) -> Image:
    frame = read_picture(path)
    check_size(frame, path, min_size)
    return frame
