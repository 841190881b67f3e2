"""Opening: from a route and the options of a run to a stream that is ready to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgedeblur import Failure
from runtime.live.routes import Route
from runtime.live.status import Controls, Status
from runtime.live.stream import Stream
from runtime.measure.ticker import Ticker
from runtime.measure.timing import Delivery, Timing
from runtime.pipeline import Pipeline, PipelineOptions
from runtime.sessions.session import Session
from runtime.sinks.sink import Sink, SinkOptions, open_sink
from runtime.sources.source import Source, SourceOptions, open_source


@dataclass(frozen=True)
class StreamOptions:
    """What the user asks of every stream of a run."""

    source: SourceOptions
    drop: str | None = None  # latest | all; None: what fits the source
    frames: int | None = None  # stop after so many
    force: bool = False  # write over outputs that are there
    stats_s: float | None = None  # seconds between two lines for people
    view: str = "output"
    strength: float = 1.0


def open_stream(
    route: Route, session: Session, model: str, options: StreamOptions, launched_ns: int, say: Callable[[str], None]
) -> Stream:
    """Open a route's source and outputs. model: the session in words.

    Raises: Failure as the source and the outputs do; nothing is left open then.
    """
    source = open_source(route.input, options.source)
    try:
        latest = _newest_wins(options.drop, source)
        sinks = _open_sinks(route.outputs, source, options)
        timing, controls = Timing(launched_ns), Controls(options.view, options.strength)
        watchers: list[Callable[[Delivery], None]] = []
        if options.stats_s:
            watchers.append(Ticker(options.stats_s, timing).watch)
        how = PipelineOptions(latest, options.frames, watchers=watchers, controls=controls, say=say)
        pipeline = Pipeline(source, session, sinks, timing, how)
        return Stream(route.name, model, pipeline, timing, Status(), controls)
    except BaseException:
        source.close()
        raise


def _open_sinks(uris: tuple[str, ...], source: Source, options: StreamOptions) -> list[Sink]:
    wanted = SinkOptions(options.force, source.frame_rate, source.time_base, source.inputs)
    return [open_sink(uri, wanted) for uri in uris]


def _newest_wins(drop: str | None, source: Source) -> bool:
    if drop == "latest" and not source.live:
        raise Failure("--drop latest is for cameras: frames of a file come as fast as they are read; use --drop all")
    return source.live if drop is None else drop == "latest"
