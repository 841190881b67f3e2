"""The sets a graph is measured on, and what FP32, FP16 and INT8 reach on them."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from calibration.frames.choose import Sample, evenly
from calibration.measure.quality import Quality, decibels, drops, outputs_of, quality_of
from calibration.progress import followed
from calibration.report.page import WorstFrame
from export.passes.emulate_half import emulate_half
from export.passes.graph_tools import copied
from runtime.frame import Image

CROP = 256  # pixels: the sides of what a search measures
MOST_CROPS = 24  # of each set
WORST = 3  # frames shown in the report


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """Frames of one kind, with the FP32 graph's output of each."""

    name: str
    samples: list[Sample]
    fp32: list[Image]

    @property
    def truth(self) -> bool:
        """Whether the sharp frames are known."""
        return any(sample.sharp is not None for sample in self.samples)


def evaluation_set(name: str, samples: Sequence[Sample], fp32: ir.Model) -> EvaluationSet:
    """Run the FP32 graph on the samples."""
    return EvaluationSet(name, list(samples), _outputs(fp32, samples, f"running FP32 on {name}"))


def cropped(sets: Sequence[EvaluationSet], fp32: ir.Model) -> list[EvaluationSet]:
    """The same with fewer and smaller frames, from their middle: what hundreds of evaluations can afford."""
    return [
        evaluation_set(one.name, [_crop(sample) for sample in evenly(one.samples, MOST_CROPS)], fp32) for one in sets
    ]


def worst_mean_drop(model: ir.Model, sets: Sequence[EvaluationSet]) -> float:
    """dB that the graph is worse than FP32 in the mean of a set, on the worst of the sets."""
    return max(
        statistics.fmean(drops(outputs_of(model, [sample.image for sample in one.samples]), one.fp32, one.samples))
        for one in sets
    )


@dataclass(frozen=True, eq=False)
class Measured:
    """One precision on one set."""

    evaluated: EvaluationSet
    precision: str
    quality: Quality
    worst: list[WorstFrame]  # the frames that lose most, first the worst; of other frames no output is held

    def row(self) -> dict[str, Any]:
        """A row of the report's table."""
        return {"precision": self.precision, **dataclasses.asdict(self.quality)}


def measured(model: ir.Model | None, precision: str, sets: Sequence[EvaluationSet]) -> list[Measured]:
    """Measure a graph, its FP16 rounding written out, on each set; None is FP32 itself."""
    graph = None if model is None else emulate_half(copied(model))
    results = []
    for one in sets:
        outputs = one.fp32 if graph is None else _outputs(graph, one.samples, f"measuring {precision} on {one.name}")
        quality = quality_of(outputs, one.fp32, one.samples)
        results.append(Measured(one, precision, quality, _worst(one, outputs)))
    return results


def _outputs(model: ir.Model, samples: Sequence[Sample], task: str) -> list[Image]:
    return outputs_of(model, followed(task, [sample.image for sample in samples]))


def _worst(one: EvaluationSet, outputs: Sequence[Image]) -> list[WorstFrame]:
    lost = drops(outputs, one.fp32, one.samples)
    frames = []
    for place in np.argsort(lost)[::-1][:WORST]:
        sample, fp32, found = one.samples[place], one.fp32[place], outputs[place]
        apart = decibels(found, fp32)
        frames.append(WorstFrame(one.name, sample.name, lost[place], apart, fp32, found, sample.sharp))
    return frames


def _crop(sample: Sample) -> Sample:
    height, width = sample.image.shape[:2]
    top, left = max(0, height - CROP) // 2, max(0, width - CROP) // 2
    part = (slice(top, top + CROP), slice(left, left + CROP))
    sharp = None if sample.sharp is None else np.ascontiguousarray(sample.sharp[part])
    return dataclasses.replace(sample, image=np.ascontiguousarray(sample.image[part]), sharp=sharp)
