"""`edgedeblur run INPUT [OUTPUT…]`: camera, video or pictures in, sharp frames out."""

from __future__ import annotations

import argparse
from contextlib import ExitStack, suppress

from edgedeblur import ExitCode, Failure
from runtime.frame import now_ns
from runtime.live.opening import StreamOptions, open_stream
from runtime.live.routes import Route, routes_of
from runtime.live.shared_session import SharedSession
from runtime.live.stream import Stream
from runtime.live.streams import run_streams
from runtime.run_options import (
    add_model_arguments,
    add_source_arguments,
    first_size,
    model_options,
    positive,
    seconds,
    share,
    source_options,
)
from runtime.run_report import report, say
from runtime.sessions.models import open_session
from runtime.sessions.session import Session
from runtime.sinks import sink as sinks
from runtime.sources import source as sources
from runtime.stop import Stop, stop_on_signals
from runtime.views import VIEWS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edgedeblur run`."""
    parser.formatter_class = argparse.HelpFormatter  # the defaults are said in words where there are any
    parser.add_argument("input", help=sources.SCHEMES)
    parser.add_argument(
        "output", nargs="*", default=["null://"], help=f"{sinks.SCHEMES} (the default)".replace("%", "%%")
    )
    parser.add_argument(
        "--also",
        nargs="+",
        action="append",
        default=[],
        metavar=("INPUT", "OUTPUT"),
        help="another input with its outputs, at the same time and through the same network; may be given again",
    )
    add_model_arguments(parser)
    parser.add_argument(
        "--view", choices=VIEWS, default="output", help="what is shown of input and output (default: output)"
    )
    parser.add_argument(
        "--strength", type=share, default=1.0, help="0: the input, 1: the network's output (the default), or a blend"
    )
    parser.add_argument(
        "--drop",
        choices=("latest", "all"),
        help="latest: the newest frame wins; all: no frame is lost (default: latest for cameras, all for files)",
    )
    parser.add_argument("--frames", type=positive, help="stop after so many frames")
    parser.add_argument("--force", action="store_true", help="write over outputs that are there")
    parser.add_argument("--stats", type=seconds, metavar="SECONDS", help="print a line every so often")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on stdout")
    add_source_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Deblur from the inputs to the outputs and print the summary.

    Raises: Failure as the sources, the model and the outputs do.
    """
    launched_ns, stop = now_ns(), Stop()
    routes = routes_of(args.input, args.output, args.also)
    options = _stream_options(args)
    with ExitStack() as opened:
        # The model comes first: an engine warms up for seconds, in which a camera would pile up old frames. Until it is
        # there a signal ends everything at once, since there is nothing to finish.
        session, why = open_session(model_options(args), lambda: first_size(args.input, options.source))
        opened.callback(session.close)
        opened.enter_context(stop_on_signals(stop))
        for note in session.notes:
            say(f"note: {note}")
        streams = _open_streams(routes, session, f"{session.describe()} ({why})", options, launched_ns)
        try:
            run_streams(streams, stop, say)
        except BaseException:
            with suppress(OSError, Failure):  # why the run failed is told even where the summary cannot be
                report(streams, args.json)
            raise
        report(streams, args.json)
    return ExitCode.INTERRUPTED if stop.signal_name else ExitCode.OK


def _open_streams(
    routes: list[Route], session: Session, model: str, options: StreamOptions, launched_ns: int
) -> list[Stream]:
    """Open every route; each pipeline closes its own source later. Raises: Failure, with nothing left open."""
    shared = SharedSession(session) if len(routes) > 1 else None
    streams: list[Stream] = []
    with ExitStack() as opened:
        for route in routes:
            lane = shared.lane() if shared else None
            stream = open_stream(route, lane or session, model, options, launched_ns, say)
            opened.callback(stream.pipeline.source.close)
            if lane:
                stream.release = lane.close
            say(f"{stream.pipeline.source.describe()} → {model} → {', '.join(route.outputs)}")
            streams.append(stream)
        opened.pop_all()
    return streams


def _stream_options(args: argparse.Namespace) -> StreamOptions:
    return StreamOptions(source_options(args), args.drop, args.frames, args.force, args.stats, args.view, args.strength)
