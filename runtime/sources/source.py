"""Sources: what frames come from, and which one a URI means."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame
from runtime.reaching import reaching
from runtime.sources.address import scheme_of, without_credentials
from runtime.stop import Stop

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
SCHEMES = (
    "file.mp4, a folder or a glob of pictures, /dev/videoN, v4l2:///dev/videoN, csi://N, rtsp://HOST/…, "
    "http://HOST/….mjpg, gst://PIPELINE, screen://0, test://WxH[@FPS]"
)


class Source(Protocol):
    """Where frames come from."""

    live: bool  # a camera: frames come whether we are ready or not
    frame_rate: Fraction | None  # frames a second, where the source says
    time_base: Fraction | None  # the unit of the source's own clock in seconds, so that a file can keep exact times
    inputs: tuple[Path, ...]  # files and folders it reads: nothing may be written over them
    corrupt: int  # frames that could not be decoded so far
    missed: int  # frames that the camera counted and that never reached us (gaps in its sequence numbers)
    superseded: int  # whole frames that a driver or a pipeline before us held when a newer one was there
    notes: list[str]  # what the user should know once it has been read

    def describe(self) -> str:
        """One line for people, without credentials."""
        ...

    def read(self, stop: Stop) -> Frame | None:
        """The next frame; None at the end or once `stop` is set.

        Raises: Failure (SOURCE) when the source breaks.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class SourceOptions:
    """What the user may ask of a source; each source takes what it understands."""

    height: int | None = None  # pixels; a camera's capture size
    width: int | None = None
    rate: Fraction | None = None  # frames a second: a camera's capture rate; the playing speed of pictures
    codec: str | None = None  # the form a camera sends: mjpeg | yuyv | nv12 | …; None takes the best it has
    controls: tuple[tuple[str, int], ...] = ()  # of a V4L2 camera: (name, value), set before the first frame
    rtsp_transport: str = "tcp"  # tcp | udp
    timeout_s: float = 5.0  # to open a network source, and between two of its frames


def open_source(uri: str, options: SourceOptions | None = None) -> Source:
    """Open what `uri` names.

    Raises: Failure (USAGE) for a URI that means nothing here, (SOURCE) for one that cannot be opened or read,
    (ENVIRONMENT) where a permission or a package is missing.
    """
    # Imported here: each needs PyAV or renders a scene, and `import runtime.sources.source` must cost nothing.
    options = options or SourceOptions()
    if uri.isdigit():
        raise Failure(
            f"'{uri}' could mean several cameras; write csi://{uri} for a camera on a Jetson's camera connector, "
            f"/dev/video{uri} for a USB or V4L2 camera"
        )
    scheme, rest = scheme_of(uri)
    if scheme and scheme != "file":
        return _open_scheme(scheme, f"{scheme}://{rest}", options)
    if re.fullmatch(r"/dev/(video\d+|v4l/.+)", uri):
        return _open_scheme("v4l2", f"v4l2://{uri}", options)
    path = rest
    if not path:
        raise Failure(f"input '{uri}' has no name; expected one of: {SCHEMES} (the current folder is .)")
    if (name := without_credentials(path)) != path and not (os.path.lexists(path) or glob.glob(path)):
        raise Failure(f"input '{name}' does not exist; expected one of: {SCHEMES}", ExitCode.SOURCE)
    with reaching(path):
        return _open_path(path, options)


def frames_of(source: Source, stop: Stop | None = None) -> Iterator[Frame]:
    """All frames of a source, one after the other; the source is closed at the end."""
    stop = stop or Stop()
    try:
        while (frame := source.read(stop)) is not None:
            yield frame
    finally:
        source.close()


def _open_scheme(scheme: str, uri: str, options: SourceOptions) -> Source:
    if scheme == "test":
        from runtime.sources.scene_source import open_scene

        return open_scene(uri)
    if scheme == "v4l2":
        from runtime.sources.v4l2_source import open_v4l2

        return open_v4l2(uri, options)
    if scheme in ("rtsp", "rtsps", "http", "https"):
        from runtime.sources.rtsp_opening import open_network

        return open_network(uri, options)
    if scheme == "screen":
        from runtime.sources.screen_source import open_screen

        return open_screen(uri, options)
    if scheme in ("csi", "gst"):
        from runtime.sources.gst_source import open_csi, open_gst

        return open_csi(uri, options) if scheme == "csi" else open_gst(uri, options)
    raise Failure(f"'{scheme}://' is not a source of this version; expected one of: {SCHEMES}")


def _open_path(path: str, options: SourceOptions) -> Source:
    from runtime.sources.image_source import is_pictures, open_images

    if is_pictures(path):
        return open_images(path, options)
    if not Path(path).exists():
        raise Failure(f"input '{path}' does not exist; expected one of: {SCHEMES}", ExitCode.SOURCE)
    from runtime.sources.video_source import open_video

    return open_video(Path(path), options)
