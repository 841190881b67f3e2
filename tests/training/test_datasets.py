"""Readers of the public sets: tiny trees of each shape, whole and in part; what training draws from them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgedeblur
from tests.training.set_trees import REALBLUR_J as J
from tests.training.set_trees import bsd, copied, expand, gopro, hide, make, plain, realblur, reds, suffixed
from training.data.datasets import find_pairs, is_pairs
from training.data.folder_pairs import FolderPairs
from training.data.pairs import open_pairs
from training.data.samples import identity

Tree = Callable[[Path], Path]

# Names as expected, of each tree and split.
NAMES: dict[tuple[Tree, str], list[str]] = {
    (gopro, "train"): [f"GOPR0372_07_0{sequence}/00004{frame}" for sequence in (0, 1) for frame in (7, 8)],
    (gopro, "test"): [f"GOPR0384_11_00/00000{frame}" for frame in (1, 2, 3)],
    (hide, "train"): ["1fromGOPR0950", "7fromGOPR0950"],
    (hide, "test"): ["2fromGOPR1085", "45fromGOPR1087"],
    (realblur, "train"): ["scene001/1", "scene001/10"],
    (realblur, "test"): ["scene230/7"],
    (reds, "train"): [f"00{sequence}/0000000{frame}" for sequence in (0, 1) for frame in (0, 1)],
    (reds, "val"): [f"000/0000000{frame}" for frame in (0, 1, 2)],
    (bsd, "valid"): ["010/00000000", "010/00000001"],
    (bsd, "train"): ["010/00000000", "010/00000001"],
    (bsd, "test"): ["000/00000000", "001/00000000"],
    **{(tree, split): ["a", "b"] for tree in (plain, suffixed, copied) for split in ("", "train")},
}


@pytest.mark.parametrize(
    ("tree", "inside", "asked", "layout", "split", "first"),
    [
        (gopro, "", "train", "GoPro, train split", "train", "train/GOPR0372_07_00/{blur,sharp}/000047.png"),
        (gopro, "", "val", "GoPro, test split", "test", "test/GOPR0384_11_00/{blur,sharp}/000001.png"),
        (gopro, "test", "train", "GoPro, test split", "test", "test/GOPR0384_11_00/{blur,sharp}/000001.png"),
        (gopro, "test/GOPR0384_11_00", None, "GoPro", "test", "test/GOPR0384_11_00/{blur,sharp}/000001.png"),
        (hide, "", "train", "HIDE, train split", "train", "{train,GT}/1fromGOPR0950.png"),
        (hide, "", "test", "HIDE, test split", "test", "{test/test-close-ups,GT}/2fromGOPR1085.png"),
        (hide, "test", None, "HIDE, test split", "test", "{test/test-close-ups,GT}/2fromGOPR1085.png"),
        (realblur, "", "train", "RealBlur-J, train split", "train", J + "/scene001/{blur/blur,gt/gt}_1.png"),
        (realblur, J, "val", "RealBlur-J, test split", "test", J + "/scene230/{blur/blur,gt/gt}_7.png"),
        (reds, "", "train", "REDS, train split", "train", "train/train_{blur,sharp}/000/00000000.png"),
        (reds, "", "test", "REDS, val split", "val", "val/val_{blur,sharp}/000/00000000.png"),
        (reds, "val", "train", "REDS, val split", "val", "val/val_{blur,sharp}/000/00000000.png"),
        (reds, "train/train_blur_comp", None, "REDS", "train", "train/train_{blur_comp,sharp}/000/00000000.png"),
        (reds, "val/val_blur/000", None, "REDS", "val", "val/val_{blur,sharp}/000/00000000.png"),
        (bsd, "", "val", "BSD, valid split", "valid", "valid/010/{Blur,Sharp}/RGB/00000000.png"),
        (bsd, "", "test", "BSD, test split", "test", "test/000/{Blur,Sharp}/RGB/00000000.png"),
        (bsd, "train/010", None, "BSD", "train", "train/010/{Blur,Sharp}/RGB/00000000.png"),
        (plain, "", "test", "pairs", "", "{blur,sharp}/a.png"),
        (suffixed, "", "train", "pairs", "", "a_{blur,sharp}.png"),
        (copied, "", "train", "pairs, train split", "train", "train/{input,target}/a.png"),
    ],
)  # fmt: skip
def test_every_layout_is_read_whole_and_in_part(
    tree: Tree, inside: str, asked: str | None, layout: str, split: str, first: str, tmp_path: Path
) -> None:
    root = tree(tmp_path)
    found = find_pairs(root / inside, asked)
    assert is_pairs(root / inside)
    assert found.layout == layout
    assert [pair.name for pair in found.pairs] == NAMES[tree, split]
    assert [found.pairs[0].blurred, found.pairs[0].sharp] == [root / path for path in expand(first)]
    assert all(pair.blurred.is_file() and pair.sharp.is_file() for pair in found.pairs)
    assert len({(pair.blurred, pair.sharp) for pair in found.pairs}) == len(found.pairs)


def test_parts_of_parts_are_read(tmp_path: Path) -> None:
    far = find_pairs(hide(tmp_path) / "test" / "test-long-shot", "test")
    assert (far.layout, [pair.name for pair in far.pairs]) == ("HIDE", ["45fromGOPR1087"])
    scene = find_pairs(realblur(tmp_path) / J / "scene001")
    assert (scene.layout, [pair.name for pair in scene.pairs]) == ("pairs", ["1", "2", "10"])


@pytest.mark.parametrize(
    ("tree", "variant", "name", "first"),
    [
        (gopro, "blur_gamma", "GoPro", "train/GOPR0372_07_00/{blur_gamma,sharp}/000047.png"),
        (reds, "blur_comp", "REDS", "train/train_{blur_comp,sharp}/000/00000000.png"),
        (reds, "blur_jpeg", "REDS", "train/train_{blur_jpeg/000/00000000.jpg,sharp/000/00000000.png}"),
    ],
)
def test_variants_are_other_blurred_pictures_of_the_same_sharp_ones(
    tree: Tree, variant: str, name: str, first: str, tmp_path: Path
) -> None:
    root = tree(tmp_path)
    found = find_pairs(root, "train", variant)
    assert found.layout == f"{name} ({variant}), train split"
    assert [pair.name for pair in found.pairs] == NAMES[tree, "train"]
    assert [found.pairs[0].blurred, found.pairs[0].sharp] == [root / path for path in expand(first)]


def test_without_a_split_all_of_a_set_is_read_and_names_stay_unique(tmp_path: Path) -> None:
    found = find_pairs(bsd(tmp_path))
    assert (found.layout, found.splits) == ("BSD", ("test", "train", "valid"))
    assert [pair.name for pair in found.pairs] == [
        f"{split}/{name}" for split in ("test", "train", "valid") for name in NAMES[bsd, split]
    ]
    assert {pair.sequence for pair in found.pairs} == {"test/000", "test/001", "train/010", "valid/010"}


def test_sequences_are_named_where_frames_follow_each_other(tmp_path: Path) -> None:
    def sequences(tree: Tree, split: str) -> set[str]:
        return {pair.sequence for pair in find_pairs(tree(tmp_path), split).pairs}

    assert sequences(gopro, "train") == {"GOPR0372_07_00", "GOPR0372_07_01"}
    assert sequences(reds, "train") == {"000", "001"}
    assert sequences(bsd, "val") == {"010"}
    for tree in (hide, realblur, plain, suffixed, copied):
        assert sequences(tree, "train") == {""}


def test_realblur_without_lists_is_all_its_scenes(tmp_path: Path) -> None:
    root = realblur(tmp_path)
    for path in root.glob("*.txt"):
        path.unlink()
    found = find_pairs(root, "test")
    assert (found.layout, found.splits) == ("RealBlur", ())
    assert [pair.name for pair in found.pairs] == ["scene001/1", "scene001/2", "scene001/10", "scene230/7"]


def test_a_renamed_realblur_folder_is_still_found_by_its_lists(tmp_path: Path) -> None:
    root = realblur(tmp_path)
    (root / J).rename(root / "RealBlur_J")
    assert [pair.name for pair in find_pairs(root / "RealBlur_J", "test").pairs] == ["scene230/7"]


def test_links_hidden_files_and_odd_names_do_no_harm(tmp_path: Path) -> None:
    root = gopro(tmp_path)
    make(root, "test/__MACOSX/x.png", "test/.cache/y.png", "test/GOPR0384_11_00/blur/._000001.png")
    (root / "loop").symlink_to(root)
    (root / "test" / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "link").symlink_to(root)
    assert [pair.name for pair in find_pairs(tmp_path / "link", "test").pairs] == NAMES[gopro, "test"]
    odd = plain(tmp_path)
    for side in ("blur", "sharp"):
        shutil.copy(odd / "blur" / "a.png", odd / side / os.fsdecode(b"\xff\n'%s.png"))
    found = find_pairs(odd)
    assert len(found.pairs) == 3
    assert json.dumps([pair.name for pair in found.pairs]).encode()
    assert identity(FolderPairs(found))


def blurred_paths(pairs: object) -> set[Path]:
    """The blurred pictures that may be drawn."""
    assert isinstance(pairs, FolderPairs)
    return {blurred for blurred, _ in pairs.paths}


def test_training_takes_the_train_split_and_validates_on_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training, validation = open_pairs(gopro(tmp_path), 32)
    assert {path.parts[-4] for path in blurred_paths(training)} == {"train"}
    assert {path.parts[-4] for path in blurred_paths(validation)} == {"test"}
    assert capsys.readouterr().err == "GoPro, train split: 4 pairs\nGoPro, test split: 3 pairs\n"
    blurred, sharp = training.sample(np.random.default_rng(0), 32)
    assert blurred.shape == sharp.shape == (32, 32, 3)


def test_another_variant_is_other_data_for_a_resumed_run(tmp_path: Path) -> None:
    usual, _ = open_pairs(gopro(tmp_path), 32)
    gamma, _ = open_pairs(tmp_path / "GOPRO_Large", 32, variant="blur_gamma")
    assert {path.parts[-2] for path in blurred_paths(gamma)} == {"blur_gamma"}
    assert identity(gamma) != identity(usual)
    with pytest.raises(edgedeblur.Failure, match=r"--variant is blur_gamma; .* no blurred frames to choose from"):
        open_pairs(make(tmp_path / "photos", "a.png"), 32, variant="blur_gamma")


def test_other_pictures_of_the_same_names_are_other_data_for_a_resumed_run(tmp_path: Path) -> None:
    pairs, _ = open_pairs(gopro(tmp_path), 32)
    before = identity(pairs)
    assert identity(open_pairs(tmp_path / "GOPRO_Large", 32)[0]) == before
    noise = np.random.default_rng(0).integers(0, 256, (34, 47, 3))
    cv2.imwrite(str(tmp_path / "GOPRO_Large/train/GOPR0372_07_01/sharp/000048.png"), noise)
    assert identity(open_pairs(tmp_path / "GOPRO_Large", 32)[0]) != before


@pytest.mark.parametrize("size", [(64, 64), (60, 70)])
def test_other_photographs_of_the_same_names_are_other_data_for_a_resumed_run(
    size: tuple[int, int], tmp_path: Path
) -> None:
    seen = []
    for sides, grey in (((64, 64), 90), ((64, 64), 90), (size, 91)):
        for name in "abc":
            cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((*sides, 3), grey, np.uint8))
        seen.append(identity(open_pairs(tmp_path, 32)[0]))
    assert seen[0] == seen[1] != seen[2]


def test_without_a_second_split_whole_sequences_are_held_out(tmp_path: Path) -> None:
    root = gopro(tmp_path)
    shutil.rmtree(root / "test")
    training, validation = open_pairs(root, 32)
    assert {path.parts[-3] for path in blurred_paths(training)} == {"GOPR0372_07_01"}
    assert {path.parts[-3] for path in blurred_paths(validation)} == {"GOPR0372_07_00"}


def test_data_given_to_validate_on_is_used_whole(tmp_path: Path) -> None:
    training, validation = open_pairs(plain(tmp_path), 32, bsd(tmp_path))
    assert len(blurred_paths(training)) == 2
    assert {path.parts[-5] for path in blurred_paths(validation)} == {"valid"}
