"""`edgedeblur synth`: fixed sets of pairs, the contact sheet, the benchmark, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgedeblur import ExitCode, main
from training.data.pictures import read_picture
from training.synthesis.deadleaves import dead_leaves

SIZE = ["--size", "32x48"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(2):
        cv2.imwrite(str(folder / f"{seed}.png"), dead_leaves(np.random.default_rng(seed), (120, 150), leaves=100))
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
