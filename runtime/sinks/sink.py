"""Sinks: where frames go, and which one a URI means."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from edgedeblur import Failure
from runtime.frame import Frame, Image
from runtime.reaching import reaching

NUMBER = re.compile(r"%(0?\d?\d?)[di]")  # the place and the width of the number in `frames/%06i.png`
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")
SCHEMES = (
    "file.mp4 (or .mov, .mkv), frames/%06i.png (or .jpg), a folder ending in '/', rtsp://@:8554/NAME (served here), "
    "rtsp://HOST:8554/NAME (sent there), http://@:8080 (the page), v4l2loopback:///dev/videoN, display://, null://"
)


class Sink(Protocol):
    """Where pictures go. All calls come from one thread."""

    any_size: bool  # each picture may have its own

    def write(self, picture: Image, frame: Frame) -> None:
        """Take (H, W, 3) uint8 BGR made from `frame`.

        Raises: Failure when it cannot be kept; what was written before stays.
        """
        ...

    def close(self) -> None:
        """Finish what was written; also called after a failure."""
        ...

    def describe(self) -> str:
        """One line for people, once closed: what was written and where."""
        ...


class Quit(Exception):
    """The person at the display asked to end the run."""


@dataclass(frozen=True)
class SinkOptions:
    """What sinks need to know of the run."""

    force: bool = False  # write over what is there
    frame_rate: Fraction | None = None  # the source's, in frames a second
    time_base: Fraction | None = None  # the unit of the source's clock in seconds
    inputs: Sequence[Path] = ()  # what the source reads
    live: bool = False  # a camera's run: what cannot go on as it was begins anew, and nothing waits for a slow reader
    encoder: str = "auto"  # of videos and streams: auto takes the best that works, or FFmpeg's name of one
    bitrate: int | None = None  # bits a second; None: constant quality for files, by size and rate for streams
    split_s: float | None = None  # begin a new video file after so many seconds
    say: Callable[[str], None] = lambda text: None  # told what changes while the run goes on


class NullSink:
    """Takes frames and keeps none: for measuring."""

    any_size = True

    def write(self, picture: Image, frame: Frame) -> None:
        pass

    def close(self) -> None:
        pass

    def describe(self) -> str:
        return "null://: frames were measured and not kept"


def open_sink(uri: str, options: SinkOptions | None = None) -> Sink:
    """Open what `uri` names. Files are checked now and replaced only when the first frame comes.

    Raises: Failure (USAGE) for a URI that means nothing here, a file that is there already or that is read,
    (ENVIRONMENT) for one that cannot be written.
    """
    options = options or SinkOptions()
    if uri == "null://":
        return NullSink()
    if uri.startswith("display://"):
        from runtime.sinks.display_sink import DisplaySink

        return DisplaySink(uri.removeprefix("display://"))
    if uri.startswith("v4l2loopback://"):
        from runtime.sinks.v4l2loopback_sink import V4l2LoopbackSink

        return V4l2LoopbackSink(uri, options)
    if uri.startswith(("rtsp://", "rtsps://")):
        return _open_rtsp(uri, options)
    if uri.startswith(("http://", "https://")):
        raise Failure("an http:// output is the page of a run, http://@:8080 or http://@ADDRESS:PORT, and no file")
    path = uri.removeprefix("file://")
    if "://" in path:
        from runtime.sinks.rtsp_address import shown_output

        raise Failure(f"'{shown_output(uri)}' is not an output of this version; expected one of: {SCHEMES}")
    if not path:
        raise Failure(f"output '{uri}' has no name; expected one of: {SCHEMES} (the current folder is ./)")
    with reaching(path):
        return _open_path(path, options)


def _open_rtsp(uri: str, options: SinkOptions) -> Sink:
    from runtime.sinks.rtsp_address import rtsp_address

    address = rtsp_address(uri)
    if address.served:
        from runtime.sinks.rtsp_serve import RtspServe

        return RtspServe(address, options)
    from runtime.sinks.rtsp_push import RtspPush

    return RtspPush(address, options)


def place_of(uri: str) -> str:
    """Where an output goes, the same for every spelling of one path, without user and password."""
    from runtime.sinks.rtsp_address import shown_output

    path = uri.removeprefix("file://")
    return shown_output(path) if "://" in path else os.path.realpath(path)


def _open_path(path: str, options: SinkOptions) -> Sink:
    if path.endswith("/") or Path(path).is_dir() or NUMBER.search(Path(path).name):
        from runtime.sinks.image_sink import ImageSink

        return ImageSink(path, options)
    if Path(path).suffix.lower() in VIDEO_SUFFIXES:
        from runtime.sinks.video_sink import VideoSink

        return VideoSink(Path(path), options)
    raise Failure(f"output '{path}' has no known form; expected one of: {SCHEMES}")
