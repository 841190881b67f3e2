"""INT8 side by side on one graph, frames and pairs: ours, onnxruntime.quantization and nvidia-modelopt.

A benchmark that no other part needs; README.md says how its environment is made. Run: `python -m calibration.toolkits
MODEL.onnx --data FRAMES --eval PAIRS [PAIRS …] --ours MODEL.int8.onnx`. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from calibration.frames.choose import evaluation_frames
from calibration.graph.forms import Graphs
from calibration.graph.layers import SKIP, Layer
from calibration.measure.sets import evaluation_set
from calibration.toolkit_figures import HEADS, SET_HEADS, figures, one_line
from edgedeblur import ExitCode, Failure
from export.passes.model_file import load_model, model_bytes, read_model_bytes, smallest_size
from runtime.frame import Image
from runtime.sources.address import without_credentials
from runtime.sources.source import frames_of, open_source

MOST_PAIRS = 500  # of a set
METHODS = {"onnxruntime": ("MinMax", "Percentile", "Entropy"), "modelopt": ("max", "entropy")}
# Without these, TensorRT refuses the INT32 bias and cannot fuse a convolution with the addition behind it.
FOR_TENSORRT = {"QuantizeBias": False, "OpTypesToExcludeOutputQuantization": ["Conv", "ConvTranspose", "MatMul"]}


@dataclass(frozen=True)
class Placement:
    """Where a toolkit may put Q/DQ, by names of nodes."""

    name: str
    exclude: Sequence[str] = ()
    only: Sequence[str] = ()  # empty: wherever the toolkit would


class Reader:
    """Calibration frames as both toolkits ask for them; modelopt reads them several times."""

    def __init__(self, frames: Sequence[Image]) -> None:
        self._frames = frames
        self.rewind()

    def get_next(self) -> dict[str, Image] | None:
        return next(self._left, None)

    def get_first(self) -> dict[str, Image]:
        return {"frame": self._frames[0]}

    def rewind(self) -> None:
        self._left = iter([{"frame": frame} for frame in self._frames])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the benchmark."""
    parser.add_argument("model", type=Path, help="an FP32 .onnx of `edgedeblur export`, without --deform")
    parser.add_argument("--data", required=True, help="frames to calibrate on, all of one size")
    parser.add_argument("--eval", nargs="+", required=True, metavar="DATA", help="pairs to measure on")
    parser.add_argument("--deform", choices=("native", "gather"), default="gather", help="form given to the toolkits")
    parser.add_argument("--ours", nargs="*", type=Path, default=[], help="INT8 graphs of `edgedeblur calibrate`")


def run(arguments: argparse.Namespace) -> int:
    """Print a row for each graph; a toolkit that fails has its error there."""
    model = load_model(arguments.model)
    smallest = smallest_size(model.metadata_props)
    graphs = Graphs(model, arguments.deform)
    fp32, frames = graphs.fp32()[0], frames_of_one_size(arguments.data)
    sets = [evaluation_set(uri, evaluation_frames(uri, MOST_PAIRS, smallest), fp32) for uri in arguments.eval]
    heads = [f"{Path(one.name).name}: {head}" for one in sets for head in SET_HEADS]
    _print_row("graph", "placement", "CPU s", *HEADS, *heads)
    _print_row(*["---"] * (3 + len(HEADS) + len(heads)))
    _print_row("FP16", "", "", *figures(model_bytes(graphs.fp16()), sets))
    for path in arguments.ours:
        _print_row("ours", path.name, "", *figures(read_model_bytes(path), sets))
    for toolkit, method, placement in variants(graphs.layers):
        try:
            seconds, data = int8_bytes(toolkit, method, placement, model_bytes(fp32), frames)
            cells = [f"{seconds:.1f}", *figures(data, sets)]
        except Exception as error:  # whatever a toolkit raises is a result
            cells = [f"failed: {one_line(error)}"]
        _print_row(f"{toolkit} {method}", placement.name, *cells)
    return ExitCode.OK


def frames_of_one_size(uri: str) -> list[Image]:
    """All frames of a source. Raises Failure (SOURCE) unless all have one size, as the toolkits' histograms ask."""
    frames = [frame.image for frame in frames_of(open_source(uri))]
    sizes = sorted({frame.shape[:2] for frame in frames})
    if len(sizes) != 1:
        raise Failure(
            f"{without_credentials(uri)} has frames of {len(sizes)} sizes, expected 1: crop them to one size",
            ExitCode.SOURCE,
        )
    return frames


def variants(layers: Sequence[Layer]) -> Iterator[tuple[str, str, Placement]]:
    """(toolkit, method, placement). modelopt comes last: importing it patches onnxruntime.quantization."""
    kept = [layer.name for layer in layers if layer.kept]
    chosen = [layer.name for layer in layers if not layer.kept and layer.kind != SKIP]
    placements = Placement("default"), Placement("default less kept", exclude=kept), Placement("ours", only=chosen)
    for toolkit, methods in METHODS.items():
        for method in methods:
            for placement in placements:
                yield toolkit, method, placement


def int8_bytes(
    toolkit: str, method: str, placement: Placement, fp32: bytes, frames: Sequence[Image]
) -> tuple[float, bytes]:
    """Processor seconds taken, of all threads, and the INT8 graph. Raises whatever the toolkit does."""
    quantise = {"onnxruntime": _with_onnxruntime, "modelopt": _with_modelopt}[toolkit]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        source, output = Path(folder, "fp32.onnx"), Path(folder, "int8.onnx")
        source.write_bytes(fp32)  # a copy: modelopt writes the shapes it infers into the very file it is given
        started = time.process_time()
        quantise(method, placement, Reader(frames), source, output)
        return time.process_time() - started, output.read_bytes()


def _with_onnxruntime(method: str, placement: Placement, reader: Reader, source: Path, output: Path) -> None:
    from onnxruntime.quantization import CalibrationMethod, QuantType, quantize_static

    symmetric = {"ActivationSymmetric": True, "WeightSymmetric": True}  # TensorRT has no zero-points
    quantize_static(
        source,
        output,
        reader,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod[method],
        nodes_to_exclude=list(placement.exclude),
        nodes_to_quantize=list(placement.only),
        extra_options=symmetric | (FOR_TENSORRT if placement.only else {}),
    )


def _with_modelopt(method: str, placement: Placement, reader: Reader, source: Path, output: Path) -> None:
    from modelopt.onnx.quantization import quantize  # type: ignore[import-not-found]  # never in the project's venv

    quantize(
        str(source),
        calibration_method=method,
        calibration_data_reader=reader,
        calibration_eps=["cpu"],
        nodes_to_exclude=[f"{re.escape(name)}$" for name in placement.exclude],  # it takes patterns of beginnings
        nodes_to_quantize=[f"{re.escape(name)}$" for name in placement.only],
        output_path=str(output),
        log_level="ERROR",
    )


def _print_row(*cells: str) -> None:
    print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m calibration.toolkits", description=__doc__)
    add_arguments(parser)
    try:
        sys.exit(run(parser.parse_args()))
    except Failure as failure:
        print(f"toolkits: {failure}", file=sys.stderr)
        sys.exit(failure.code)
