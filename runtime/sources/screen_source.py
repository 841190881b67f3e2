"""ScreenSource: what an X11 display shows, grabbed at a rate."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, now_ns, size_text
from runtime.sources.source import SourceOptions
from runtime.sources.video_io import bgr_of, quiet, reason, stream_text
from runtime.stop import Stop

if TYPE_CHECKING:
    from av.container import InputContainer

DEFAULT_RATE = Fraction(30)  # frames a second


class ScreenSource:
    """A screen or a part of one. FFmpeg waits for each picture's time and grabs it then: none waits in a buffer."""

    live = True
    inputs: tuple[Path, ...] = ()
    time_base: Fraction | None = None  # frame times are nanoseconds of our clock, not of the time of day
    corrupt = missed = superseded = 0

    def __init__(self, name: str, container: InputContainer, rate: Fraction) -> None:
        self.frame_rate: Fraction | None = rate
        self.notes: list[str] = []
        self._name = name
        self._container = container
        self._pictures = container.decode(video=0)
        self._index = 0

    def describe(self) -> str:
        return stream_text(self._name, self._container.streams.video[0], self.frame_rate)

    def read(self, stop: Stop) -> Frame | None:
        """The next frame, at its time; None once `stop` is set. Raises: Failure (SOURCE) when the display is gone."""
        import av

        if stop.is_set():
            return None
        try:
            picture = next(self._pictures)
        except (av.error.FFmpegError, OSError, StopIteration) as error:
            raise Failure(
                f"{self._name} broke after {self._index} frames: {reason(error) or 'no more pictures'}; is the X11 "
                "server still running?",
                ExitCode.SOURCE,
            ) from None
        grabbed_ns = now_ns()
        frame = Frame(bgr_of(picture), self._index, grabbed_ns)
        self._index += 1
        return frame

    def close(self) -> None:
        self._container.close()


def open_screen(uri: str, options: SourceOptions) -> ScreenSource:
    """Open screen://N[+X,Y]: screen N of $DISPLAY from (X, Y) on, of the size that is asked for, else all of it.

    Raises: Failure (USAGE) for another URI, (ENVIRONMENT) where no X11 display can be grabbed, (SOURCE) for a part that
    is not on the screen.
    """
    import av

    parts = re.fullmatch(r"screen://(\d{1,3})(?:\+(\d{1,5}),(\d{1,5}))?", uri)
    if not parts:
        raise Failure(f"'{uri}' is not a screen; expected screen://N or screen://N+X,Y, for example screen://0+100,50")
    display = f"{_display()}.{parts[1]}"
    rate = options.rate or DEFAULT_RATE
    # With the pointer: FFmpeg asks the server where it is, and without that does not notice a server that is gone.
    wanted = {"framerate": str(rate), "grab_x": parts[2] or "0", "grab_y": parts[3] or "0", "draw_mouse": "1"}
    wanted |= {"fpsprobesize": "0", "fflags": "nobuffer"}  # no looking at pictures that are old when they are shown
    if options.width and options.height:
        wanted["video_size"] = size_text((options.height, options.width))
    quiet()
    try:
        container = av.open(display, format="x11grab", options=wanted)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise Failure(
            f"{uri} cannot be grabbed from display {display}: {reason(error)}; check with `xdpyinfo -display {display}`"
            " that it runs, that it may be used (xauth) and that the part asked for is on it",
            ExitCode.SOURCE,
        ) from error
    return ScreenSource(uri, container, rate)


def _display() -> str:
    """The X11 server in use, without a screen. Raises: Failure (ENVIRONMENT) where there is none."""
    if os.environ.get("WAYLAND_DISPLAY"):
        raise Failure(
            "this is a Wayland session, which shows its screen to no grabber; log in to an Xorg (X11) session, or "
            "unset WAYLAND_DISPLAY if DISPLAY names an X11 server of its own",
            ExitCode.ENVIRONMENT,
        )
    display = os.environ.get("DISPLAY", "")
    if not display:
        raise Failure(
            "there is no screen: DISPLAY is not set; for that of the person logged in here try DISPLAY=:0, and for a "
            "virtual one: Xvfb :7 & DISPLAY=:7",
            ExitCode.ENVIRONMENT,
        )
    return re.sub(r"(:\d+)\.\d+$", r"\1", display)
