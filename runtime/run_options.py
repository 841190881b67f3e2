"""Options that `run` and `profile` share, and how their values are read from the command line."""

from __future__ import annotations

import argparse
import re
from fractions import Fraction

from edgedeblur import ExitCode, Failure
from runtime.live.lost_options import LostOptions
from runtime.live.status import Status
from runtime.live.supervised import supervised
from runtime.run_report import say
from runtime.sessions.engine_rebuild import REBUILD
from runtime.sessions.models import ModelOptions
from runtime.sources.address import without_credentials
from runtime.sources.source import SourceOptions, frames_of

MOST_THREADS = 1024
LONGEST_S = 86400  # a day between two lines of --stats
SLOWEST, FASTEST = Fraction(1, 1000), 1000  # frames a second
RATES = "expected e.g. 30, 29.97 or 30000/1001"


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Which network, and how many cores it gets."""
    parser.add_argument(
        "--model",
        default="auto",
        help="an .engine or .onnx file, or edge-n or edge-s as shipped; auto (the default): an engine of theirs for "
        "this GPU if one is there, else edge-n in the form this machine runs",
    )
    parser.add_argument(
        "--rebuild",
        choices=REBUILD,
        default="auto",
        help="an engine for another machine or version: auto (the default) builds it again from its ONNX file, never "
        "refuses it",
    )
    parser.add_argument("--threads", type=_threads, default=0, help="cores for ONNX Runtime; 0 (the default): all")


def model_options(args: argparse.Namespace) -> ModelOptions:
    """What the command line says of the model."""
    return ModelOptions(args.model, args.threads, args.rebuild)


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that sources understand."""
    parser.add_argument("--input-width", type=positive, help="capture width of a camera, pixels")
    parser.add_argument("--input-height", type=positive, help="capture height of a camera, pixels")
    parser.add_argument("--input-rate", type=rate, help="capture rate of a camera, playing speed of pictures, frames/s")
    parser.add_argument(
        "--input-codec", type=str.lower, help="form in which a V4L2 camera sends: mjpeg, yuyv, nv12 and the like"
    )
    parser.add_argument(
        "--input-control",
        type=control,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a control of a V4L2 camera, e.g. exposure_time_absolute=50; may be given again",
    )
    parser.add_argument(
        "--rtsp-transport", choices=("tcp", "udp"), default="tcp", help="how an rtsp:// stream travels (default: tcp)"
    )


def source_options(args: argparse.Namespace) -> SourceOptions:
    """What the command line asks of a source. Raises: Failure (USAGE) for half a size."""
    if (args.input_width is None) != (args.input_height is None):
        raise Failure("--input-width and --input-height go together; give both or neither")
    return SourceOptions(
        args.input_height,
        args.input_width,
        args.input_rate,
        args.input_codec,
        tuple(args.input_control),
        args.rtsp_transport,
    )


def first_size(uri: str, options: SourceOptions, lost: LostOptions | None = None) -> tuple[int, int]:
    """(height, width) of the first frame of a source, which is opened for it and closed. Raises: as the source does."""
    for frame in frames_of(supervised(uri, options, lost or LostOptions(), Status(), say)):
        return frame.size
    raise Failure(f"'{without_credentials(uri)}' gives no frame", ExitCode.SOURCE)


def positive(text: str) -> int:
    """A whole number from 1 on."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def seconds(text: str) -> float:
    """A time above 0 and of at most a day."""
    value = float(text)
    if not 0 < value <= LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most {LONGEST_S}")
    return value


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def rate(text: str) -> Fraction:
    """Frames a second, as a number or a fraction."""
    # Without an exponent: Fraction would work 1e999999999 out to the last digit.
    if not re.fullmatch(r"[\d.]+(/\d+)?", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a rate; {RATES}")
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"'{text}' is not a rate; {RATES}") from None
    if not SLOWEST <= value <= FASTEST:
        raise argparse.ArgumentTypeError(f"{text} is not from {float(SLOWEST)} to {FASTEST} frames/s")
    return value


def control(text: str) -> tuple[str, int]:
    """NAME=VALUE of a camera's control."""
    parts = re.fullmatch(r"([a-z0-9_]+)=(-?\d{1,18})", text)
    if not parts:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE with a whole number, e.g. brightness=128")
    return parts[1], int(parts[2])


def _threads(text: str) -> int:
    value = int(text)
    if not 0 <= value <= MOST_THREADS:
        raise argparse.ArgumentTypeError(f"{value} is not from 0 to {MOST_THREADS}")
    return value
