"""What cannot be opened as a V4L2 camera, in words; and what cameras there are."""

from __future__ import annotations

import errno
import re
from fractions import Fraction
from pathlib import Path

import pytest

from edgedeblur import ExitCode, Failure
from runtime.sources.v4l2_cameras import Setting, cameras
from tests.runtime.v4l2_stub.devices import StubDevices, grey
from tests.runtime.v4l2_stub.fixtures import Open, read


def refusal(opened: Open, code: ExitCode, name: str = "video0", **options: object) -> str:
    with pytest.raises(Failure) as caught:
        opened(name, **options)
    assert caught.value.code == code
    return str(caught.value)


def test_a_camera_that_is_not_there(stub: StubDevices, opened: Open) -> None:
    stub.camera("video2")
    stub.camera("video10")
    text = refusal(opened, ExitCode.SOURCE)
    assert f"there is no camera {stub.path('video0')}" in text
    assert re.search(r"cameras here: \S*video2, \S*video10\.", text)


@pytest.mark.parametrize(
    ("caps", "words"),
    [
        ("meta", "metadata"),
        ("output", "without a producer"),
        ("mplane", "several planes"),
        ("read", "no streaming"),
    ],
)
def test_a_node_that_gives_no_frames(stub: StubDevices, opened: Open, caps: str, words: str) -> None:
    stub.device("video0", f"caps {caps}")
    stub.camera("video4")
    text = refusal(opened, ExitCode.SOURCE)
    assert words in text
    assert text.endswith(f"cameras here: {stub.path('video4')}")


def test_what_is_no_device_at_all(stub: StubDevices, opened: Open, tmp_path: Path) -> None:
    (tmp_path / "dev" / "file").write_text("x")
    assert "is no V4L2 device" in refusal(opened, ExitCode.SOURCE, "file")
    assert "is no V4L2 device" in refusal(opened, ExitCode.SOURCE, ".")


@pytest.mark.parametrize(
    ("statement", "code", "words"),
    [
        (f"refuse open {errno.EACCES}", ExitCode.ENVIRONMENT, "usermod -aG video"),
        (f"refuse open {errno.EBUSY}", ExitCode.SOURCE, "in use by another program"),
        (f"refuse S_FMT {errno.EBUSY}", ExitCode.SOURCE, "in use by another program"),
        (f"refuse REQBUFS {errno.EBUSY}", ExitCode.SOURCE, "fuser -v"),
        (f"refuse REQBUFS {errno.ENOMEM}", ExitCode.SOURCE, "smaller size"),
        (f"refuse QUERYBUF {errno.EINVAL} 2", ExitCode.SOURCE, "VIDIOC_QUERYBUF"),
        (f"refuse QBUF {errno.EIO} 3", ExitCode.SOURCE, "VIDIOC_QBUF"),
        (f"refuse STREAMON {errno.ENOSPC}", ExitCode.SOURCE, "bandwidth"),
        (f"refuse STREAMON {errno.EBUSY}", ExitCode.SOURCE, "in use"),
        (f"refuse QUERYCAP {errno.ENODEV}", ExitCode.SOURCE, "is gone"),
        (f"refuse ENUM_FMT {errno.ENODEV}", ExitCode.SOURCE, "is gone"),
        (f"refuse ENUM_FMT {errno.EINVAL}", ExitCode.SOURCE, "no format at all"),
        ("timings\nrefuse QUERY_DV_TIMINGS 67", ExitCode.SOURCE, "no signal"),
    ],
)
def test_a_camera_that_refuses_leaves_nothing_open(
    stub: StubDevices, opened: Open, statement: str, code: ExitCode, words: str
) -> None:
    stub.camera("video0", statement)
    assert words in refusal(opened, code)


@pytest.mark.parametrize(
    "statement", [f"refuse S_PARM {errno.EIO}", f"refuse G_PARM {errno.ENOTTY}", f"refuse SUBSCRIBE_EVENT {errno.EIO}"]
)
def test_what_a_camera_can_do_without(stub: StubDevices, opened: Open, statement: str) -> None:
    stub.camera("video0", statement)
    assert read(opened(), 1)[0].size == (48, 64)


def test_formats_that_cannot_be_read_are_named(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", codec="H264", pictures=[b"x"])
    text = refusal(opened, ExitCode.SOURCE)
    assert "sends H264; expected one of: yuyv, uyvy" in text
    stub.camera("video0")
    assert "sends YUYV; expected MJPG" in refusal(opened, ExitCode.SOURCE, codec="mjpeg")
    assert "'prores' is not a camera format" in refusal(opened, ExitCode.USAGE, codec="prores")


def test_controls_are_set_by_name_in_order(stub: StubDevices, opened: Open) -> None:
    controls = (
        "control 9963776 1 -64 64 1 0 0 Brightness",
        "control 10094849 3 0 3 1 3 0 Exposure, Auto",
        "control 10094850 1 1 5000 10 157 0 Exposure (Absolute)",
        "control 10094851 1 0 9 1 0 4 Read Only",
        "control 10094852 1 0 9 1 0 16 Focus, Absolute",
        "control 10094853 8 0 5 0 0 0 Bits",
    )
    stub.camera("video0", *controls)
    source = opened(controls=(("exposure_auto", 1), ("exposure_absolute", 128), ("brightness", -5), ("bits", 5)))
    settings = [line.split(maxsplit=2)[2] for line in stub.log() if line.startswith("S_CTRL")]
    assert settings == ["Exposure, Auto 1", "Exposure (Absolute) 121", "Brightness -5", "Bits 5"]
    assert source.notes == [f"camera {stub.path('video0')} set exposure_absolute to 121, not 128"]
    source.close()
    for name, value, code, words in (
        ("exposure_atuo", 1, ExitCode.USAGE, "did you mean exposure_auto"),
        ("zoom", 1, ExitCode.USAGE, "it has: brightness, exposure_auto, exposure_absolute, focus_absolute, bits"),
        ("read_only", 1, ExitCode.USAGE, "no control 'read_only'"),
        ("brightness", 65, ExitCode.USAGE, "takes -64 to 64"),
        ("bits", 8, ExitCode.USAGE, "not 8"),
        ("focus_absolute", 3, ExitCode.SOURCE, "switch that off first"),
    ):
        assert words in refusal(opened, code, controls=((name, value),))


def test_all_cameras_with_what_they_offer(stub: StubDevices) -> None:
    stub.camera("video0", "control 9963776 1 -64 64 1 3 16 Brightness", rates="30 15")
    stub.device("video1", "caps meta")
    stub.device("video3", "card Two", "caps capture", "range NV12 16 64 16 8 32 8 none 60 2", "mode H264 9 9 x 30")
    stub.camera("video11", f"refuse ENUM_FMT {errno.ENODEV}")
    one, two, lost = cameras(stub.folder, stub.path("v4l"))
    assert (one.path, one.name, one.driver, one.bus) == (str(stub.path("video0")), "Stub Camera", "stub", "usb-stub-1")
    assert [(mode.codec, mode.size, mode.rates) for mode in one.modes] == [
        ("YUYV", (48, 64), (Fraction(30), Fraction(15)))
    ]
    assert one.settings == (Setting("brightness", -64, 64, 3, True),)
    assert two.codecs == ("NV12", "H264")
    assert {mode.size for mode in two.modes} == {(8, 16), (32, 64)}
    assert two.modes[0].rates == (Fraction(60), Fraction(30), Fraction(2))
    assert all(isinstance(rate, Fraction) for rate in two.modes[0].rates)
    assert lost.problem == "No such device"


def test_a_camera_that_streams_still_tells_what_it_offers(stub: StubDevices, opened: Open) -> None:
    stub.camera("video0", pictures=[grey(0)])
    source = opened()
    (camera,) = cameras(stub.folder, stub.path("v4l"))
    assert camera.modes
    read(source, 2)
