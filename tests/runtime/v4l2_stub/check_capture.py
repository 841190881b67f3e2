"""Frames of a V4L2 camera: which come, when they were captured, and what is counted of those that do not."""

from __future__ import annotations

import errno
import threading
import time
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from runtime.frame import Frame, Image, now_ns
from runtime.sinks.image_sink import encode_image
from runtime.sources.source import open_source
from runtime.stop import Stop
from tests.runtime.v4l2_stub.devices import LOOP, StubDevices, grey, pack
from tests.runtime.v4l2_stub.fixtures import Open, read


def brightness(index: int) -> int:
    """Of frame `index` of the usual loop, as it comes out: limited range made full."""
    return round((40 + 8 * (index % LOOP) - 16) * 255 / 219)


def accounted(frames: list[Frame], *counts: int) -> bool:
    """Whether every frame up to the last one was given or counted, once."""
    return frames[-1].index + 1 == len(frames) + sum(counts)


def test_frames_are_those_of_the_camera_each_with_its_number(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", rates="100")
    source = opened()
    frames = read(source, 40)
    assert source.live
    assert [frame.size for frame in frames] == [(48, 64)] * 40
    for frame in frames:
        assert np.abs(frame.image.astype(int) - brightness(frame.index)).max() <= 1
    assert accounted(frames, source.missed, source.superseded, source.corrupt)
    assert source.describe() == f"{stub.path('video0')} (Stub Camera), YUYV 64x48, 100.00 frames/s"
    assert source.frame_rate == 100


def test_the_driver_stamps_frames_with_our_clock(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", rates="50")
    before = now_ns()
    frames = read(opened(), 8)
    assert all(frame.sensor_stamped and before < frame.captured_ns <= now_ns() for frame in frames)
    for early, late in pairwise(frames):
        assert late.captured_ns - early.captured_ns == pytest.approx(20e6 * (late.index - early.index), abs=2000)


@pytest.mark.parametrize("clock", ["unknown", "realtime"])
def test_a_stamp_by_another_clock_is_none(stub: StubDevices, opened: Open, clock: str) -> None:
    stub.camera("video0", f"clock {clock}")
    before = now_ns()
    (frame,) = read(opened(), 1)
    assert not frame.sensor_stamped
    assert before < frame.captured_ns <= now_ns()


def test_numbers_that_the_camera_leaves_out_are_missed(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", "skip 3 5", "skip 6 2", rates="50")
    source = opened()
    frames = read(source, 10)
    assert source.missed >= 7
    assert accounted(frames, source.missed, source.superseded)
    assert frames[-1].index >= 16


def test_frames_that_the_driver_flags_or_cuts_short_are_corrupt(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", "error 2", "error 3", "short 5 6143", "short 7 0", rates="20")
    source = opened()
    frames = read(source, 10)
    assert 0 < source.corrupt <= 4 <= source.corrupt + source.missed + source.superseded
    assert not {2, 3, 5, 7} & {frame.index for frame in frames}
    assert accounted(frames, source.missed, source.superseded, source.corrupt)


def test_the_newest_of_those_that_wait_is_taken(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", rates="25")
    source = opened()
    frames = read(source, 2)
    before = source.superseded
    time.sleep(0.1)  # two or three frames wait
    frames += read(source, 4)
    assert source.superseded > before
    assert accounted(frames, source.missed, source.superseded)


def test_what_waited_while_nobody_read_is_left_out(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", rates="50")
    source = opened()
    frames = read(source, 1)
    before = source.superseded
    time.sleep(0.5)  # the driver ran out of buffers after 80 ms: what is in them is the oldest since
    woken_ns = now_ns()
    frames += read(source, 1)
    assert frames[1].captured_ns > woken_ns
    assert source.superseded >= before + 4  # more where this machine is busy
    assert source.missed >= 15
    assert accounted(frames, source.missed, source.superseded)


def test_what_waited_before_the_first_reading_is_nobodys_loss(stub: StubDevices, opened: Open) -> None:
    # A run opens its other sources and outputs before it reads the first one.
    stub.camera("video0", rates="20")
    source = opened()
    time.sleep(0.5)
    woken_ns = now_ns()
    frames = read(source, 1)
    assert frames[0].captured_ns > woken_ns
    assert source.missed == 0
    assert accounted(frames, source.superseded)


def test_a_camera_slower_than_the_timeout_is_waited_for(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", rates="1")
    assert len(read(opened(timeout_s=0.3), 2)) == 2


def test_a_driver_with_a_single_buffer_works(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", "buffers 1", rates="50")
    source = opened()
    read(source, 2)
    time.sleep(0.2)
    frames = read(source, 5)
    assert len(frames) == 5


@pytest.mark.parametrize("codec", ["YUYV", "UYVY", "NV12", "YU12", "GREY"])
def test_padded_rows_in_the_colours_that_the_driver_names(stub: StubDevices, opened: Open, codec: str) -> None:
    yuv = np.zeros((46, 62, 3), np.uint8)
    yuv[:] = (120, 128, 128) if codec == "GREY" else (81, 90, 200)
    colours = "colours 3 2 1" if codec != "GREY" else "colours 0 0 0"  # BT.709 at full range
    stub.camera("video0", "pad 18", colours, size=(46, 62), codec=codec, pictures=[pack(yuv, codec, 18)])
    (frame,) = read(opened(), 1)
    expected = (120, 120, 120) if codec == "GREY" else (10, 55, 194)
    assert np.abs(frame.image.astype(int) - expected).max() <= 1


def jpeg(index: int) -> bytes:
    return encode_image(np.full((48, 64, 3), 20 + 10 * index, np.uint8), ".jpg")


def test_damaged_jpeg_is_counted_and_the_rest_goes_on(stub: StubDevices, opened: Open) -> None:
    pictures = [jpeg(index) for index in range(10)]
    pictures[3] = pictures[3][: len(pictures[3]) // 2]
    pictures[6] = b"\xff\xd8 no picture at all"
    stub.camera("video0", codec="MJPG", rates="50", pictures=pictures)
    source = opened()
    frames = read(source, 16)
    assert source.corrupt >= 2
    assert not {3, 6} & {frame.index % 10 for frame in frames}
    for frame in frames:
        assert np.abs(frame.image.astype(int) - (20 + 10 * (frame.index % 10))).max() <= 2
    assert accounted(frames, source.missed, source.superseded, source.corrupt)


def test_the_best_mode_is_taken_and_what_was_asked_for_in_vain_is_told(stub: StubDevices, opened: Open) -> None:
    small, large = grey(1), grey(2, (96, 128))
    stub.device(
        "video0",
        "card Stub Camera",
        "caps capture",
        stub.mode("small", [small], rates="30 15"),
        stub.mode("large", [large], (96, 128), "5"),
        stub.mode("jpeg", [encode_image(np.full((96, 128, 3), 90, np.uint8), ".jpg")], (96, 128), "30", "MJPG"),
    )
    assert "MJPG 128x96, 30.00" in opened(height=96, width=128).describe()
    assert "YUYV 128x96, 5.00" in opened(height=96, width=128, codec="yuyv").describe()
    assert "YUYV 64x48, 15.00" in opened(height=48, width=64, rate=Fraction(15)).describe()
    source = opened(height=100, width=120, codec="yuyv", rate=Fraction(60))
    assert any("gives 128x96, not 120x100" in note for note in source.notes)
    assert any("gives 5.00 frames/s, not 60.00" in note for note in source.notes)
    assert read(source, 1)[0].size == (96, 128)


def test_a_camera_of_any_size_is_asked_for_the_very_one(stub: StubDevices, opened: Open) -> None:
    stub.device("video0", "caps capture", "range YUYV 32 1920 2 32 1080 2 none 120 5")
    source = opened(height=250, width=334, rate=Fraction(24))
    assert "YUYV 334x250, 24.00 frames/s" in source.describe()
    assert "1280x720, 30.00" in opened().describe()
    assert opened(rate=Fraction("29.970029970029970029")).frame_rate == Fraction(30000, 1001)
    assert source.notes == []


def test_a_camera_that_lists_nothing_is_taken_as_it_is_set(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", "unlisted", size=(36, 52))
    source = opened()
    assert "YUYV 52x36, unknown rate" in source.describe()
    assert source.frame_rate is None
    assert read(source, 1)[0].size == (36, 52)


def test_a_driver_that_lists_no_rates_is_asked_for_one_all_the_same(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", rates="")
    assert opened().notes == []
    source = opened(rate=Fraction(12))
    assert "S_PARM video0 1/12" in stub.log()
    assert any("gives 30.00 frames/s, not 12.00" in note for note in source.notes)


def test_a_rate_that_the_driver_refuses_is_not_believed(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", f"refuse S_PARM {errno.EBUSY}", rates="25 50")
    source = opened(rate=Fraction(50))
    assert source.frame_rate == 25
    assert any("gives 25.00 frames/s, not 50.00" in note for note in source.notes)


def test_a_rate_of_which_the_driver_says_nothing_is_told(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", "unlisted")
    source = opened(rate=Fraction(12))
    assert any("does not say at which rate it sends: 12.00 frames/s or not" in note for note in source.notes)


def test_interlaced_pictures_are_told(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", "field 4")
    assert any("interlaced" in note for note in opened().notes)


def test_the_first_of_several_names_is_a_link(stub: StubDevices) -> None:
    stub.camera("video0", links=["by-id/usb-Stub_Camera-video-index0"])
    source = open_source(f"v4l2://{stub.path('v4l/by-id/usb-Stub_Camera-video-index0')}")
    frame = source.read(Stop())
    source.close()
    assert frame is not None
    image: Image = frame.image
    assert image.flags.writeable
    assert image.flags.c_contiguous


def test_a_stop_ends_the_wait(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", "silent 0")
    source, stop, started_ns = opened(), Stop(), now_ns()
    threading.Timer(0.2, stop.set).start()
    assert source.read(stop) is None
    assert now_ns() - started_ns < source._options.timeout_s * 1e9


def test_the_stub_is_a_camera_for_ffmpeg_too(stub: StubDevices) -> None:
    # The stub is written by whoever wrote what it tests: another reader of V4L2 must find the same pictures in it.
    stub.camera("video0", rates="60 30")
    with av.open(str(stub.path("video0")), format="v4l2", options={"framerate": "60"}) as camera:
        assert camera.streams.video[0].average_rate == 60
        pictures = [next(camera.decode(video=0)).to_ndarray().copy() for _ in range(4)]
    loop = [np.frombuffer(grey(index), np.uint8).reshape(48, 64, 2) for index in range(LOOP)]
    for picture in pictures:
        assert any((picture == one).all() for one in loop)
