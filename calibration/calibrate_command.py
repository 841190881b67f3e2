"""`edgedeblur calibrate`: ONNX and frames in, an INT8 graph out, written only when it is close enough to FP32."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir

from calibration.frames import Image, calibration_frames
from calibration.histogram import METHODS
from calibration.layers import quantisable_convolutions
from calibration.observe import observe, open_session
from calibration.quantise import quantise
from edgedeblur import ExitCode, Failure
from export.passes.model_file import PRECISION_KEY, load_model, save_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `edgedeblur calibrate`."""
    parser.add_argument("model", type=Path, help="an FP32 .onnx of `edgedeblur export`")
    parser.add_argument(
        "--data", required=True, help="anything `edgedeblur run` can read: folder, video, camera, test://"
    )
    parser.add_argument("--frames", type=int, default=32, help="frames to calibrate on, spread over the data")
    parser.add_argument("--method", choices=METHODS, default="mse", help="how activations are clipped")
    parser.add_argument("--min-psnr", type=float, default=40.0, help="gate: dB between INT8's and FP32's output, mean")
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: MODEL.int8.onnx)")


def run(arguments: argparse.Namespace) -> int:
    """Observe, quantise, compare, write."""
    if arguments.frames < 1:
        raise Failure(f"--frames is {arguments.frames}; expected at least 1")
    output = arguments.output or arguments.model.with_suffix(".int8.onnx")
    model = load_model(arguments.model)
    if model.metadata_props.get(PRECISION_KEY) != "fp32":
        found = model.metadata_props.get(PRECISION_KEY)
        raise Failure(f"{arguments.model} is {found}; expected the FP32 file that it was made from", ExitCode.MODEL)
    frames = calibration_frames(arguments.data, arguments.frames)
    expected = _outputs(model, frames)
    convolutions = quantisable_convolutions(model.graph)
    names = sorted({str(node.inputs[0].name) for node in convolutions if node.inputs[0] is not None})
    histograms = observe(model, names, frames)
    quantise(model, convolutions, {name: METHODS[arguments.method](histograms[name]) for name in names})
    psnr = _gate(arguments.min_psnr, expected, _outputs(model, frames), output)
    made = {"method": arguments.method, "frames": len(frames), "psnr_to_fp32": round(psnr, 2)}
    model.metadata_props["edgedeblur.calibration"] = json.dumps(made)
    save_model(model, output)
    everything = sum(node.op_type == "Conv" for node in model.graph)
    print(
        f"{output}: {len(convolutions)} of {everything} convolutions in INT8, {psnr:.2f} dB from FP32 "
        f"on {len(frames)} frames ({arguments.method})"
    )
    return ExitCode.OK


def _outputs(model: ir.Model, frames: list[Image]) -> list[Image]:
    session = open_session(model)
    return [session.run(["sharp"], {"frame": frame})[0] for frame in frames]


def _gate(minimum: float, expected: list[Image], found: list[Image], output: Path) -> float:
    """Mean PSNR between the two in dB. Raises Failure (QUALITY) when it is under `minimum`."""
    errors = [float(np.mean((a.astype(np.float64) - b) ** 2)) for a, b in zip(expected, found, strict=True)]
    psnr = float(np.mean([10 * np.log10(255**2 / max(error, 1e-3)) for error in errors]))
    if psnr < minimum:
        worst = int(np.argmax(errors))
        raise Failure(
            f"the INT8 graph is {psnr:.2f} dB from FP32, worst on frame {worst}; expected at least {minimum:g} dB; "
            f"{output} was not written; try another --method or more --frames",
            ExitCode.QUALITY,
        )
    print(f"gate: {psnr:.2f} dB from FP32, at least {minimum:g} asked", file=sys.stderr)
    return psnr
