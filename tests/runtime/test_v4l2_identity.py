"""Cameras are found again by udev's links when they come back under another number."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgedeblur import Failure
from runtime.sources.source import open_source
from runtime.sources.v4l2_identity import stable_uri


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    for number in range(4):
        (tmp_path / f"video{number}").touch()
    for name in ("by-id", "by-path"):
        (tmp_path / "v4l" / name).mkdir(parents=True)
    return tmp_path


def link(dev: Path, name: str, number: int) -> str:
    (dev / "v4l" / name).symlink_to(f"../../video{number}")
    return f"v4l2://{dev}/v4l/{name}"


def test_the_link_by_id_is_taken_before_that_by_path(dev: Path) -> None:
    by_id = link(dev, "by-id/usb-046d_C920_1234-video-index0", 0)
    link(dev, "by-path/pci-0000:00:14.0-usb-0:3:1.0-video-index0", 0)
    link(dev, "by-id/usb-046d_C920_1234-video-index1", 1)
    assert stable_uri(f"v4l2://{dev}/video0", dev / "v4l") == by_id
    assert stable_uri(f"{dev}/video0", dev / "v4l") == by_id


def test_a_camera_without_a_name_has_its_port(dev: Path) -> None:
    by_path = link(dev, "by-path/platform-tegra-capture-vi-video-index0", 2)
    link(dev, "by-id/usb-046d_C920_1234-video-index0", 0)
    assert stable_uri(f"v4l2://{dev}/video2", dev / "v4l") == by_path


def test_twins_have_their_ports(dev: Path) -> None:
    # Both cameras call themselves the same: udev's one link by id is that of whichever came last.
    link(dev, "by-id/usb-Cheap_Cam_0001-video-index0", 2)
    first = link(dev, "by-path/pci-0000:00:14.0-usb-0:3:1.0-video-index0", 0)
    second = link(dev, "by-path/pci-0000:00:14.0-usb-0:4:1.0-video-index0", 2)
    assert stable_uri(f"v4l2://{dev}/video0", dev / "v4l") == first
    assert stable_uri(f"v4l2://{dev}/video2", dev / "v4l") == second


def test_a_platform_camera_beside_it_makes_no_twin(dev: Path) -> None:
    link(dev, "by-path/platform-tegra-capture-vi-video-index0", 2)
    link(dev, "by-path/pci-0000:00:14.0-usb-0:3:1.0-video-index0", 0)
    by_id = link(dev, "by-id/usb-046d_C920_1234-video-index0", 0)
    assert stable_uri(f"v4l2://{dev}/video0", dev / "v4l") == by_id


def test_what_has_no_link_stays_as_it_is(dev: Path, tmp_path: Path) -> None:
    there = link(dev, "by-id/usb-046d_C920_1234-video-index0", 0)
    for uri in (
        there,
        f"v4l2://{dev}/video3",
        f"{dev}/video3",
        "v4l2:///dev/video99",
        "rtsp://user:secret@host/live",
        "csi://0",
        "clip.mp4",
    ):
        assert stable_uri(uri, dev / "v4l") == uri
    assert stable_uri(f"v4l2://{dev}/video0", tmp_path / "nothing") == f"v4l2://{dev}/video0"


def test_links_that_go_while_they_are_read_are_none(dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # udev takes the folder away with the last camera.
    def gone(self: Path) -> None:
        raise FileNotFoundError(self)

    link(dev, "by-id/usb-046d_C920_1234-video-index0", 0)
    monkeypatch.setattr(Path, "iterdir", gone)
    assert stable_uri(f"v4l2://{dev}/video0", dev / "v4l") == f"v4l2://{dev}/video0"


def test_a_link_of_udev_is_a_camera_as_it_stands() -> None:
    with pytest.raises(Failure, match="there is no camera /dev/v4l/by-id/usb-046d_C920_1234-video-index7"):
        open_source("/dev/v4l/by-id/usb-046d_C920_1234-video-index7")
