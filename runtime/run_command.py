"""`edgedeblur run INPUT [OUTPUT…]`: camera, video or pictures in, sharp frames out."""

from __future__ import annotations

import argparse
import functools
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from edgedeblur import ExitCode, Failure
from runtime.frame import now_ns
from runtime.live.lost_options import add_lost_arguments, lost_options
from runtime.live.networks import Networks
from runtime.live.opening import PAGE, Run, StreamOptions, open_stream
from runtime.live.routes import Route, routes_of
from runtime.live.service import Service, at_work, status_text
from runtime.live.stream import Stream
from runtime.live.streams import run_streams
from runtime.measure.telemetry import read_telemetry
from runtime.page.page_options import add_page_arguments, page_options
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
from runtime.sinks import sink as sinks
from runtime.sinks.rtsp_address import shown_output
from runtime.sinks.sink import SinkOptions
from runtime.sources import source as sources
from runtime.steering.steering import add_steering_arguments, steering_options
from runtime.stop import Stop, stop_on_signals
from runtime.views import VIEWS

if TYPE_CHECKING:
    from runtime.page.page import Page


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
    add_lost_arguments(parser)
    add_steering_arguments(parser)
    _add_recording_arguments(parser)
    add_page_arguments(parser)


def _add_recording_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input-save",
        metavar="FILE",
        default="",
        help="record what comes in, in step with the outputs; here and in outputs {name} is the stream's name and "
        "{time} the moment of the start",
    )
    parser.add_argument(
        "--output-split", type=seconds, metavar="MINUTES", help="begin a new video file after so many minutes"
    )
    parser.add_argument(
        "--output-encoder",
        default="auto",
        help="of videos and streams: auto (the default) takes the best that works here, or FFmpeg's name of one",
    )
    parser.add_argument("--bitrate", type=positive, help="bits a second of videos and streams (default: by quality)")


def run(args: argparse.Namespace) -> int:
    """Deblur from the inputs to the outputs and print the summary.

    Raises: Failure as the sources, the model and the outputs do.
    """
    this = Run(now_ns(), Stop(), say)
    routes = routes_of(args.input, args.output, args.also, args.input_save)
    options = _stream_options(args)
    with ExitStack() as opened:
        pages = _open_pages(routes, args.preview_token, opened)
        # The model comes first: an engine warms up for seconds, in which a camera would pile up old frames. Until it is
        # there a signal ends everything at once, since there is nothing to finish.
        size = functools.partial(first_size, args.input, options.source, options.lost)
        networks = Networks(model_options(args), len(routes), size)
        opened.callback(networks.close)
        opened.enter_context(stop_on_signals(this.stop))
        for note in networks.main.notes:
            say(f"note: {note}")
        streams = _open_streams(routes, networks, options, pages, this)
        try:
            _run(streams, this)
        except BaseException:
            with suppress(OSError, Failure):  # why the run failed is told even where the summary cannot be
                report(streams, args.json)
            raise
        report(streams, args.json)
    return ExitCode.INTERRUPTED if this.stop.signal_name else ExitCode.OK


def _run(streams: list[Stream], this: Run) -> None:
    service = Service()
    service.ready(status_text(streams))
    with service.watched(lambda: at_work(streams), lambda: status_text(streams)):
        run_streams(streams, this.stop, say)
    service.stopping()


def _open_pages(routes: list[Route], token: str | None, opened: ExitStack) -> dict[str, Page]:
    """The pages among the outputs, by their URI. Raises: Failure for an address that cannot be had."""
    pages: dict[str, Page] = {}
    for uri in sorted({uri for route in routes for uri in route.outputs if uri.startswith(PAGE)}):
        from runtime.page.page import Page

        pages[uri] = Page(page_options(uri, token), read_telemetry, say)
        opened.callback(pages[uri].close)
        say(pages[uri].invitation())
    return pages


def _open_streams(
    routes: list[Route], networks: Networks, options: StreamOptions, pages: dict[str, Page], this: Run
) -> list[Stream]:
    """Open every route; each pipeline closes its own source later. Raises: Failure, with nothing left open."""
    streams: list[Stream] = []
    with ExitStack() as opened:
        for route in routes:
            # Of several streams, each says who it is.
            tell = functools.partial(_tell, route.name) if len(routes) > 1 else say
            stream = open_stream(route, networks, options, pages, replace(this, say=tell))
            opened.callback(stream.pipeline.close)
            outputs = ", ".join(map(shown_output, route.outputs))
            say(f"{stream.pipeline.source.describe()} → {networks.text} → {outputs}")
            if stream.steering and (steering := stream.steering.describe()):
                tell(f"steering: {steering}")
            streams.append(stream)
        opened.pop_all()
    return streams


def _tell(name: str, text: str) -> None:
    say(f"{name}: {text}")


def _stream_options(args: argparse.Namespace) -> StreamOptions:
    """What the command line asks of every stream. Raises: Failure (USAGE) for options that contradict each other."""
    split_s = args.output_split * 60 if args.output_split else None
    return StreamOptions(
        source_options(args),
        lost_options(args),
        steering_options(args),
        SinkOptions(args.force, encoder=args.output_encoder, bitrate=args.bitrate, split_s=split_s),
        args.drop,
        args.frames,
        args.stats,
        args.view,
        args.strength,
    )
