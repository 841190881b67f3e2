"""Encoders of recordings: which one is taken, its bit rate, and one that breaks."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame
from runtime.sinks.encoder import Coding, candidates, working
from runtime.sinks.sink import SinkOptions, open_sink
from runtime.sinks.video_file import VideoFile
from tests.runtime.conftest import Run
from tests.runtime.recordings import SMALL, times, write


def test_an_encoder_that_is_in_ffmpeg_and_not_in_this_machine_is_passed_over() -> None:
    coding = Coding(Fraction(30), Fraction(1, 90000))
    assert working(candidates("auto"), SMALL, coding) in ("libx264", "libopenh264", "mpeg4", "h264_nvenc")
    with pytest.raises(Failure, match=r"h264_v4l2m2m cannot be used for 52x36 here.* --output-encoder ") as caught:
        working(["h264_v4l2m2m"], SMALL, coding)
    assert caught.value.code == ExitCode.ENVIRONMENT


def test_an_encoder_by_name(tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "out.mp4"), SinkOptions(frame_rate=Fraction(30), live=True, encoder="mpeg4"))
    write(sink, [0, 33.3, 70])
    sink.close()
    assert times(tmp_path / "out.mp4") == pytest.approx([0, 33.3, 70], abs=0.1)
    assert "mpeg4" in sink.describe()
    with pytest.raises(Failure, match=r"'h265' is no encoder for this output here; expected auto or one of: .*mpeg4"):
        open_sink(str(tmp_path / "two.mp4"), SinkOptions(encoder="h265"))


def test_a_bit_rate_is_kept(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 120, 160, 3), dtype=np.uint8)
    sizes = []
    for bitrate in (200_000, 2_000_000):
        path = tmp_path / f"{bitrate}.mp4"
        sink = open_sink(str(path), SinkOptions(frame_rate=Fraction(30), bitrate=bitrate))
        for index in range(90):
            sink.write(noise[index % 8], Frame(noise[index % 8], index, 0, time=Fraction(index, 30)))
        sink.close()
        sizes.append(path.stat().st_size * 8 / 3 / bitrate)
    assert all(0.5 < share < 2 for share in sizes)


class BreakingStream:
    """A video stream whose encoder fails after 10 pictures, as one of hardware does when its driver is lost."""

    def __init__(self, stream: av.VideoStream) -> None:
        self._stream, self._left = stream, 10

    def encode(self, picture: av.VideoFrame | None) -> list[Any]:
        self._left -= 1
        if self._left < 0 and picture is not None:
            raise av.error.ExternalError(-542398533, "Generic error in an external library")
        return self._stream.encode(picture)


def test_an_encoder_that_breaks_ends_the_run_and_keeps_what_was_written(
    tmp_path: Path, run: Run, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = VideoFile.__init__

    def open_breaking(self: VideoFile, *arguments: Any, **options: Any) -> None:
        opened(self, *arguments, **options)
        self._stream = BreakingStream(self._stream)  # type: ignore[assignment]

    monkeypatch.setattr(VideoFile, "__init__", open_breaking)
    code, text = run(video, tmp_path / "out.mp4")
    assert code == ExitCode.ENVIRONMENT
    assert "cannot be encoded: Generic error" in text
    assert len(times(tmp_path / "out.mp4")) == 10
