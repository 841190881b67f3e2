"""`edgedeblur calibrate`: ONNX and frames in, an INT8 graph out, written only when it is close enough to FP32."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import onnx_ir as ir

from calibration.frames import Image, calibration_frames
from calibration.histogram import METHODS
from calibration.layers import quantisable_convolutions
from calibration.observe import observe, open_session
from calibration.quantise import quantise
from edgedeblur import ExitCode, Failure
from export.passes.model_file import (
    CALIBRATION_KEY,
    DEFORM_KEY,
    PRECISION_KEY,
    check_onnx_output,
    load_model,
    save_model,
    smallest_size,
)
from runtime.quality import psnr


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `edgedeblur calibrate`."""
    parser.add_argument("model", type=Path, help="an FP32 .onnx of `edgedeblur export`")
    parser.add_argument(
        "--data", required=True, help="anything `edgedeblur run` can read: folder, video, camera, test://"
    )
    parser.add_argument("--frames", type=int, default=32, help="frames to calibrate on, spread over the data")
    parser.add_argument("--method", choices=METHODS, default="mse", help="how activations are clipped")
    parser.add_argument(
        "--min-psnr", type=float, default=40.0, help="gate: dB between INT8's and FP32's output, worst frame"
    )
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: MODEL.int8.onnx)")
    parser.add_argument("--force", action="store_true", help="write over the output if it is there")


def run(arguments: argparse.Namespace) -> int:
    """Observe, quantise, compare, write."""
    if arguments.frames < 1:
        raise Failure(f"--frames is {arguments.frames}; expected at least 1")
    if not 0 <= arguments.min_psnr <= 100:  # false for nan, too
        raise Failure(f"--min-psnr is {arguments.min_psnr}; expected 0 to 100 dB")
    output = arguments.output or arguments.model.with_suffix(".int8.onnx")
    check_onnx_output(output, arguments.model, arguments.force)
    model = _canonical_model(arguments.model)
    frames = calibration_frames(arguments.data, arguments.frames, smallest_size(model.metadata_props))
    expected = _outputs(model, frames)
    convolutions = quantisable_convolutions(model.graph)
    names = sorted({str(node.inputs[0].name) for node in convolutions if node.inputs[0] is not None})
    histograms = observe(model, names, frames)
    quantise(model, convolutions, {name: METHODS[arguments.method](histograms[name]) for name in names})
    worst = _gate(arguments.min_psnr, expected, _outputs(model, frames), output)
    made = {"method": arguments.method, "frames": len(frames), "worst_psnr_to_fp32": round(worst, 2)}
    model.metadata_props[CALIBRATION_KEY] = json.dumps(made)
    save_model(model, output)
    everything = sum(node.op_type == "Conv" for node in model.graph)
    print(
        f"{output}: {len(convolutions)} of {everything} convolutions in INT8, at least {worst:.2f} dB from FP32 "
        f"on each of {len(frames)} frames ({arguments.method})"
    )
    return ExitCode.OK


def _canonical_model(path: Path) -> ir.Model:
    """Raises Failure (MODEL) for anything but an FP32 graph with the standard DeformConv.

    In the other forms the convolutions that predict sampling positions cannot be told from the rest.
    """
    model = load_model(path)
    found = {key: model.metadata_props.get(key) for key in (PRECISION_KEY, DEFORM_KEY)}
    if found != {PRECISION_KEY: "fp32", DEFORM_KEY: "native"}:
        form = f"precision {found[PRECISION_KEY]}, deform {found[DEFORM_KEY]}"
        raise Failure(
            f"{path} is {form}; expected precision fp32, deform native: the file that `edgedeblur export` writes "
            "without --deform (`build` lowers it later)",
            ExitCode.MODEL,
        )
    return model


def _outputs(model: ir.Model, frames: list[Image]) -> list[Image]:
    session = open_session(model)
    return [session.run(["sharp"], {"frame": frame})[0] for frame in frames]


def _gate(minimum: float, expected: list[Image], found: list[Image], output: Path) -> float:
    """PSNR between the two on the worst frame, in dB. Raises Failure (QUALITY) when it is under `minimum`."""
    decibels = [min(psnr(ours, theirs), 100.0) for ours, theirs in zip(found, expected, strict=True)]
    worst = min(decibels)
    if worst < minimum:
        raise Failure(
            f"the INT8 graph is {worst:.2f} dB from FP32 on frame {decibels.index(worst)}; expected at least "
            f"{minimum:g} dB on every frame; {output} was not written; try another --method or more --frames",
            ExitCode.QUALITY,
        )
    return worst
