"""One calibration: what it works on, and what comes of it."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from calibration.calibrate_options import Outputs
from calibration.decide.plan import Plan
from calibration.frames.choose import Selection
from calibration.graph.forms import Graphs
from calibration.graph.half_check import Offender
from calibration.measure.sets import EvaluationSet, Measured
from runtime.frame import Image


@dataclass(frozen=True, eq=False)
class Job:
    """What every step needs."""

    arguments: argparse.Namespace
    outputs: Outputs
    data: bytes  # of the FP32 file
    graphs: Graphs
    selection: Selection
    reference: ir.Model  # the FP32 graph that losses are measured against; nobody may change it
    sets: list[EvaluationSet]

    def passes(self, result: Result) -> bool:
        """Whether a graph may be written: it loses no more than allowed, and is what was asked for."""
        enough = result.plan is None or bool(result.plan.int8())
        return enough and result.drop <= float(self.arguments.max_psnr_drop)

    @property
    def frames(self) -> list[Image]:
        """Calibration frames in the order of choice."""
        return [sample.image for sample in self.selection.calibration]

    @property
    def model_sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def cache(self) -> Path:
        """Where ranges and results of searches are kept."""
        folder: str | None = self.arguments.cache
        return self.outputs.graph.parent / "calib" if folder is None else Path(folder)


@dataclass(frozen=True, eq=False)
class Result:
    """A graph and how it was arrived at."""

    model: ir.Model
    plan: Plan | None  # None for FP16
    half: list[Offender]
    settling: Mapping[int, float]  # calibration frames → PSNR to FP32 in dB
    evaluations: int
    measured: list[list[Measured]]  # FP32, FP16 and, where asked for, INT8: one for each set

    @property
    def precision(self) -> str:
        """Of `model`: FP16 also where INT8 was asked for and FP16 alone loses too much."""
        return self.measured[-1][0].precision

    @property
    def drop(self) -> float:
        """dB lost in the mean of the set that loses most."""
        return max(one.quality.drop_db for one in self.measured[-1])
