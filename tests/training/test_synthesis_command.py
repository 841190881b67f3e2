"""`edgedeblur synth`: fixed sets of pairs, the contact sheet, the benchmark, and what they refuse."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgedeblur import ExitCode, main
from training.data import photographs
from training.data.pictures import read_picture
from training.synthesis.config import SynthConfig
from training.synthesis.deadleaves import dead_leaves

SIZE = ["--size", "32x48"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(2):
        cv2.imwrite(str(folder / f"{seed}.png"), dead_leaves(np.random.default_rng(seed), (140, 150), leaves=100))
    return folder


def pair_paths(folder: Path) -> list[tuple[Path, Path]]:
    """(blurred, sharp) by name."""
    blurred, sharp = (sorted((folder / side).iterdir()) for side in ("blur", "sharp"))
    assert [path.name for path in blurred] == [path.name for path in sharp]
    return list(zip(blurred, sharp, strict=True))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def test_a_seed_gives_one_set_of_pairs(photos: Path, tmp_path: Path) -> None:
    sets = [tmp_path / name for name in ("first", "again", "other")]
    for folder, seed in zip(sets, "334", strict=True):
        assert main(["synth", "--data", str(photos), "-o", str(folder), "--count", "3", "--seed", seed, *SIZE]) == 0
    first, again, other = (contents(folder) for folder in sets)
    assert first == again
    assert first != other
    pairs = pair_paths(sets[0])
    assert [path.name for path, _ in pairs] == ["000000.png", "000001.png", "000002.png"]
    assert all(read_picture(path).shape == (32, 48, 3) for pair in pairs for path in pair)


def test_without_sharp_pairs_every_pair_is_blurred(photos: Path, tmp_path: Path) -> None:
    means = []
    for share in ("0", "1"):
        folder = tmp_path / share
        options = ["--count", "6", "--sharp-share", share, *SIZE]
        assert main(["synth", "--data", str(photos), "-o", str(folder), *options]) == 0
        differences = [read_picture(blurred).astype(int) - read_picture(sharp) for blurred, sharp in pair_paths(folder)]
        means.append(np.mean([np.abs(difference).mean() for difference in differences]))
    assert means[1] < 0.7 * means[0]  # noise and compression remain


def test_pairs_are_not_written_over_unasked(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["synth", "--data", str(photos), "-o", str(tmp_path / "pairs"), "--count", "2", *SIZE]
    assert main(command) == 0
    before = contents(tmp_path / "pairs")
    assert main([*command, "--seed", "1"]) == ExitCode.USAGE
    assert "--force" in capsys.readouterr().err
    assert contents(tmp_path / "pairs") == before
    assert main([*command, "--seed", "1", "--force"]) == 0
    assert contents(tmp_path / "pairs") != before


def interrupted_at(moment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the file of that number gets its name."""
    replace, calls = os.replace, itertools.count(1)

    def replace_or_stop(partial: Path, path: Path) -> None:
        if next(calls) == moment:
            raise KeyboardInterrupt
        replace(partial, path)

    monkeypatch.setattr(os, "replace", replace_or_stop)


@pytest.mark.parametrize("moment", [3, 4])
def test_interrupted_it_leaves_whole_pairs_of_one_seed(
    moment: int, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["synth", "--data", str(photos), "--count", "3", *SIZE]
    for name, seed in (("old", "1"), ("new", "2")):
        assert main([*command, "-o", str(tmp_path / name), "--seed", seed]) == 0
    interrupted_at(moment, monkeypatch)
    assert main([*command, "-o", str(tmp_path / "old"), "--seed", "2", "--force"]) == ExitCode.INTERRUPTED
    assert [blurred.name for blurred, _ in pair_paths(tmp_path / "old")] == ["000000.png"]
    assert contents(tmp_path / "old").items() <= contents(tmp_path / "new").items()


def test_force_replaces_a_larger_set_and_what_a_crash_left(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    command = ["synth", "--data", str(photos), "-o", str(folder), *SIZE]
    assert main([*command, "--count", "3"]) == 0
    (folder / "blur" / "000003.png.partial").write_bytes(b"half")
    (folder / "blur" / "000004.png").write_bytes(b"alone")
    assert main([*command, "--count", "2"]) == ExitCode.USAGE
    assert main([*command, "--count", "2", "--force"]) == 0
    assert [blurred.name for blurred, _ in pair_paths(folder)] == ["000000.png", "000001.png"]


def test_force_removes_nothing_before_the_photographs_are_read(photos: Path, tmp_path: Path) -> None:
    command = ["synth", "-o", str(tmp_path / "pairs"), "--count", "1", *SIZE]
    assert main([*command, "--data", str(photos)]) == 0
    before = contents(tmp_path / "pairs")
    assert main([*command, "--data", str(tmp_path / "missing"), "--force"]) == ExitCode.SOURCE
    assert contents(tmp_path / "pairs") == before


def test_every_photograph_is_used(tmp_path: Path) -> None:
    for index in range(120):
        cv2.imwrite(str(tmp_path / f"{index:03}.png"), np.full((64, 64, 3), index, np.uint8))
    found = photographs.read_photos(tmp_path, SynthConfig(size=(32, 48)))
    assert list(found) == [f"{index:03}.png" for index in range(120)]


def test_photographs_beyond_the_memory_limit_are_told(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(photographs, "MEMORY", 1000)
    assert main(["synth", "--data", str(photos), "-o", str(tmp_path / "pairs"), "--count", "1", *SIZE]) == 0
    assert "kept the first 1 of 2 photographs" in capsys.readouterr().err


def test_photographs_are_at_least_half_of_what_is_seen_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = SynthConfig(size=(32, 48))  # 112 pixels are seen with both margins of 32, along either side when turned
    for name, side in (("small", 55), ("large", 56)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((90, side, 3), 9, np.uint8))
    assert list(photographs.read_photos(tmp_path, config)) == ["large.png"]
    assert "small.png is 90x55; expected at least 56x56" in capsys.readouterr().err


def test_a_set_is_not_mixed_with_other_pictures(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "blur").mkdir()
    (photos / "blur" / "holiday.png").write_bytes(b"mine")
    assert main(["synth", "--data", str(photos), "-o", str(photos), "--count", "1", "--force", *SIZE]) == ExitCode.USAGE
    assert "holiday.png" in capsys.readouterr().err
    assert (photos / "blur" / "holiday.png").read_bytes() == b"mine"


def test_the_sheet_shows_every_pair(photos: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "new" / "sheet.png"
    command = ["synth", "--data", str(photos), "--sheet", str(sheet), "--count", "7", "--size", "40x200"]
    assert main(command) == 0
    height, width, _ = read_picture(sheet).shape
    assert height > 2 * (2 * 40 + 4 * 10)  # two rows of blurred, sharp and four lines of text
    assert width > 6 * 200
    assert main(command) == ExitCode.USAGE
    assert main([*command, "--force"]) == 0


def test_without_photographs_there_are_dead_leaves(tmp_path: Path) -> None:
    assert main(["synth", "-o", str(tmp_path / "pairs"), "--count", "1", *SIZE]) == 0
    assert len(pair_paths(tmp_path / "pairs")) == 1


def test_the_benchmark_prints_milliseconds(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", "--data", str(photos), "--benchmark", "--count", "2", *SIZE]) == 0
    assert "render, CPU" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--size", "256"], ExitCode.USAGE, "HEIGHTxWIDTH"),
        (["--size", "16x64"], ExitCode.USAGE, "HEIGHTxWIDTH"),
        (["--count", "0"], ExitCode.USAGE, "--count is 0"),
        (["--seed", "-1"], ExitCode.USAGE, "--seed is -1"),
        (["--sharp-share", "nan"], ExitCode.USAGE, "--sharp-share is nan"),
        (["--data", "missing"], ExitCode.SOURCE, "not a folder"),
    ],
)
def test_bad_values_are_messages(
    options: list[str], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synth", "-o", str(tmp_path / "pairs"), *options]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "pairs").exists()


def test_pictures_that_cannot_be_used_are_named(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "broken.png").write_bytes(b"no picture")
    cv2.imwrite(str(photos / "tiny.png"), np.zeros((8, 8, 3), np.uint8))
    assert main(["synth", "--data", str(photos), "-o", str(tmp_path / "pairs"), "--count", "1", *SIZE]) == 0
    printed = capsys.readouterr().err
    assert "broken.png" in printed
    assert "tiny.png" in printed


def test_a_place_that_cannot_be_written_is_named(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    output = tmp_path / "file" / "pairs"
    assert main(["synth", "--data", str(photos), "-o", str(output), "--count", "1", *SIZE]) == ExitCode.ENVIRONMENT
    assert "cannot write" in capsys.readouterr().err
