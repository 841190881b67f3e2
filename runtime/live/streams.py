"""Streams: several sources at once; one that ends or dies never stops the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from edgedeblur import Failure
from runtime.live.stream import Stream
from runtime.stop import POLL_S, Stop


def run_streams(streams: Sequence[Stream], stop: Stop, say: Callable[[str], None]) -> None:
    """Run every stream to its end. say: told of one that fails while others go on.

    Raises: the first error, once all have ended.
    """
    if len(streams) == 1:  # on the main thread, which is the one that signals reach
        _run(streams[0], stop)
        return
    errors: list[BaseException] = []
    threads = [
        threading.Thread(target=_run_beside, args=(stream, stop, errors, say), name=f"stream {stream.name}")
        for stream in streams
    ]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            next(thread for thread in threads if thread.is_alive()).join(POLL_S)
    except BaseException:  # a second Ctrl-C: what is open is left as it is
        stop.set()
        raise
    if errors:
        raise errors[0]


def _run(stream: Stream, stop: Stop) -> None:
    try:
        with ExitStack() as ending:
            for last in stream.at_end:
                ending.callback(last)
            stream.pipeline.run(stop)
    except BaseException as error:
        stream.status.change("failed", str(error) or type(error).__name__)
        raise
    stream.status.change("ended")


def _run_beside(stream: Stream, stop: Stop, errors: list[BaseException], say: Callable[[str], None]) -> None:
    try:
        _run(stream, stop)
    except Failure as failure:
        errors.append(failure)
        say(f"{stream.name}: {failure}")
    except BaseException as error:
        errors.insert(0, error)  # a mistake of ours is what must be seen
        say(f"{stream.name}: {type(error).__name__}: {error}")
