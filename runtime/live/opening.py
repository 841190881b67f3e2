"""Opening: from a route and the options of a run to a stream that is ready to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur import Failure
from runtime.live.lost_options import LostOptions
from runtime.live.networks import Networks
from runtime.live.routes import Route
from runtime.live.status import Controls, Status
from runtime.live.stream import Stream
from runtime.live.supervised import supervised
from runtime.measure.ticker import Ticker
from runtime.measure.timing import Delivery, Timing
from runtime.pipeline import Pipeline, PipelineOptions
from runtime.sinks.input_recording import InputRecording
from runtime.sinks.sink import NullSink, Sink, SinkOptions, open_sink
from runtime.sources.source import Source, SourceOptions
from runtime.steering.steering import SteeringOptions
from runtime.stop import Stop
from runtime.views import VIEWS

if TYPE_CHECKING:
    from runtime.page.page import Page

PAGE = "http://@"


@dataclass(frozen=True)
class Run:
    """What all streams of a run have in common."""

    launched_ns: int  # CLOCK_MONOTONIC
    stop: Stop
    say: Callable[[str], None]  # for lines that people read while it runs


@dataclass(frozen=True)
class StreamOptions:
    """What the user asks of every stream of a run."""

    source: SourceOptions = field(default_factory=SourceOptions)
    lost: LostOptions = field(default_factory=LostOptions)
    steering: SteeringOptions = field(default_factory=SteeringOptions)
    sink: SinkOptions = field(default_factory=SinkOptions)  # what the source knows is filled in
    drop: str | None = None  # latest | all; None: what fits the source
    frames: int | None = None  # stop after so many
    stats_s: float | None = None  # seconds between two lines for people
    view: str = "output"
    strength: float = 1.0


def open_stream(
    route: Route, networks: Networks, options: StreamOptions, pages: Mapping[str, Page], run: Run
) -> Stream:
    """Open a route's source and outputs. pages: those among the outputs, by their URI.

    Raises: Failure as the source and the outputs do; nothing is left open then.
    """
    status, controls, timing = Status(), Controls(options.view, options.strength), Timing(run.launched_ns)
    with ExitStack() as opened:
        source = supervised(route.input, options.source, options.lost, status, run.say, run.stop)
        opened.callback(source.close)
        latest = _newest_wins(options.drop, source)
        steering = networks.steered(options.steering, run.say)
        opened.callback(steering.session.close)
        if not latest:
            steering.keep_all()
        wanted = _sink_options(options.sink, source, run.say)
        sinks: list[Sink] = []
        for uri in route.outputs:
            if not uri.startswith(PAGE):
                sinks.append(open_sink(uri, wanted))
                opened.callback(sinks[-1].close)
        watchers: list[Callable[[Delivery], None]] = []
        how = PipelineOptions(
            latest, options.frames, watchers=watchers, admit=steering.admit, controls=controls, say=run.say
        )
        # The page watches and is no sink. It is an output, though, that goes on where the others fail.
        shown = [NullSink() for uri in route.outputs if uri in pages]
        pipeline = Pipeline(source, steering.session, [*sinks, *shown], timing, how)
        stream = Stream(route.name, networks.text, pipeline, timing, status, controls, steering)
        stream.outputs += sinks
        stream.at_end.append(steering.session.close)
        if route.input_save:
            recording = InputRecording(Path(route.input_save), wanted)
            stream.outputs.append(recording)
            stream.at_end.append(recording.close)
            watchers.append(recording)
        for uri in (uri for uri in route.outputs if uri in pages):
            watchers.append(pages[uri].add(stream, _views(options.view, sinks)))
            stream.outputs.append(pages[uri])
        if options.stats_s:
            watchers.append(Ticker(options.stats_s, timing, run.say).watch)
        opened.pop_all()  # from here on the pipeline closes them
    return stream


def _sink_options(options: SinkOptions, source: Source, say: Callable[[str], None]) -> SinkOptions:
    return replace(
        options,
        frame_rate=source.frame_rate,
        time_base=source.time_base,
        inputs=source.inputs,
        live=source.live,
        say=say,
    )


def _newest_wins(drop: str | None, source: Source) -> bool:
    if drop == "latest" and not source.live:
        raise Failure("--drop latest is for cameras: frames of a file come as fast as they are read; use --drop all")
    return source.live if drop is None else drop == "latest"


def _views(view: str, sinks: Sequence[Sink]) -> Sequence[str]:
    """The views that may be chosen while it runs: a video has one size from its first frame on."""
    if all(sink.any_size for sink in sinks):
        return VIEWS
    return [each for each in VIEWS if (each == "side-by-side") == (view == "side-by-side")]
