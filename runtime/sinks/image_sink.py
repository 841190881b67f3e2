"""ImageSink: one picture file a frame, each whole or not there at all."""

from __future__ import annotations

import io
import re
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, Image
from runtime.sinks.output_path import cannot_write, check_output, is_one_of, make_folder
from runtime.sinks.sink import NUMBER, SinkOptions

SUFFIXES = (".png", ".jpg", ".jpeg")
JPEG_QUALITY = 2  # FFmpeg's scale, 2 (best) to 31


class ImageSink:
    """Pictures in one folder: numbered by a pattern, or in `folder/` under the names they came with."""

    any_size = True

    def __init__(self, pattern: str, options: SinkOptions) -> None:
        """pattern: `folder/%06i.png`, or `folder/`.

        Raises: Failure (USAGE) for another form or a folder that holds such pictures already (without force) or is
        read, (ENVIRONMENT) for one that cannot be written.
        """
        path = Path(pattern)
        self._pattern = "" if pattern.endswith("/") or path.is_dir() else path.name
        self._folder = path.parent if self._pattern else path
        self._options = options
        self._suffix = path.suffix.lower() if self._pattern else ".png"
        if self._suffix not in SUFFIXES:
            raise Failure(f"output '{pattern}' has no known picture format; expected one of: {' '.join(SUFFIXES)}")
        if self._pattern and len(NUMBER.findall(self._pattern)) != 1:
            raise Failure(f"output '{pattern}' holds more than one number; expected one, as in frames/%06i.png")
        self._check_folder()
        self._written: set[str] = set()
        self._count = 0

    def write(self, picture: Image, frame: Frame) -> None:
        """Encode (H, W, 3) uint8 BGR and put it in place in one step.

        Raises: Failure (ENVIRONMENT) when it cannot be written; no part of it is left behind.
        """
        target = self._folder / self._name(frame)
        partial = target.with_name(f".{target.name}.part")
        try:
            partial.write_bytes(encode_image(picture, self._suffix))
            partial.replace(target)
        except OSError as error:
            with suppress(OSError):  # a disk that has become read-only keeps it
                partial.unlink(missing_ok=True)
            kept = f"the {self._count} pictures before it are whole; "
            raise cannot_write(target, error, kept) from error
        self._count += 1

    def close(self) -> None:
        pass

    def describe(self) -> str:
        return f"{self._folder}/: {self._count} pictures ({self._suffix[1:]})"

    def _name(self, frame: Frame) -> str:
        if self._pattern:
            return _numbered(self._pattern, frame.index)
        name = f"{Path(frame.name).stem if frame.name else f'{frame.index:06d}'}{self._suffix}"
        if name in self._written:  # a.png and a.jpg came from one folder
            name = f"{Path(name).stem}-{frame.index:06d}{self._suffix}"
        if frame.name:
            self._written.add(name)
        return name

    def _check_folder(self) -> None:
        if self._folder.exists() and not self._folder.is_dir():
            raise Failure(f"output folder '{self._folder}' is a file; give another name", ExitCode.ENVIRONMENT)
        if is_one_of(self._folder, self._options.inputs):
            raise Failure(f"output folder '{self._folder}' is also the input; give another one")
        there = self._in_the_way()
        if there is not None and not self._options.force:
            raise Failure(f"'{there}' is there already; give another folder, or --force to write over such pictures")
        make_folder(self._folder)
        check_output(self._folder / ".edgedeblur.part", True, ())

    def _in_the_way(self) -> Path | None:
        """A picture that has a name this sink may write."""
        if not self._folder.exists():
            return None
        # Not by a glob: a `[` or `*` in the pattern is part of the name.
        before, _, after = NUMBER.split(self._pattern) if self._pattern else ("", "", self._suffix)
        form = re.compile(re.escape(before) + (r" *\d+" if self._pattern else ".*") + re.escape(after), re.DOTALL)
        return next((path for path in self._folder.iterdir() if form.fullmatch(path.name)), None)


def encode_image(picture: Image, suffix: str) -> bytes:
    """(H, W, 3) uint8 BGR as the bytes of a .png (lossless) or .jpg file."""
    import av

    png = suffix == ".png"
    buffer = io.BytesIO()
    # These two containers hold exactly one picture: the encoder's packet is the file.
    codec = av.CodecContext.create("png" if png else "mjpeg", "w")
    frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(
        format="rgb24" if png else "yuvj444p", **({} if png else {"dst_colorspace": 5, "dst_color_range": 2})
    )
    codec.height, codec.width, codec.pix_fmt = picture.shape[0], picture.shape[1], frame.format.name
    codec.time_base = Fraction(1)
    codec.options = {"compression_level": "3"} if png else {"qmin": "1", "qmax": str(JPEG_QUALITY)}
    for packet in [*codec.encode(frame), *codec.encode(None)]:
        buffer.write(bytes(packet))
    return buffer.getvalue()


def _numbered(pattern: str, index: int) -> str:
    return NUMBER.sub(lambda form: f"{index:{form[1] or '0'}d}", pattern)
