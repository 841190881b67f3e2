"""VideoFile: one file of a recording, playable up to half a second before a kill, and an ordinary file once closed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from edgedeblur import ExitCode, Failure
from runtime.frame import Image, size_text
from runtime.sinks.encoder import Coding, Converter, configure
from runtime.sinks.guarded_file import GuardedFile
from runtime.sinks.output_path import cannot_write
from runtime.sources.video_io import quiet

if TYPE_CHECKING:
    import av

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
# Pieces of half a second, each playable at once and written when it is whole (where the power fails, what the operating
# system had not put on the disk is lost, some 30 s by Linux's defaults). MP4 is made an ordinary file at the end; until
# then it keeps an index in memory, of about 85 bytes a frame (9 MiB an hour at 30 frames/s).
PIECE_S = 0.5
MUXING = {
    # Without `delay_moov`, which leaves files broken in FFmpeg up to 8.0; so the first frame is always at 0.
    "mp4": {"movflags": "hybrid_fragmented", "frag_duration": str(round(PIECE_S * 1e6))},
    "matroska": {"cluster_time_limit": str(round(PIECE_S * 1e3)), "flush_packets": "1"},
}
KEYFRAME_S = 1.0  # between two places where a player can start


class VideoFile:
    """Pictures of one size into one file."""

    def __init__(self, path: Path, size: tuple[int, int], encoder: str, coding: Coding, new: bool = False) -> None:
        """size: (height, width) in pixels. new: never over a file that is there.

        Raises: Taken where it is not ours to write, Failure (ENVIRONMENT) when it cannot be opened.
        """
        import av

        quiet()
        self.path, self.size, self.encoder, self.frames = path, size, encoder, 0
        self._coding = coding
        self._convert = Converter()
        try:
            self._file = GuardedFile(path, new)
        except OSError as error:
            raise cannot_write(path, error) from error
        kind = FORMATS[path.suffix.lower()]
        self._container = av.open(self._file, "w", format=kind, options=MUXING.get(kind, MUXING["mp4"]))
        self._stream = cast("av.VideoStream", self._container.add_stream(encoder, rate=coding.rate))
        self._stream.time_base = coding.time_base  # older PyAV sets the encoder's, too
        configure(self._stream.codec_context, encoder, size, coding)
        self._key_s = -KEYFRAME_S  # when the last keyframe was

    def write(self, picture: Image, tick: int) -> None:
        """Encode (H, W, 3) uint8 BGR at `tick`, in units of the time base.

        Raises: Failure (ENVIRONMENT) when the disk is full, the file was deleted or it cannot be encoded.
        """
        coded = self._convert(picture)
        coded.pts, coded.time_base = tick, self._coding.time_base
        if tick * self._coding.time_base - self._key_s >= KEYFRAME_S:  # by time: a camera may be slower than it says
            coded.pict_type = 1  # intra
        self._mux(coded)
        self.frames += 1
        if self._file.removed:
            raise Failure(
                f"'{self.path}' was deleted while it was written, and with it what it held; choose another place",
                ExitCode.ENVIRONMENT,
            )

    def close(self) -> None:
        """Finish the file. Raises: Failure (ENVIRONMENT) when what was left could not be written."""
        try:
            if self._file.error is None:
                self._mux(None)
        finally:
            self._container.close()
            self._file.close()
        self._raise_disk_error()

    def describe(self) -> str:
        """One line for people."""
        padded = " (last row or column doubled: H.264 needs even sides)" if any(n % 2 for n in self.size) else ""
        return f"{self.path}: {self.frames} frames of {size_text(self.size)}{padded}, {self.encoder}"

    def _mux(self, picture: av.VideoFrame | None) -> None:
        import av

        try:
            for packet in self._stream.encode(picture):
                packet.duration = round(1 / self._coding.rate / packet.time_base)  # of the last frame: nothing follows
                if packet.is_keyframe and packet.pts is not None:
                    self._key_s = float(packet.pts * packet.time_base)
                self._container.mux(packet)
        except (av.error.FFmpegError, OSError) as error:
            self._raise_disk_error()
            raise Failure(f"'{self.path}' cannot be encoded: {error.strerror}", ExitCode.ENVIRONMENT) from error
        self._raise_disk_error()

    def _raise_disk_error(self) -> None:
        if self._file.error is not None:
            kept = "what was written before stays playable, but for the last second; "
            raise cannot_write(self.path, self._file.error, kept) from self._file.error
