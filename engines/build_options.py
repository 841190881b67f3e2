"""The words of `edgedeblur build`: what they may be, and those that build the same again."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from edgedeblur import Failure
from engines.deform_choice import FORMS
from engines.parity import MIN_PSNR
from engines.precision_gate import DEFAULT_MIN_PSNR
from engines.toolkit import MODULES
from runtime.sessions.engine_file import ENGINE_SUFFIXES

LARGEST_WORKSPACE = 1024  # GiB; no GPU has as much, and TensorRT counts bytes in 64 bits
PRECISIONS = ("fp32", "fp16", "int8")
# Options that say what is built, by their names in the namespace; the others say where it goes, or how it is told.
BUILT_BY = (
    *("size", "min_size", "opt_size", "max_size", "precision", "toolkit", "deform", "plugins", "compute_capability"),
    *("workspace", "builder_optimization_level", "timing_cache", "min_psnr"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("onnx", type=Path, help="the ONNX file that edgedeblur export or calibrate wrote")
    _add_sizes(parser)
    _add_precision(parser)
    parser.add_argument("--toolkit", choices=("auto", *MODULES), default="auto", help="which TensorRT builds")
    parser.add_argument(
        "--deform",
        choices=FORMS,
        default="auto",
        help="deformable convolution as our plugin (tensorrt only) or as standard operators; auto: plugin if possible",
    )
    parser.add_argument(
        "--plugins", type=Path, metavar="LIB", help="a ready plugin library (.so) instead of compiling one"
    )
    parser.add_argument(
        "--compute-capability",
        default="auto",
        metavar="LIST",
        help="tensorrt_rtx: GPUs to build for, such as 86,89, or portable; auto: this machine's, else portable",
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--engine-dir", type=Path, metavar="DIR", help="folder for engines; the ONNX file's if not given"
    )
    place.add_argument(
        "--save-engine", type=Path, metavar="FILE", help="this very file instead of a name that says all"
    )
    parser.add_argument(
        "--workspace",
        type=float,
        metavar="GIB",
        help="scratch memory the builder may plan with (default: all of a GPU's, half of what is free on a Jetson)",
    )
    parser.add_argument("--builder-optimization-level", type=int, choices=range(6), help="0 builds fast, 5 runs fast")
    parser.add_argument("--timing-cache", type=Path, metavar="FILE", help="kernel timings of earlier builds (tensorrt)")
    parser.add_argument(
        "--min-psnr",
        type=float,
        metavar="DB",
        help="gates: least dB between the graph that is built and the file, and between the engine and the file "
        f"(default: {DEFAULT_MIN_PSNR:g}; {', '.join(f'{name} {least:g}' for name, least in MIN_PSNR.items())})",
    )
    parser.add_argument("--force", action="store_true", help="build even when this engine exists")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--verbose", "-v", action="store_true", help="print all that TensorRT says")


def check_options(args: argparse.Namespace) -> None:
    """Raises Failure (USAGE) for numbers and names that make no sense."""
    if args.workspace is not None and not 0 < args.workspace <= LARGEST_WORKSPACE:  # NaN compares as False
        raise Failure(f"--workspace is {args.workspace:g}; expected GiB above 0, at most {LARGEST_WORKSPACE}")
    if args.min_psnr is not None and not math.isfinite(args.min_psnr):
        raise Failure(f"--min-psnr is {args.min_psnr:g}; expected dB, such as {DEFAULT_MIN_PSNR:g}")
    if args.save_engine is not None and args.save_engine.suffix not in ENGINE_SUFFIXES:
        raise Failure(
            f"--save-engine is '{args.save_engine}'; expected a file name ending in {' or '.join(ENGINE_SUFFIXES)}"
        )
    if args.timing_cache is not None and args.timing_cache.suffix not in (".timing", ".cache"):
        raise Failure(
            f"--timing-cache is '{args.timing_cache}', which is written to; expected a name ending in .timing"
        )


def rebuild_words(args: argparse.Namespace) -> list[str]:
    """What the user asked for, without the ONNX file and the place: the same build from any folder, on any machine."""
    words = []
    for name in BUILT_BY:
        value = getattr(args, name, None)
        if value is not None and value != "auto":
            text = str(value.absolute()) if isinstance(value, Path) else f"{value:g}" if type(value) is float else value
            words += [f"--{name.replace('_', '-')}", str(text)]
    return words


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", metavar="HxW", help="the one frame size, height x width, such as 720x1280")
    for which, what in (("min", "smallest"), ("opt", "fastest (default: the largest)"), ("max", "largest")):
        parser.add_argument(
            f"--{which}-size",
            f"--{which}Shapes",
            metavar="HxW",
            help=f"the {what} frame size of an engine for a range of sizes (trtexec's frame:HxWx3 is understood)",
        )


def _add_precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="sampling positions stay fp32 (default: fp16, or int8 for a file of edgedeblur calibrate)",
        default=argparse.SUPPRESS,
    )
    for precision in PRECISIONS:
        parser.add_argument(
            f"--{precision}",
            dest="precision",
            action="store_const",
            const=precision,
            default=argparse.SUPPRESS,
            help=f"the same as --precision {precision}",
        )
