"""The virtual camera: what is written to it, in which form, and what happens where it does not take it."""

from __future__ import annotations

import errno
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, Image
from runtime.sinks.sink import Sink, SinkOptions, open_sink
from tests.runtime.v4l2_stub.devices import StubDevices, bgr_by_formula

COLOURS = ((255, 255, 255), (0, 255, 255), (255, 255, 0), (30, 200, 90), (200, 20, 180), (0, 0, 255), (0, 0, 0))


def virtual(stub: StubDevices, name: str = "video9") -> Sink:
    return open_sink(f"v4l2loopback://{stub.path(name)}", SinkOptions(frame_rate=Fraction(30000, 1001)))


def write(sink: Sink, picture: Image) -> None:
    sink.write(picture, Frame(picture, 0, 0))


def bars(size: tuple[int, int]) -> Image:
    """Vertical bars of eight pixels, so that no colour is mixed in the middle of one."""
    columns = np.array(COLOURS, np.uint8)[np.arange(size[1]) // 8 % len(COLOURS)]
    return np.ascontiguousarray(np.broadcast_to(columns, (*size, 3)))


def seen(data: bytes, codec: str, size: tuple[int, int], stride: int) -> NDArray[np.float64]:
    """A picture as a reader of the device sees it who takes it for BT.709, limited range."""
    height, width = size
    flat = np.frombuffer(data, np.uint8)
    if codec == "YUYV":
        rows = flat[: height * stride].reshape(height, stride)[:, : 2 * width]
        y, u, v = rows[:, ::2], rows[:, 1::4].repeat(2, 1), rows[:, 3::4].repeat(2, 1)
    else:
        y = flat[: height * stride].reshape(height, stride)[:, :width]
        chroma = flat[height * stride :][: height * stride // 2].reshape(2, height // 2, stride // 2)
        u, v = chroma[:, :, : width // 2].repeat(2, 1).repeat(2, 2)
    return bgr_by_formula(np.stack([y, u, v], -1), "709", limited=True)


@pytest.mark.parametrize("codec", ["YUYV", "YU12"])
@pytest.mark.parametrize("pad", [0, 24])
def test_a_reader_sees_the_colours(stub: StubDevices, codec: str, pad: int) -> None:
    stub.device("video9", "card Stub Loopback", "caps output", f"mode {codec} 0 0", f"pad {pad}")
    picture = bars((34, 72))
    sink = virtual(stub)
    for _ in range(3):
        write(sink, picture)
    sink.close()
    stride, rows = (144 + pad, 34) if codec == "YUYV" else (72 + pad, 34 + 17)
    pictures = stub.written("video9")
    assert [len(data) for data in pictures] == [rows * stride] * 3
    found = seen(pictures[2], codec, (34, 72), stride)
    middles = slice(4, None, 8)
    assert np.abs(found[:, middles] - picture[:, middles]).max() <= 2
    assert f"S_FMT video9 {codec} 72x34 colours 3 2 2" in stub.log()
    assert "S_PARM video9 1001/30000" in stub.log()
    assert sink.describe() == f"{stub.path('video9')}: 3 frames, {codec} 72x34"


def test_the_first_form_that_the_device_takes(stub: StubDevices) -> None:
    stub.output("video9")
    sink = virtual(stub)
    assert sink.any_size
    write(sink, bars((36, 52)))
    sink.close()
    assert "YUYV" in sink.describe()


def test_odd_sides_are_made_even(stub: StubDevices) -> None:
    stub.output("video9")
    sink = virtual(stub)
    write(sink, bars((35, 53)))
    sink.close()
    assert "54x36" in sink.describe()
    (data,) = stub.written("video9")
    assert len(data) == 54 * 36 * 2


def test_another_size_sets_the_device_up_anew(stub: StubDevices) -> None:
    stub.output("video9")
    sink = virtual(stub)
    for size in ((36, 52), (36, 52), (48, 64)):
        write(sink, bars(size))
    sink.close()
    assert [len(data) for data in stub.written("video9")] == [36 * 52 * 2, 36 * 52 * 2, 48 * 64 * 2]
    kept = [line.split()[0] for line in stub.log() if line.split()[1] == "video9"]
    assert kept == ["open", "S_FMT", "S_PARM", "close", "open", "S_FMT", "S_PARM", "close"]


def test_a_device_that_a_reader_holds_to_a_size_says_so(stub: StubDevices) -> None:
    stub.output("video9", "hold 320 240")
    sink = virtual(stub)
    with pytest.raises(Failure, match="another size") as caught:
        write(sink, bars((36, 52)))
    assert caught.value.code == ExitCode.ENVIRONMENT
    sink.close()


def test_a_device_that_another_program_feeds_says_so(stub: StubDevices) -> None:
    stub.output("video9", f"refuse S_FMT {errno.EBUSY}")
    sink = virtual(stub)
    with pytest.raises(Failure, match="is in use by another program; close that one") as caught:
        write(sink, bars((36, 52)))
    assert caught.value.code == ExitCode.ENVIRONMENT
    sink.close()


def test_a_form_that_the_device_refuses_is_passed_over(stub: StubDevices) -> None:
    stub.output("video9", f"refuse S_FMT {errno.EINVAL} 0 1")
    sink = virtual(stub)
    write(sink, bars((36, 52)))
    sink.close()
    assert "1 frames, YU12 52x36" in sink.describe()


def test_a_device_without_room_costs_frames_and_no_time(stub: StubDevices) -> None:
    stub.output("video9", f"refuse write {errno.EAGAIN} 1 2")
    sink = virtual(stub)
    for _ in range(4):
        write(sink, bars((36, 52)))
    sink.close()
    assert len(stub.written("video9")) == 2
    assert "2 frames" in sink.describe()
    assert "2 left out" in sink.describe()


@pytest.mark.parametrize("number", [errno.ENODEV, errno.EIO])
def test_a_device_that_goes_away_is_told(stub: StubDevices, number: int) -> None:
    stub.output("video9", f"refuse write {number} 1")
    sink = virtual(stub)
    write(sink, bars((36, 52)))
    with pytest.raises(Failure, match="broke after 1 frames") as caught:
        write(sink, bars((36, 52)))
    assert caught.value.code == ExitCode.ENVIRONMENT
    sink.close()
    sink.close()


def test_a_device_that_is_not_there_is_to_be_made(stub: StubDevices) -> None:
    with pytest.raises(Failure, match="sudo modprobe v4l2loopback exclusive_caps=1 card_label=edgedeblur") as caught:
        virtual(stub)
    assert caught.value.code == ExitCode.ENVIRONMENT
    with pytest.raises(Failure, match="card_label=edgedeblur video_nr=97"):
        open_sink("v4l2loopback:///dev/video97")
    with pytest.raises(Failure, match=r"expected v4l2loopback:///dev/videoN") as caught:
        open_sink("v4l2loopback://cam")
    assert caught.value.code == ExitCode.USAGE


@pytest.mark.parametrize("path", ["/dev/null", "/tmp"])
def test_what_is_no_device_of_v4l2_is_told(stub: StubDevices, path: str) -> None:
    with pytest.raises(Failure, match=f"{path} is no V4L2 device; make one with: sudo modprobe") as caught:
        open_sink(f"v4l2loopback://{path}")
    assert caught.value.code == ExitCode.ENVIRONMENT


def test_a_camera_is_no_virtual_one(stub: StubDevices) -> None:
    stub.camera("video9")
    with pytest.raises(Failure, match="takes no pictures") as caught:
        virtual(stub)
    assert caught.value.code == ExitCode.ENVIRONMENT


def test_no_permission(stub: StubDevices) -> None:
    stub.output("video9", f"refuse open {errno.EACCES}")
    with pytest.raises(Failure, match="usermod -aG video"):
        virtual(stub)
