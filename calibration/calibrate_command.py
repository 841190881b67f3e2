"""`edgedeblur calibrate`: ONNX and frames in, an INT8 or FP16 graph out, written only when little enough is lost."""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx_ir as ir

from calibration.calibrate_options import Outputs, add_arguments, checked
from calibration.decide.int8 import int8_result
from calibration.decide.starting import half_offenders
from calibration.finishing import finish
from calibration.frames.choose import Selection, choose_frames, evaluation_frames
from calibration.graph.forms import Graphs
from calibration.job import Job, Result
from calibration.measure.sets import EvaluationSet, evaluation_set, measured
from edgedeblur import ExitCode, Failure
from export.passes.model_file import (
    DEFORM_KEY,
    PRECISION_KEY,
    load_model,
    model_from_bytes,
    read_model_bytes,
    smallest_size,
)
from runtime.camera_source import without_credentials

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
    only_half = arguments.precision == "fp16"
    finish(job, Result(fp16, None, half, {}, 0, results) if only_half else int8_result(job, half, results))
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
    _check_content(arguments.data, selection)
    graphs = Graphs(model, arguments.deform)
    fp32 = reference or graphs.fp32()[0]
    return Job(arguments, outputs, data, graphs, selection, fp32, _sets(arguments, selection, fp32, least))


def _sets(
    arguments: argparse.Namespace, selection: Selection, fp32: ir.Model, least: tuple[int, int]
) -> list[EvaluationSet]:
    chosen = [(without_credentials(uri), evaluation_frames(uri, MOST_EVALUATED, least)) for uri in arguments.eval]
    own = f"{without_credentials(arguments.data)}{', held out' if selection.held_out else ''}"
    return [evaluation_set(name, some, fp32) for name, some in chosen or [(own, selection.evaluation)]]


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


def _check_content(uri: str, selection: Selection) -> None:
    """Raises Failure (SOURCE) when there is nothing in the frames: every range would be that of nothing."""
    best = max(sample.features.contrast for sample in selection.calibration if sample.features)
    if best < LEAST_CONTRAST:
        raise Failure(
            f"all {len(selection.calibration)} frames of {uri} are of one colour (contrast {best:.1f} of 255 grey "
            "levels); expected pictures of what the camera will see: look at them, or uncover the lens",
            ExitCode.SOURCE,
        )
