"""`edgedeblur calibrate`: ONNX and frames in, an INT8 or FP16 graph out, written only when little enough is lost."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir

from calibration.calibrate_options import Outputs, add_arguments, checked
from calibration.decide.int8 import int8_result
from calibration.decide.starting import half_offenders
from calibration.finishing import finish
from calibration.frames.choose import MEMORY, Sample, Selection, choose_frames, evaluation_frames
from calibration.frames.coverage import half_luma
from calibration.graph.forms import Graphs
from calibration.job import Job, Result
from calibration.measure.sets import EvaluationSet, evaluation_set, measured
from calibration.report.tables import counted
from edgedeblur import ExitCode, Failure
from export.passes.model_file import (
    DEFORM_KEY,
    PRECISION_KEY,
    load_model,
    model_from_bytes,
    read_model_bytes,
    smallest_size,
)
from runtime.sources.address import without_credentials

__all__ = ["add_arguments", "run"]

EVALUATION = 16  # frames of --data that are held out to measure on
MOST_EVALUATED = 64  # frames of each --eval
LEAST_CONTRAST = 1.0  # grey levels: standard deviation of a frame below which there is nothing in it


def run(arguments: argparse.Namespace) -> int:
    """Choose frames, observe, decide, quantise, measure, and write."""
    job = _job(arguments, checked(arguments))
    half = half_offenders(job.graphs, job.frames)
    fp16 = job.graphs.fp16(offender.node for offender in half)
    results = [measured(None, "fp32", job.sets), measured(fp16, "fp16", job.sets)]
    result = Result(fp16, None, half, {}, 0, results)
    # An INT8 graph has an FP16 body; but a plan may keep in FP32 what FP16 alone loses.
    if arguments.precision == "int8" and (arguments.plan is not None or job.passes(result)):
        result = int8_result(job, half, results)
    finish(job, result)
    return ExitCode.OK


def _job(arguments: argparse.Namespace, outputs: Outputs) -> Job:
    data = read_model_bytes(arguments.model)
    model = _canonical(model_from_bytes(data, arguments.model), arguments.model)
    least = smallest_size(model.metadata_props)
    reference = None
    if arguments.reference is not None:
        reference = _canonical(load_model(arguments.reference), arguments.reference)
    held_out = 0 if arguments.eval else EVALUATION
    selection = choose_frames(arguments.data, arguments.frames, held_out, least)
    _check_content(selection.source, selection.calibration)
    _tell(arguments, selection)
    graphs = Graphs(model, arguments.deform)
    fp32 = reference or graphs.fp32()[0]
    return Job(arguments, outputs, data, graphs, selection, fp32, _sets(arguments, selection, fp32, least))


def _sets(
    arguments: argparse.Namespace, selection: Selection, fp32: ir.Model, least: tuple[int, int]
) -> list[EvaluationSet]:
    room = MEMORY // max(len(arguments.eval), 1)
    chosen = [(without_credentials(uri), evaluation_frames(uri, MOST_EVALUATED, least, room)) for uri in arguments.eval]
    own = f"{without_credentials(arguments.data)}{', held out' if selection.held_out else ''}"
    sets = chosen or [(own, selection.evaluation)]
    for name, samples in sets:
        _check_content(name, samples)
    return [evaluation_set(name, samples, fp32) for name, samples in sets]


def _canonical(model: ir.Model, path: Path) -> ir.Model:
    """Raises Failure (MODEL) for anything but an FP32 graph with the standard DeformConv.

    In the other forms the convolutions that predict sampling positions cannot be told from the rest.
    """
    found = {key: model.metadata_props.get(key) for key in (PRECISION_KEY, DEFORM_KEY)}
    if found != {PRECISION_KEY: "fp32", DEFORM_KEY: "native"}:
        form = f"precision {found[PRECISION_KEY]}, deform {found[DEFORM_KEY]}"
        raise Failure(
            f"{path} is {form}; expected precision fp32, deform native: the file that `edgedeblur export` writes "
            "without --deform (calibrate has its own --deform)",
            ExitCode.MODEL,
        )
    if any(node.op_type == "QuantizeLinear" for node in model.graph):
        raise Failure(f"{path} is quantised already; expected the FP32 file it was made of", ExitCode.MODEL)
    return model


def _check_content(name: str, samples: Sequence[Sample]) -> None:
    """Raises Failure (SOURCE) when there is nothing in the frames: ranges and losses would be those of nothing."""
    best = max(map(_contrast, samples))
    if best < LEAST_CONTRAST:
        raise Failure(
            f"{name}: {counted(len(samples), 'frame')}, all of one colour (contrast {best:.1f} of 255 grey levels); "
            "expected pictures of what the camera will see: look at them, or uncover the lens",
            ExitCode.SOURCE,
        )


def _contrast(sample: Sample) -> float:
    return sample.features.contrast if sample.features else float(half_luma(sample.image).std())


def _tell(arguments: argparse.Namespace, selection: Selection) -> None:
    """What weakens the result, on stderr."""
    found = len(selection.calibration)
    if found < arguments.frames:
        asked = f"--frames asks for {arguments.frames}"
        print(f"{selection.source}: {counted(found, 'frame')} to calibrate on; {asked}", file=sys.stderr)
    if not arguments.eval and not selection.held_out:
        print(
            f"{selection.source}: too few frames to hold any out: losses are measured on the calibration frames "
            "themselves and flatter; give others with --eval",
            file=sys.stderr,
        )
