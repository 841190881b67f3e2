"""What `run` tells at its end: notes on stderr, the summary on stdout, for people or as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.live.stream import Stream
from runtime.measure.summary import summarize, summary_text


def report(streams: Sequence[Stream], as_json: bool) -> None:
    """Print what was measured of each stream; also after a failure, for the frames before it.

    Raises: BrokenPipeError when nobody reads it, Failure (ENVIRONMENT) on a full disk.
    """
    several = len(streams) > 1
    for stream in streams:
        _say_notes(stream, f"{stream.name}: " if several else "")
    # For people a stream without a frame is told by its error; who reads JSON looks for every stream.
    summaries = [summary_of(stream) for stream in streams if stream.timing.by_how or (as_json and several)]
    if not summaries:
        return
    if as_json:
        _print(json.dumps({"streams": summaries} if several else summaries[0], indent=2))
    else:
        _print("\n\n".join(map(summary_text, summaries)))


def summary_of(stream: Stream) -> dict[str, Any]:
    """Everything a run measured of one stream, as JSON can hold it."""
    pipeline = stream.pipeline
    live = pipeline.source.live
    about = {
        "stream": stream.name,
        "source": pipeline.source.describe(),
        "model": stream.model,
        "policy": "newest frame wins" if pipeline.latest_wins else "no frame is lost",
        "mode": "paced by the source" if live else "saturated: frames back to back",
        "outputs": [output.describe() for output in stream.outputs],
        "reconnects": stream.status.reconnects,
        "by_how": dict(stream.timing.by_how),
        "steering": stream.steering.counts() if stream.steering else {},
    }
    return summarize(pipeline, stream.timing, about)


def say(text: str) -> None:
    """A line for people, who may not be reading stdout. Where it cannot be written the run goes on without it."""
    with suppress(OSError):  # a full disk, a pipe that nobody reads
        print(text, file=sys.stderr, flush=True)


def _say_notes(stream: Stream, who: str) -> None:
    source = stream.pipeline.source
    for note in source.notes:
        say(f"note: {who}{note}")
    if source.corrupt:
        say(f"note: {who}{source.corrupt} damaged frames were left out")
    if stream.pipeline.capture_hung:
        say(f"note: {who}the source did not answer the stop and was left behind")


def _print(text: str) -> None:
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
