"""Streams: several sources at once; one that ends or dies never stops the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

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
        threading.Thread(
            target=_run_beside, args=(stream, stop, errors, say), name=f"stream {stream.name}", daemon=True
        )
        for stream in streams
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(POLL_S)
    except BaseException:  # a second Ctrl-C: what is open is left as it is, and what hangs is not waited for
        stop.set()
        raise
    if errors:
        raise errors[0]


def _run(stream: Stream, stop: Stop) -> None:
    """Run a stream and what is called at its end. Raises: the first error of all, which the others may come of."""
    errors: list[BaseException] = []
    for step in (lambda: stream.pipeline.run(stop), *reversed(stream.at_end)):
        try:
            step()
        except BaseException as error:
            errors.append(error)
    if errors:
        stream.status.change("failed", str(errors[0]) or type(errors[0]).__name__)
        raise errors[0]
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
