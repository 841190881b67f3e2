"""Options of `edgedeblur calibrate`, and the files it writes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from calibration.observers.ranges import METHODS
from edgedeblur import ExitCode, Failure
from export.passes.model_file import check_onnx_output, try_folder
from export.passes.whole_files import cannot_write, check_free

NAME_ADVICE = "give a shorter name or another place"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `edgedeblur calibrate`."""
    parser.add_argument("model", type=Path, help="an FP32 .onnx of `edgedeblur export`, without --deform")
    parser.add_argument(
        "--data", required=True, help="frames to calibrate on: whatever `edgedeblur run` reads, or a folder of pairs"
    )
    parser.add_argument(
        "--eval",
        action="append",
        default=[],
        metavar="DATA",
        help="measure on these, not on frames held out of --data; give it once for each set",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        help="FP32 .onnx to measure losses against: what fine-tuning started from (default: the model)",
    )
    parser.add_argument("--precision", choices=("int8", "fp16"), default="int8", help="int8: with an FP16 body")
    parser.add_argument(
        "--deform",
        choices=("gather", "native"),
        default="gather",
        help="gather: standard operators, INT8 inside; native: one operator, for the TensorRT plugin",
    )
    parser.add_argument("--frames", type=int, default=128, help="frames to calibrate on, chosen for coverage")
    parser.add_argument("--method", choices=sorted(METHODS), default="mse", help="how activations are clipped")
    parser.add_argument("--max-psnr-drop", type=float, default=0.1, metavar="DB", help="gate: mean loss against FP32")
    parser.add_argument("--plan", type=Path, help="layers' precisions from this .plan.json; nothing is searched")
    parser.add_argument(
        "--evaluations",
        type=int,
        default=200,
        help="graphs that the search may measure; 0: no search, first and last layers stay FP16",
    )
    parser.add_argument(
        "--cache", metavar="DIR", help="for ranges and results of the search (default: calib beside the output)"
    )
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: MODEL.int8.onnx or MODEL.fp16.onnx)")
    parser.add_argument("--force", action="store_true", help="write over the output and what is beside it")


@dataclass(frozen=True)
class Outputs:
    """The graph, and what is written beside it."""

    graph: Path

    def beside(self, passed: bool) -> tuple[Path, Path, Path]:
        """Plan, report as JSON and as HTML; what tells of a refusal leaves the files of a graph that is there alone."""
        names = ("plan.json", "report.json", "report.html")
        refused = "" if passed else "refused."
        plan, as_json, as_page = (self.graph.with_suffix(f".{refused}{name}") for name in names)
        return plan, as_json, as_page

    def every(self) -> tuple[Path, ...]:
        """All that may be written."""
        return (self.graph, *self.beside(True), *self.beside(False))


def checked(arguments: argparse.Namespace) -> Outputs:
    """What will be written.

    Raises Failure: USAGE for options that make no sense and for files that are there already, ENVIRONMENT where nothing
    can be written.
    """
    if arguments.frames < 1:
        raise Failure(f"--frames is {arguments.frames}; expected at least 1")
    if not 0 <= arguments.max_psnr_drop <= 100:  # false for nan, too
        raise Failure(f"--max-psnr-drop is {arguments.max_psnr_drop}; expected 0 to 100 dB")
    if not 0 <= arguments.evaluations <= 100_000:
        raise Failure(f"--evaluations is {arguments.evaluations}; expected 0 to 100000")
    if arguments.plan is not None and arguments.precision != "int8":
        raise Failure("--plan says which layers are INT8; expected no --precision fp16 beside it")
    if arguments.cache == "":
        raise Failure("--cache is ''; expected a folder (the current one is .)")
    if not arguments.model.name:
        raise Failure(f"the model is '{arguments.model}'; expected an .onnx file", ExitCode.MODEL)
    outputs = Outputs(arguments.output or arguments.model.with_suffix(f".{arguments.precision}.onnx"))
    check_onnx_output(outputs.graph, arguments.model, arguments.force)
    if arguments.reference is not None:
        check_onnx_output(outputs.graph, arguments.reference, arguments.force)
    check_free(outputs.every(), arguments.force, NAME_ADVICE)
    _try_longest(outputs.every())
    return outputs


def _try_longest(paths: Iterable[Path]) -> None:
    """Raises Failure (ENVIRONMENT) when the file system has no room for the longest of these names."""
    longest = max(paths, key=lambda path: len(os.fsencode(path.name)))
    try:
        try_folder(longest.parent, len(os.fsencode(longest.name)))
    except OSError as error:
        raise cannot_write(longest, error, NAME_ADVICE) from error
