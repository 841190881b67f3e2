"""A V4L2 camera that fails while it runs: unplugged, silent, changed, out of order."""

from __future__ import annotations

import errno
import time

import numpy as np
import pytest

from edgedeblur import ExitCode, Failure
from runtime.sinks.image_sink import encode_image
from runtime.stop import Stop
from tests.runtime.v4l2_stub.devices import StubDevices, grey
from tests.runtime.v4l2_stub.fixtures import Open, read


def test_an_unplugged_camera_is_told_at_once(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", "gone 5", rates="50")
    source = opened()
    start = time.monotonic()
    with pytest.raises(Failure, match="video0 is gone") as caught:
        read(source, 50)
    assert caught.value.code == ExitCode.SOURCE
    assert time.monotonic() - start < source._options.timeout_s / 2
    source.close()
    with pytest.raises(Failure, match="there is no camera"):
        opened()


def test_it_is_found_again_by_its_link_under_another_number(stub: StubDevices, opened: Open) -> None:
    link = "by-id/usb-Stub_Camera-video-index0"
    stub.camera("video0", "gone 3 200 video2", "gone 3", rates="50", links=[link])
    source = opened(f"v4l/{link}")
    with pytest.raises(Failure, match="is gone"):
        read(source, 50)
    source.close()
    deadline = time.monotonic() + 20
    while not stub.path(f"v4l/{link}").exists():
        with pytest.raises(Failure, match="there is no camera"):
            opened(f"v4l/{link}")
        assert time.monotonic() < deadline, "it did not come back"
        time.sleep(0.02)
    assert read(opened(f"v4l/{link}"), 1)[0].size == (48, 64)
    assert "open video2" in stub.log()


def test_a_silent_camera_is_told_after_the_timeout(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", "silent 4", rates="50")
    source = opened(timeout_s=0.4)
    start = time.monotonic()
    with pytest.raises(Failure, match=r"no whole frame for 0\.4 s") as caught:
        read(source, 50)
    assert caught.value.code == ExitCode.SOURCE
    assert 0.4 < time.monotonic() - start < 10


def test_a_camera_of_nothing_but_damage_is_told_after_the_timeout(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", rates="50", pictures=[b"short"])
    with pytest.raises(Failure, match="damaged ones so far"):
        read(opened(timeout_s=0.4), 1)


def test_another_size_is_taken_in_mid_stream(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", "events", "timings", "change 20 next", rates="50")
    large = stub.mode("large", [grey(3, (90, 120))], (90, 120), "25")
    stub.device("next", "card Stub Camera", "caps capture", large, "events", "timings", "change 3 after")
    stub.device("after", "card Stub Camera", "caps capture", stub.mode("small", [grey(5, (36, 52))], (36, 52), "50"))
    source = opened()
    frames = read(source, 40)
    sizes = [frame.size for frame in frames]
    assert sizes == sorted(sizes, key=[(48, 64), (90, 120), (36, 52)].index)
    assert set(sizes) == {(48, 64), (90, 120), (36, 52)}
    assert [note.split("changed to ")[1] for note in source.notes] == ["120x90 while it ran", "52x36 while it ran"]
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices))
    assert source.frame_rate == 50
    assert stub.log().count("S_DV_TIMINGS video0") == 2


def test_a_change_that_cannot_be_taken_ends_the_source(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", "events", "change 3 next", rates="50")
    stub.device(
        "next", "caps capture", stub.mode("more", [grey(0)]), "timings", f"refuse QUERY_DV_TIMINGS {errno.ENOLINK}"
    )
    source = opened()
    with pytest.raises(Failure, match="no signal at its input"):
        read(source, 50)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (f"refuse DQBUF {errno.EIO} 3", "VIDIOC_DQBUF: Input/output error"),
        (f"refuse QBUF {errno.ENODEV} 7", "is gone"),
        (f"refuse QBUF {errno.EINVAL} 7", "VIDIOC_QBUF: Invalid argument"),
    ],
)
def test_what_the_driver_refuses_ends_the_source(stub: StubDevices, opened: Open, refusal: str, words: str) -> None:
    stub.camera("video0", refusal, rates="50")
    with pytest.raises(Failure, match=words) as caught:
        read(opened(), 50)
    assert caught.value.code == ExitCode.SOURCE


def test_a_camera_whose_jpeg_is_never_quite_in_order_is_shown(stub: StubDevices, opened: Open) -> None:
    # Its pictures are two rows higher than it says, and end too early.
    whole = encode_image(np.full((50, 64, 3), 77, np.uint8), ".jpg")
    stub.camera("video0", codec="MJPG", rates="50", pictures=[whole[:-20]])
    source = opened()
    (frame,) = read(source, 1)
    assert frame.size == (50, 64)
    assert source.corrupt >= 8
    assert any("no picture of the camera was in order" in note for note in source.notes)


def test_nothing_of_a_closed_camera_is_left_however_often(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", rates="100")
    for _ in range(30):
        source = opened()
        assert source.read(Stop()) is not None
        source.close()
        source.close()
    assert stub.log().count("STREAMOFF video0") == 30
