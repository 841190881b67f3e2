"""`edgedeblur run INPUT [OUTPUT…]`: camera, video or pictures in, sharp frames out."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from contextlib import ExitStack, suppress
from fractions import Fraction
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.frame import now_ns
from runtime.live.status import Controls
from runtime.measure.summary import summarize, summary_text
from runtime.measure.ticker import Ticker
from runtime.measure.timing import Timing
from runtime.pipeline import Pipeline, PipelineOptions
from runtime.sessions.engine_rebuild import REBUILD
from runtime.sessions.models import ModelOptions, open_session
from runtime.sinks import sink as sinks
from runtime.sinks.sink import Sink, SinkOptions, open_sink, place_of
from runtime.sources import source as sources
from runtime.sources.source import Source, SourceOptions, frames_of, open_source
from runtime.stop import Stop, stop_on_signals
from runtime.views import VIEWS

MOST_THREADS = 1024
LONGEST_S = 86400  # a day between two lines of --stats
SLOWEST, FASTEST = Fraction(1, 1000), 1000  # frames a second
RATES = "expected e.g. 30, 29.97 or 30000/1001"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edgedeblur run`."""
    parser.formatter_class = argparse.HelpFormatter  # the defaults are said in words where there are any
    parser.add_argument("input", help=sources.SCHEMES)
    parser.add_argument(
        "output", nargs="*", default=["null://"], help=f"{sinks.SCHEMES} (the default)".replace("%", "%%")
    )
    add_model_arguments(parser)
    parser.add_argument(
        "--view", choices=VIEWS, default="output", help="what is shown of input and output (default: output)"
    )
    parser.add_argument(
        "--drop",
        choices=("latest", "all"),
        help="latest: the newest frame wins; all: no frame is lost (default: latest for cameras, all for files)",
    )
    parser.add_argument("--frames", type=_positive, help="stop after so many frames")
    parser.add_argument("--force", action="store_true", help="write over outputs that are there")
    parser.add_argument("--stats", type=_seconds, metavar="SECONDS", help="print a line every so often")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on stdout")
    add_source_arguments(parser)


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


def first_size(uri: str, options: SourceOptions) -> tuple[int, int]:
    """(height, width) of the first frame of a source, which is opened for it and closed. Raises: as the source does."""
    for frame in frames_of(open_source(uri, options)):
        return frame.size
    raise Failure(f"'{uri}' gives no frame", ExitCode.SOURCE)


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that sources understand."""
    parser.add_argument("--input-width", type=_positive, help="capture width of a camera, pixels")
    parser.add_argument("--input-height", type=_positive, help="capture height of a camera, pixels")
    parser.add_argument(
        "--input-rate", type=_rate, help="capture rate of a camera, playing speed of pictures, frames/s"
    )
    parser.add_argument(
        "--rtsp-transport", choices=("tcp", "udp"), default="tcp", help="how an rtsp:// stream travels (default: tcp)"
    )


def source_options(args: argparse.Namespace) -> SourceOptions:
    """What the command line asks of a source. Raises: Failure (USAGE) for half a size."""
    if (args.input_width is None) != (args.input_height is None):
        raise Failure("--input-width and --input-height go together; give both or neither")
    return SourceOptions(args.input_height, args.input_width, args.input_rate, args.rtsp_transport)


def run(args: argparse.Namespace) -> int:
    """Deblur from the input to the outputs and print the summary.

    Raises: Failure as the source, the model and the outputs do.
    """
    timing, stop = Timing(now_ns()), Stop()
    with ExitStack() as sessions, ExitStack() as opened:
        # The model comes first: an engine warms up for seconds, in which a camera would pile up old frames. Until it is
        # there a signal ends everything at once, since there is nothing to finish.
        wanted = source_options(args)
        session, why = open_session(model_options(args), lambda: first_size(args.input, wanted))
        sessions.callback(session.close)
        sessions.enter_context(stop_on_signals(stop))
        for note in session.notes:
            _say(f"note: {note}")
        source = open_source(args.input, wanted)
        opened.callback(source.close)
        outputs = _open_sinks(args.output, source, args.force)
        latest = _policy(args.drop, source)
        about = {
            "source": source.describe(),
            "model": f"{session.describe()} ({why})",
            "policy": "newest frame wins" if latest else "no frame is lost",
            "mode": "paced by the source" if source.live else "saturated: frames back to back",
        }
        _say(f"{about['source']} → {about['model']} → {', '.join(args.output)}")
        watchers = [Ticker(args.stats, timing).watch] if args.stats else []
        controls = Controls(args.view)
        options = PipelineOptions(latest, args.frames, watchers=watchers, controls=controls, say=_say)
        pipeline = Pipeline(source, session, outputs, timing, options)
        opened.pop_all()  # from here on the pipeline closes the source
        try:
            pipeline.run(stop)
        except BaseException:
            with suppress(OSError, Failure):  # why the run failed is told even where the summary cannot be
                _report(pipeline, timing, about, outputs, source, args.json)
            raise
        _report(pipeline, timing, about, outputs, source, args.json)
    return ExitCode.INTERRUPTED if stop.signal_name else ExitCode.OK


def _open_sinks(uris: list[str], source: Source, force: bool) -> list[Sink]:
    options = SinkOptions(force, source.frame_rate, source.time_base, source.inputs)
    if len({place_of(uri) for uri in uris}) < len(uris):
        raise Failure(f"the same output twice: {', '.join(uris)}; give each its own name")
    return [open_sink(uri, options) for uri in uris]


def _policy(drop: str | None, source: Source) -> bool:
    """Whether the newest frame wins."""
    if drop == "latest" and not source.live:
        raise Failure("--drop latest is for cameras: frames of a file come as fast as they are read; use --drop all")
    return source.live if drop is None else drop == "latest"


def _report(
    pipeline: Pipeline, timing: Timing, about: dict[str, Any], outputs: list[Sink], source: Source, as_json: bool
) -> None:
    """Print what was measured; also after a failure, for the frames before it."""
    for note in source.notes:
        _say(f"note: {note}")
    if source.corrupt:
        _say(f"note: {source.corrupt} damaged frames were left out")
    if pipeline.capture_hung:
        _say("note: the source did not answer the stop and was left behind")
    if not timing.delivered:
        return
    summary = summarize(pipeline, timing, {**about, "outputs": [sink.describe() for sink in outputs]})
    _print(json.dumps(summary, indent=2) if as_json else summary_text(summary))


def _print(text: str) -> None:
    """Print the summary. Raises: BrokenPipeError when nobody reads it, Failure (ENVIRONMENT) on a full disk."""
    # A file name may hold what the terminal cannot show; stderr escapes by itself.
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except OSError as error:
        # What is left in the buffer must go somewhere, or Python fails on it again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise Failure(
            f"cannot print the summary: {error.strerror}; the outputs are finished. Free some space or send it "
            "somewhere else",
            ExitCode.ENVIRONMENT,
        ) from error


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _threads(text: str) -> int:
    value = int(text)
    if not 0 <= value <= MOST_THREADS:
        raise argparse.ArgumentTypeError(f"{value} is not from 0 to {MOST_THREADS}")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most {LONGEST_S}")
    return value


def _rate(text: str) -> Fraction:
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
