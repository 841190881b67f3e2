"""Pipelines of the real GStreamer: pictures, times and drops of live ones and of files."""

from __future__ import annotations

import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.frame import Image, now_ns
from runtime.sources.gst_source import SINK, GstSource, csi_pipeline
from runtime.sources.source import SourceOptions, frames_of, open_source
from runtime.stop import Stop
from tests.runtime.conftest import Run, picture
from tests.runtime.gst_pipelines import GST, LIVE, VIDEO, opened


def test_a_live_pipeline_is_a_camera() -> None:
    source = opened(LIVE)
    assert source.live
    assert source.frame_rate == 100
    assert "96x50, 100.00 frames/s" in source.describe()
    frames = []
    for _ in range(30):
        frame = source.read(Stop())
        assert frame is not None
        assert frame.sensor_stamped
        assert 0 <= now_ns() - frame.captured_ns < 2e9
        frames.append(frame)
    source.close()
    assert {frame.size for frame in frames} == {(50, 96)}
    steps = np.diff([frame.captured_ns for frame in frames])
    assert (abs(steps / 1e7 - np.round(steps / 1e7)) < 0.01).all()  # the source's own clock, not our waking up
    assert np.median(steps) == pytest.approx(1e7, rel=0.01)


def test_a_slow_reader_gets_the_newest_and_the_rest_is_counted() -> None:
    source = opened(LIVE)
    time.sleep(0.3)  # what comes before somebody reads is neither shown nor counted
    ages, began_ns = [], now_ns()
    for _ in range(12):
        frame = source.read(Stop())
        assert frame is not None
        ages.append(now_ns() - frame.captured_ns)
        time.sleep(0.05)
    made = (now_ns() - began_ns) / 1e7
    assert max(ages) < 250e6
    assert 20 < source.superseded < made
    source.close()


def test_a_pipeline_that_reads_a_file_loses_nothing(video: Path) -> None:
    source = opened(f"gst://filesrc location={video} ! decodebin")
    assert not source.live
    frames = list(frames_of(source))
    assert [round((float(frame.image.mean()) - 20) / 4) for frame in frames] == list(range(24))
    assert [round(float(frame.time or 0) * 30) for frame in frames] == list(range(24))
    assert not any(frame.sensor_stamped for frame in frames)
    assert source.superseded == 0
    assert any("ended" in note for note in source.notes)


@pytest.mark.parametrize("form", ["I420", "NV12", "YUY2", "UYVY", "RGB", "BGR", "BGRx", "xRGB"])
def test_colours(form: str) -> None:
    colour = 0xC0, 0x80, 0x20  # BGR
    width = 36 if form in ("YUY2", "UYVY") else 35  # videotestsrc spoils the last column of odd ones
    number = f"0xff{colour[2]:02x}{colour[1]:02x}{colour[0]:02x}"
    source = opened(
        f"gst://videotestsrc num-buffers=1 pattern=solid-color foreground-color={number} ! "
        f"video/x-raw,format={form},width={width},height=22"
    )
    frame = source.read(Stop())
    assert frame is not None
    assert frame.image.shape == (22, width, 3)
    assert np.abs(frame.image.astype(int) - colour).max() <= 1
    source.close()


@pytest.mark.parametrize("colorimetry", ["bt601", "bt709", "1:4:0:0", "1:3:0:0"])
def test_colours_by_their_own_matrix_and_range(colorimetry: str) -> None:
    source = opened(
        "gst://videotestsrc num-buffers=1 pattern=solid-color foreground-color=0xff2080c0 ! "
        f"video/x-raw,format=BGR ! videoconvert ! video/x-raw,format=I420,width=64,height=48,colorimetry={colorimetry}"
    )
    frame = source.read(Stop())
    assert frame is not None
    assert np.abs(frame.image.astype(int) - (0xC0, 0x80, 0x20)).max() <= 3  # GStreamer's way there is not exact
    source.close()


def test_grey_in_limited_range() -> None:
    data = np.arange(16, 236, dtype=np.uint8).reshape(20, 11).repeat(4, 1)
    source = FedSource([GST.Buffer.new_wrapped(data.tobytes())], "GRAY8,colorimetry=2:4:7:1", (20, 44))
    frame = source.read(Stop())
    assert frame is not None
    assert frame.image[0, 0].tolist() == [0, 0, 0]
    assert frame.image[-1, -1].tolist() == [255, 255, 255]
    assert abs(int(frame.image[10, 0, 0]) - 128) < 2
    source.close()


def test_a_new_size_in_mid_stream() -> None:
    parts = [
        f"videotestsrc num-buffers=5 is-live=true ! video/x-raw,width={width},height={height},framerate=50/1 ! c."
        for height, width in ((36, 64), (51, 99))
    ]
    source = opened(f"gst://concat name=c {' '.join(parts)} c.")
    sizes = [frame.size for frame in frames_of(source)]
    assert set(sizes[: sizes.index((51, 99))]) == {(36, 64)}
    assert set(sizes[sizes.index((51, 99)) :]) == {(51, 99)}


def test_what_is_copied_from_opencv_works() -> None:
    source = opened(LIVE + " ! videoconvert ! video/x-raw,format=BGR ! appsink drop=1 max-buffers=1")
    assert source.read(Stop()) is not None
    source.close()


class FedSource(GstSource):
    """A pipeline of buffers that the test makes."""

    def __init__(self, buffers: list[Any], form: str, size: tuple[int, int]) -> None:
        self.buffers = buffers
        caps = f"video/x-raw,format={form},width={size[1]},height={size[0]},framerate=30/1"
        super().__init__("gst://fed", f"appsrc name=feed format=time caps={caps} ! {SINK}", 4.0)

    def _start(self) -> bool:
        feed = self._pipeline.get_by_name("feed")
        for buffer in self.buffers:
            feed.emit("push-buffer", buffer)
        feed.emit("end-of-stream")
        return super()._start()


def buffer_of(image: Image, channels: int, stride: int, offset: int) -> Any:
    """A buffer with lines `stride` bytes apart, the first at `offset`, and what says so."""
    data = np.full(offset + stride * len(image), 77, np.uint8)
    for line, pixels in enumerate(image):
        padded = np.full((image.shape[1], channels), 99, np.uint8)
        padded[:, :3] = pixels[:, :channels]
        data[offset + line * stride :][: padded.size] = padded.reshape(-1)
    buffer = GST.Buffer.new_wrapped(data.tobytes())
    form = {1: VIDEO.VideoFormat.GRAY8, 3: VIDEO.VideoFormat.BGR, 4: VIDEO.VideoFormat.BGRX}[channels]
    VIDEO.buffer_add_video_meta_full(
        buffer, 0, form, image.shape[1], image.shape[0], 1, [offset, 0, 0, 0], [stride, 0, 0, 0]
    )
    return buffer


@pytest.mark.parametrize(
    ("form", "channels", "stride", "offset"),
    [("BGR", 3, 104, 0), ("BGR", 3, 129, 7), ("BGRx", 4, 160, 32), ("GRAY8", 1, 40, 5)],
)
def test_lines_may_be_longer_than_their_pixels(form: str, channels: int, stride: int, offset: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 33, min(channels, 3))).astype(np.uint8)
    source = FedSource([buffer_of(image, channels, stride, offset)], form, (20, 33))
    frame = source.read(Stop())
    assert frame is not None
    assert (frame.image == image).all()
    assert frame.image.flags.c_contiguous
    source.close()


def test_a_buffer_smaller_than_its_picture_is_damaged() -> None:
    whole = bytes(100 * 20)  # 33 pixels of three bytes, and one more to make lines of four
    source = FedSource([GST.Buffer.new_wrapped(data) for data in (whole, whole[:500], whole)], "BGR", (20, 33))
    assert len(list(frames_of(source))) == 2
    assert source.corrupt == 1


def test_damaged_pictures_are_left_out_and_counted() -> None:
    images = [picture(index, (24, 40)) for index in range(9)]
    buffers = [buffer_of(image, 3, 120, 0) for image in images]
    for buffer in buffers[2::3]:
        buffer.set_flags(GST.BufferFlags.CORRUPTED)
    source = FedSource(buffers, "BGR", (24, 40))
    seen = [frame.image for frame in frames_of(source)]
    whole = [image for index, image in enumerate(images) if index % 3 != 2]
    assert all((ours == theirs).all() for ours, theirs in zip(seen, whole, strict=True))
    assert source.corrupt == 3


def test_a_run_from_a_pipeline(run: Run, tmp_path: Path) -> None:
    code, text = run(LIVE, tmp_path / "out.mkv", "--frames", 20)
    assert code == 0
    assert (tmp_path / "out.mkv").exists()
    assert "capture to our memory" in text
    assert "arrival-stamped" not in text


def test_a_run_from_a_pipeline_that_reads_a_file_takes_every_frame_and_ends(
    run: Run, video: Path, tmp_path: Path
) -> None:
    code, text = run(f"gst://filesrc location={video} ! decodebin", tmp_path / "out.mp4", "--on-lost", "exit")
    assert code == 0
    assert "24 delivered of 24 captured; dropped: none" in text
    times = [float(frame.time or 0) for frame in frames_of(open_source(str(tmp_path / "out.mp4")))]
    assert times == pytest.approx([index / 30 for index in range(24)], abs=1e-4)


def test_the_pipeline_of_a_csi_camera() -> None:
    options = SourceOptions(720, 1280, Fraction("59.94"))
    assert csi_pipeline(1, options) == (
        "nvarguscamerasrc sensor-id=1 ! "
        "video/x-raw(memory:NVMM),width=1280,height=720,framerate=2997/50,format=NV12 ! "
        "nvvidconv ! video/x-raw,format=BGRx"
    )
    assert csi_pipeline(0, SourceOptions()) == (
        "nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM),format=NV12 ! nvvidconv ! video/x-raw,format=BGRx"
    )
    assert SINK.startswith("appsink ")
    assert all(word in SINK for word in ("max-buffers=1", "drop=true", "sync=false"))


def test_frames_are_in_order() -> None:
    source = opened(LIVE)
    frames = [source.read(Stop()) for _ in range(10)]
    source.close()
    assert all(late and early and late.captured_ns > early.captured_ns for early, late in pairwise(frames))
