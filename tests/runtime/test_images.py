"""Pictures: exact pixels whatever the format, upright, in the order people count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from runtime.sources.image_source import natural_order, read_image
from runtime.sources.source import frames_of, open_source

RGB = np.random.default_rng(1).integers(0, 256, (37, 53, 3), dtype=np.uint8)
ALPHA = np.dstack((RGB, RGB[:, :, 0]))
SMOOTH = np.asarray(Pillow.fromarray(RGB[:5, :7]).resize((48, 32), Pillow.Resampling.BICUBIC))

EXACT = {
    "colour.png": Pillow.fromarray(RGB),
    "grey.png": Pillow.fromarray(RGB[:, :, 0]),
    "palette.png": Pillow.fromarray(RGB).quantize(64),
    "one-bit.png": Pillow.fromarray(RGB[:, :, 0] > 127),
    "alpha.png": Pillow.fromarray(ALPHA),
    "grey-alpha.png": Pillow.fromarray(ALPHA).convert("LA"),
    "colour.bmp": Pillow.fromarray(RGB),
    "colour.tif": Pillow.fromarray(RGB),
    "colour.ppm": Pillow.fromarray(RGB),
}


@pytest.mark.parametrize("name", EXACT)
def test_eight_bits_are_exact(tmp_path: Path, name: str) -> None:
    EXACT[name].save(tmp_path / name)
    wanted = np.asarray(EXACT[name].convert("RGBA"))[:, :, 2::-1]
    assert (read_image(tmp_path / name) == wanted).all()


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    Pillow.fromarray(RGB[:, :, 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert np.abs(read_image(tmp_path / "deep.png").astype(int) - RGB[:, :, :1]).max() <= 1


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_a_photograph_comes_out_upright(tmp_path: Path, orientation: int, turns: int) -> None:
    exif = Pillow.Exif()
    exif[0x112] = orientation
    Pillow.fromarray(SMOOTH).save(tmp_path / "photo.jpg", quality=97, subsampling=0, exif=exif)
    wanted = np.rot90(SMOOTH, turns)[:, :, ::-1]
    found = read_image(tmp_path / "photo.jpg")
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).mean() < 1.5


def test_folders_are_read_in_the_order_people_count(tmp_path: Path) -> None:
    for name in ("f10.png", "f9.png", "f1.PNG", "notes.txt"):
        Pillow.fromarray(RGB).save(tmp_path / name, format="png")
    for uri, names in ((str(tmp_path), ["f1.PNG", "f9.png", "f10.png"]), (f"{tmp_path}/*.png", ["f9.png", "f10.png"])):
        assert [frame.name for frame in frames_of(open_source(uri))] == names


def test_a_name_that_looks_like_a_pattern_is_a_name(tmp_path: Path) -> None:
    for name in ("a%03d.png", "b[1].png"):
        Pillow.fromarray(RGB).save(tmp_path / name)
        (frame,) = frames_of(open_source(str(tmp_path / name)))
        assert (frame.image == RGB[:, :, ::-1]).all()


def test_natural_order_takes_any_name() -> None:
    names = [Path(name) for name in ("9", "a", "10", "a2b", "a10b", "", "2a")]
    assert [str(path) for path in sorted(names, key=natural_order)] == ["2a", "9", "10", ".", "a", "a2b", "a10b"]
