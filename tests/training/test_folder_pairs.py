"""Pairs on disk that training cannot use: found before it begins where that is cheap, else stepped over."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import edgedeblur
from training.data import pictures
from training.data.datasets import find_pairs
from training.data.folder_pairs import FolderPairs
from training.data.pairs import open_pairs
from training.data.pictures import stored_size
from training.data.samples import Samples

Size = tuple[int, int]


def noise(size: Size) -> NDArray[np.uint8]:
    return np.random.default_rng(size[0]).integers(0, 256, (*size, 3), np.uint8)


def put(folder: Path, name: str, blurred: Size = (40, 50), sharp: Size = (40, 50)) -> None:
    """One pair of blur/ and sharp/ with these sizes (height, width)."""
    for side, size in (("blur", blurred), ("sharp", sharp)):
        (folder / side).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / side / name), noise(size))


def turned(path: Path) -> None:
    """Add what a camera held upright writes into a JPEG."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])


@pytest.mark.parametrize("quality", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]])
def test_the_size_of_a_picture_is_read_from_its_first_bytes(quality: list[int], tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        cv2.imwrite(str(tmp_path / name), noise((400, 300)), quality if name == "a.jpg" else [])
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:1000])
        assert stored_size(tmp_path / name) == (400, 300)
    cv2.imwrite(str(tmp_path / "a.bmp"), noise((40, 30)))
    for name, data in {"empty.png": b"", "head.png": b"\x89PNG\r\n\x1a\n", "head.jpg": b"\xff\xd8\xff\xe1\0\0"}.items():
        (tmp_path / name).write_bytes(data)
    assert {stored_size(tmp_path / name) for name in ("a.bmp", "empty.png", "head.png", "head.jpg", "none")} == {None}


def test_pairs_that_no_stage_of_a_run_could_crop_are_left_out_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.jpg", "c.bmp", "d.png", "e.png"):
        put(tmp_path, name)
    put(tmp_path, "small.png", (30, 90), (30, 90))
    put(tmp_path, "two.png", (40, 51))
    put(tmp_path, "upright.jpg", (50, 40))
    turned(tmp_path / "blur" / "upright.jpg")
    put(tmp_path, "noise.png")
    (tmp_path / "sharp" / "noise.png").write_bytes(b"not a picture")
    training, validation = open_pairs(tmp_path, 32)
    assert {name for pairs in (training, validation) for name in pairs.names} == {
        f"pairs: {name}" for name in ("a", "b", "c", "d", "e", "upright")
    }
    said = capsys.readouterr().err
    assert "skipped 3 of 9 pairs; the first: " in said
    assert "noise.png is empty or not a picture" in said


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (((20, 64), (64, 64)), "none of the 2 pairs .*64x64; expected one size"),
        (((40, 40), (40, 40)), r"a.png is 40x40; expected at least 64x64 \(height x width\): .* smaller --patch"),
    ],
)
def test_a_set_without_a_usable_pair_is_refused(sizes: tuple[Size, Size], message: str, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        put(tmp_path, name, *sizes)
    with pytest.raises(edgedeblur.Failure, match=message) as raised:
        open_pairs(tmp_path, 64)
    assert raised.value.code == edgedeblur.ExitCode.SOURCE


def test_headers_alone_are_read_where_nothing_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.png")
    put(tmp_path, "b.jpg")
    monkeypatch.setattr(pictures, "read_picture", lambda path: pytest.fail(f"{path} is read"))
    open_pairs(tmp_path, 32)


def test_a_pair_that_goes_bad_is_stepped_over_and_samples_stay_what_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abcd":
        put(tmp_path, f"{name}.png")
    pairs = FolderPairs(find_pairs(tmp_path))
    before = [pairs.sample(np.random.default_rng(index), 32) for index in range(12)]
    (tmp_path / "blur" / "b.png").write_bytes(b"")
    first, again = (
        [sample for index in order if not isinstance(sample := Samples(pairs, 32, 1)[index], edgedeblur.Failure)]
        for order in (range(12), reversed(range(12)))
    )
    assert len(first) == len(before) == 12
    assert all(np.array_equal(one, other) for one, other in zip(first, again[::-1], strict=True))
    assert capsys.readouterr().err.count("b.png is empty") == 1


def test_a_set_that_is_gone_ends_the_run(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    pairs = FolderPairs(find_pairs(tmp_path))
    (tmp_path / "blur" / "a.png").unlink()
    with pytest.raises(edgedeblur.Failure, match=r"a.png cannot be read: .*No such file"):
        pairs.sample(np.random.default_rng(0), 32)
