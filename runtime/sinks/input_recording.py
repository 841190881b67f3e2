"""InputRecording: what the camera gave, recorded in step with what went out, for `--input-save`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from edgedeblur import Failure
from runtime.frame import STAND_INS
from runtime.measure.timing import Delivery
from runtime.sinks.sink import VIDEO_SUFFIXES, SinkOptions
from runtime.sinks.video_sink import VideoSink


class InputRecording:
    """A watcher of the pipeline: the input of each frame that went out, at the very same time, in a video of its own.

    Pictures that stood in for a lost camera are not its frames and are left out; the times of the others stay.
    """

    def __init__(self, path: Path, options: SinkOptions) -> None:
        """options: the same as those of the outputs.

        Raises: Failure as VideoSink, (USAGE) for a name that is no video's.
        """
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            raise Failure(
                f"--input-save '{path}' is no video; expected a name that ends in {' or '.join(VIDEO_SUFFIXES)}"
            )
        self._path, self._options = path, options
        self._sink = VideoSink(path, options)
        self._failed: Failure | None = None

    def __call__(self, item: Delivery) -> None:
        """Record the input of a delivered frame.

        Raises: Failure as VideoSink.write; in a camera's run it is told and raised by `close`, since the outputs go on.
        """
        if self._failed is not None:
            return
        try:
            if item.how in STAND_INS:
                self._sink.leave_out(item.frame)
            else:
                self._sink.write(item.frame.image, item.frame)
        except Failure as failure:
            if not self._options.live:
                raise
            self._failed = failure
            with suppress(Failure, OSError):  # what closing has to say is what writing said
                self._sink.close()
            self._options.say(f"the recording of the input was given up, the outputs go on: {failure}")

    def close(self) -> None:
        """Finish the file. Raises: the Failure that ended it earlier, or Failure (ENVIRONMENT) as VideoSink.close."""
        if self._failed is not None:
            raise self._failed
        self._sink.close()

    def describe(self) -> str:
        """One line for people, once closed."""
        return f"input as it came: {self._sink.describe()}"
