"""What a graph loses: PSNR and SSIM against the FP32 graph's output, and against sharp frames where there are any."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from calibration.frames.choose import Sample
from calibration.measure.ssim import ssim
from calibration.observers.watch import open_session, results
from runtime.frame import Image
from runtime.measure.quality import psnr

MOST_DB = 100.0  # stands for "equal" in means
# Without a sharp frame the drop is estimated as if FP32's own output were this far from it, in dB: what good deblurring
# reaches on real frames. The errors of FP32 and of quantisation are taken as independent.
ASSUMED_DB = 30.0


@dataclass(frozen=True)
class Quality:
    """Means over frames, in dB and SSIM; None where no frame is sharp."""

    psnr: float | None
    ssim: float | None
    psnr_to_fp32: float
    ssim_to_fp32: float
    drop_db: float
    worst_drop_db: float


def outputs_of(model: ir.Model, frames: Iterable[Image]) -> list[Image]:
    """The graph's output of each frame, (H, W, 3) uint8. Raises Failure: MODEL, MEMORY when memory runs out."""
    session = open_session(model)
    return [results(session, ["sharp"], frame)[0] for frame in frames]


def drops(found: Sequence[Image], fp32: Sequence[Image], samples: Sequence[Sample]) -> list[float]:
    """dB that `found` is worse than `fp32` on each frame: measured against its sharp frame, else estimated."""
    return [
        decibels(theirs, sample.sharp) - decibels(ours, sample.sharp)
        if sample.sharp is not None
        else _estimate(ours, theirs)
        for ours, theirs, sample in zip(found, fp32, samples, strict=True)
    ]


def decibels(image: Image, reference: Image) -> float:
    """PSNR that is finite: MOST_DB for equal pictures."""
    return min(psnr(image, reference), MOST_DB)


def quality_of(found: Sequence[Image], fp32: Sequence[Image], samples: Sequence[Sample]) -> Quality:
    """`found` and `fp32`: outputs for `samples`, in order."""
    lost = drops(found, fp32, samples)
    known = [(ours, sample.sharp) for ours, sample in zip(found, samples, strict=True) if sample.sharp is not None]
    both = list(zip(found, fp32, strict=True))
    return Quality(
        psnr=statistics.fmean(decibels(*pair) for pair in known) if known else None,
        ssim=statistics.fmean(ssim(*pair) for pair in known) if known else None,
        psnr_to_fp32=MOST_DB if found is fp32 else statistics.fmean(decibels(*pair) for pair in both),
        ssim_to_fp32=1.0 if found is fp32 else statistics.fmean(ssim(*pair) for pair in both),
        drop_db=statistics.fmean(lost),
        worst_drop_db=max(lost),
    )


def _estimate(found: Image, fp32: Image) -> float:
    error = float(np.mean(np.square(np.subtract(found, fp32, dtype=np.float32))))
    return 10 * math.log10(1 + error / (255**2 / 10 ** (ASSUMED_DB / 10)))
