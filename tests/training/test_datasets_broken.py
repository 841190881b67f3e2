"""Sets on disk that lack something, and folders of no known shape: what is wrong, what was expected, what to do."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edgedeblur
from tests.training.set_trees import REALBLUR_J as J
from tests.training.set_trees import bsd, gopro, hide, make, plain, realblur, reds, suffixed
from training.data.datasets import find_pairs, is_pairs
from training.data.pairs import open_pairs

Tree = Callable[[Path], Path]


@pytest.mark.parametrize(
    ("tree", "harm", "split", "message"),
    [
        (gopro, "rm test/GOPR0384_11_00/sharp", "test", r"_00: found blur, blur_gamma, but no sharp; expected blur/"),
        (gopro, "rm train/GOPR0372_07_01/sharp/000048.png", "train", r"1: 1 of 2 .* first '000048' \(no sharp picture"),
        (gopro, "rm train/GOPR0372_07_01/blur/000047.png", "train", r"first '000047' \(no blurred picture\)"),
        (gopro, "rm train", "train", r"found test, but no train split; unpack it too, or give .*/test to use"),
        (gopro, "empty test", "test", r"test holds no folders; GoPro has one for each sequence there"),
        (gopro, "empty test/GOPR0384_11_00", "test", r"GOPR0384_11_00: found no folders, but no blur"),
        (gopro, "empty test/GOPR0384_11_00/blur", "test", r"3 of 3 names are without a partner"),
        (hide, "rm GT", "train", r"HIDE_dataset: found train/, but no GT/"),
        (hide, "rm GT/45fromGOPR1087.png", "test", r"1 of 2 names are without a partner, first '45fromGOPR1087'"),
        (hide, "write test/test-long-shot/2fromGOPR1085.jpg", "test", r"5.png and .*5.jpg have one name; keep"),
        (hide, "empty test", "test", r"test: found no pictures; expected .*GT/NAME"),
        (realblur, f"rm {J}/scene001/gt/gt_10.png", "train", r"1 of its 4 pictures are absent, first .*/gt/gt_10.png"),
        (realblur, "write RealBlur_J_test_list.txt", "test", r"test_list.txt: found no pictures"),
        (realblur, "write RealBlur_J_test_list.txt gt_7.png", "test", r"_list.txt, line 1: found 'gt_7.png'; expected"),
        (realblur, "rm RealBlur_J_train_list.txt", "train", r"found test, but no train split"),
        (realblur, "write RealBlur-R_BM3D/scene001/x", "train", r"holds RealBlur-J_.* and RealBlur-R_BM3D; give one"),
        (reds, "rm val/val_sharp", "val", r"val: found val_blur, but no val_sharp with the sharp frames"),
        (reds, "rm train/train_sharp/001", "train", r"001: 2 of 2 names .* first '00000000' \(no sharp picture\)"),
        (reds, "empty val/val_blur/000", "val", r"3 of 3 names are without a partner, first '00000000' \(no blurred"),
        (reds, "empty val/val_blur", "val", r"val_blur/000: 3 of 3 names .* \(no blurred"),
        (bsd, "rm valid/010/Sharp", "val", r"valid/010: found Blur, but no Sharp/RGB"),
        (bsd, "empty train", "train", r"train holds no folders; BSD has one"),
        (plain, "rm sharp", "test", r"mine: found blur, but no sharp; expected blur/NAME with sharp/NAME"),
        (plain, "rm blur", None, r"holds no pairs that are understood; expected one of:\n  pairs .*(\n  \w+ .*){5}$"),
        (suffixed, "rm a_sharp.png", None, r"first 'a' \(no sharp picture\); expected blur/NAME.png with sharp/"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(tree: Tree, harm: str, split: str | None, message: str, tmp_path: Path) -> None:
    root = tree(tmp_path)
    verb, path, *content = harm.split()
    target = root / path
    if verb == "write":
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(" ".join(content))
    else:
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    if verb == "empty":
        target.mkdir()
    with pytest.raises(edgedeblur.Failure, match=message) as raised:
        find_pairs(root, split)
    assert raised.value.code == edgedeblur.ExitCode.SOURCE


@pytest.mark.parametrize(
    ("tree", "inside", "message"),
    [
        (gopro, "", r"--variant is nonsense; GoPro has: blur, blur_gamma$"),
        (reds, "", r"REDS in .*train has: blur, blur_comp, blur_jpeg$"),
        (reds, "val/val_blur", r"give the folder above it"),
        (bsd, "", r"BSD has: Blur/RGB$"),
        (hide, "", r"HIDE has: blur$"),
        (realblur, "", r"RealBlur has: blur$"),
        (suffixed, "", r"NAME_blur.\* pictures has: blur$"),
    ],
)
def test_a_variant_that_a_set_lacks_is_refused(tree: Tree, inside: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(edgedeblur.Failure, match=message) as raised:
        find_pairs(tree(tmp_path) / inside, "train", "nonsense")
    assert raised.value.code == edgedeblur.ExitCode.USAGE


def test_the_blurred_side_alone_is_not_taken_for_sharp_photographs(tmp_path: Path) -> None:
    sequence = gopro(tmp_path) / "test" / "GOPR0384_11_00"
    for side in ("blur", "blur_gamma"):
        with pytest.raises(edgedeblur.Failure, match=r"holds the blurred pictures of pairs only; give .*_11_00$"):
            open_pairs(sequence / side, 32)
    with pytest.raises(edgedeblur.Failure, match=r"blurred pictures of pairs only; give .*000$"):
        find_pairs(bsd(tmp_path) / "test" / "000" / "Blur" / "RGB")
    assert not is_pairs(sequence / "sharp")  # good photographs to blur


def test_pairs_that_are_not_read_are_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = gopro(tmp_path)
    open_pairs(root, 32)
    assert "not read" not in capsys.readouterr().err
    make(root, "{blur,sharp}/a.png")
    assert len(find_pairs(root).pairs) == 7
    open_pairs(root, 32)
    assert capsys.readouterr().err.count(f"{root}: blur/ and sharp/ are not read, but test/, train/; move them") == 1
    make(root / "test", "{blur,sharp}/a.png")
    assert [pair.name for pair in find_pairs(root, "test").pairs] == ["a"]
    assert f"{root}/test/GOPR0384_11_00: its pairs are not read, but those of {root}/test" in capsys.readouterr().err


def test_a_folder_of_no_known_shape_gets_the_list_of_shapes(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    with pytest.raises(edgedeblur.Failure, match=r"holds no pictures, videos or pairs .*\n  pairs .*(\n  \w+ .*){5}$"):
        open_pairs(tmp_path, 32)


def test_what_is_no_folder_is_a_failure(tmp_path: Path) -> None:
    file = make(tmp_path, "a.png") / "a.png"
    for folder in (tmp_path / "none", tmp_path / ("x" * 5000), tmp_path / "nul\0", file):
        with pytest.raises(edgedeblur.Failure, match="is not a folder"):
            find_pairs(folder)


def test_a_folder_without_permission_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = os.scandir

    def refuse(folder: Path) -> Any:  # not by its mode: root may read everything
        if Path(folder).name == "blur":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(edgedeblur.Failure, match=r"GOPR0384_11_00/blur cannot be read: Permission denied; check its"):
        find_pairs(gopro(tmp_path), "test")
