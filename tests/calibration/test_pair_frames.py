"""Folders of pairs: which picture belongs to which, and what is said where one does not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.frames.pairs import open_frames
from edgedeblur import ExitCode, Failure
from runtime.frame import Frame
from runtime.sources.source import frames_of


def picture(path: Path, grey: int, size: tuple[int, int] = (20, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((*size, 3), grey, np.uint8))


def pairs(folder: Path, blurred: str, sharp: str, count: int = 12) -> Path:
    """Pairs 0, 1, …, the blurred one grey 10 * i, the sharp one a level brighter."""
    for index in range(count):
        picture(folder / blurred.format(index), 10 * index)
        picture(folder / sharp.format(index), 10 * index + 1)
    return folder


def read(uri: Path | str) -> list[Frame]:
    return list(frames_of(open_frames(str(uri))))


@pytest.mark.parametrize(
    ("blurred", "sharp"),
    [
        ("blur/{}.png", "sharp/{}.png"),
        ("blur/{}.png", "sharp/{}.bmp"),
        ("input/{:03}.png", "target/{:03}.png"),
        ("street_{}_blur.png", "street_{}_sharp.png"),
        ("a/blur/{}_blur.png", "a/sharp/{}_blur.png"),
    ],
)
def test_pairs_in_the_order_people_count(blurred: str, sharp: str, tmp_path: Path) -> None:
    folder = pairs(tmp_path, blurred, sharp) / ("a" if blurred.startswith("a/") else "")
    for uri in (folder, f"file://{folder}"):
        frames = read(uri)
        assert [int(frame.image[0, 0, 0]) for frame in frames] == [10 * index for index in range(12)]
        assert [frame.name for frame in frames] == [Path(blurred.format(index)).name for index in range(12)]
        for frame in frames:
            assert frame.reference is not None
            assert (frame.reference == frame.image + 1).all()


def test_nothing_may_be_written_over_either_of_a_pair(tmp_path: Path) -> None:
    inputs = open_frames(str(pairs(tmp_path, "blur/{}.png", "sharp/{}.png", 2))).inputs
    assert {tmp_path / part for part in ("blur", "blur/1.png", "sharp/0.png", "sharp/1.png")} <= set(inputs)


@pytest.mark.parametrize("names", [("1_blur.png", "2_blur.png"), ("1_sharp.png",), ("blur/1.png", "2.png")])
def test_pictures_without_any_partner_are_plain_frames(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        picture(tmp_path / name, 50)
    frames = read(tmp_path)
    assert frames
    assert all(frame.reference is None for frame in frames)


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pairs(tmp_path, "blur/{}.png", "sharp/{}.png", 1))
    with pytest.raises(Failure, match="has no name"):
        open_frames("")
    assert read(".")[0].reference is not None


@pytest.mark.parametrize(
    ("extra", "found"),
    [
        ("blur/lone.png", "lone.png' has no sharp partner"),
        ("sharp/lone.png", "lone.png' has no blurred partner"),
        ("sharp/1.bmp", "1.png' have one name"),
    ],
)
def test_lone_and_doubled_pictures_of_two_folders(extra: str, found: str, tmp_path: Path) -> None:
    picture(pairs(tmp_path, "blur/{}.png", "sharp/{}.png") / extra, 9)
    with pytest.raises(Failure, match=found) as caught:
        open_frames(str(tmp_path))
    assert caught.value.code == ExitCode.SOURCE


@pytest.mark.parametrize("extra", ["lone_blur.png", "lone_sharp.png", "lone.png"])
def test_lone_pictures_among_named_pairs(extra: str, tmp_path: Path) -> None:
    picture(pairs(tmp_path, "{}_blur.png", "{}_sharp.png") / extra, 9)
    with pytest.raises(Failure, match=f"{extra}' has no (sharp|blurred) partner") as caught:
        open_frames(str(tmp_path))
    assert str(tmp_path / "*.png") in str(caught.value)
    assert len(read(tmp_path / "*.png")) == 25, "the advice works"


def test_a_partner_of_another_size(tmp_path: Path) -> None:
    pairs(tmp_path, "blur/{}.png", "sharp/{}.png", 3)
    picture(tmp_path / "sharp" / "1.png", 9, (30, 20))
    with pytest.raises(Failure, match=r"sharp/1\.png' is 30x20 \(height x width\).* '1\.png' 20x30") as caught:
        read(tmp_path)
    assert caught.value.code == ExitCode.SOURCE


@pytest.mark.parametrize("damaged", ["blur/1.png", "sharp/1.png"])
def test_a_damaged_picture_costs_its_pair(damaged: str, tmp_path: Path) -> None:
    (pairs(tmp_path, "blur/{}.png", "sharp/{}.png", 3) / damaged).write_bytes(b"\x89PNG\r\n\x1a\n")
    source = open_frames(str(tmp_path))
    assert [frame.name for frame in frames_of(source)] == ["0.png", "2.png"]
    assert source.corrupt == 1
    assert damaged in source.notes[0]


def test_no_pair_that_can_be_read(tmp_path: Path) -> None:
    for name in ("blur/0.png", "sharp/1.png"):
        (pairs(tmp_path, "blur/{}.png", "sharp/{}.png", 2) / name).write_bytes(b"no picture")
    for name in ("blur/0.png", "sharp/1.png"):
        (tmp_path / name).write_bytes(b"no picture")
    with pytest.raises(Failure, match="cannot be read") as caught:
        read(tmp_path)
    assert caught.value.code == ExitCode.SOURCE
