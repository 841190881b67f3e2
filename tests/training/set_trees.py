"""Tiny trees in the shapes of the public deblurring sets, and folders of a user's own."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

REALBLUR_J = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"


def expand(pattern: str) -> list[str]:
    """The paths of a pattern with {a,b} in it, as the shell would give them."""
    if "{" not in pattern:
        return [pattern]
    start, end = pattern.index("{"), pattern.index("}")
    words = pattern[start + 1 : end].split(",")
    return [path for word in words for path in expand(pattern[:start] + word + pattern[end + 1 :])]


def make(root: Path, *patterns: str) -> Path:
    """A lopsided picture at each path, all of them different."""
    for index, path in enumerate(path for pattern in patterns for path in expand(pattern)):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / path), np.full((34, 47, 3), 10 + index, np.uint8))
    return root


def gopro(home: Path) -> Path:
    """GOPRO_Large."""
    return make(
        home / "GOPRO_Large",
        "train/{GOPR0372_07_00,GOPR0372_07_01}/{blur,blur_gamma,sharp}/{000047,000048}.png",
        "test/GOPR0384_11_00/{blur,blur_gamma,sharp}/{000001,000002,000003}.png",
    )


def hide(home: Path) -> Path:
    """HIDE."""
    return make(
        home / "HIDE_dataset",
        "{train,GT}/{1fromGOPR0950,7fromGOPR0950}.png",
        "{test/test-close-ups,GT}/2fromGOPR1085.png",
        "{test/test-long-shot,GT}/45fromGOPR1087.png",
    )


def realblur(home: Path) -> Path:
    """RealBlur-J with its lists, which leave a shot out."""
    root = make(
        home / "RealBlur",
        REALBLUR_J + "/scene001/{blur/blur,gt/gt}_{1,2,10}.png",
        REALBLUR_J + "/scene230/{blur/blur,gt/gt}_7.png",
    )
    line = f"{REALBLUR_J}/scene{{0}}/gt/gt_{{1}}.png {REALBLUR_J}/scene{{0}}/blur/blur_{{1}}.png \n"
    (root / "RealBlur_J_train_list.txt").write_text(line.format("001", 1) + line.format("001", 10))
    (root / "RealBlur_J_test_list.txt").write_text(line.format("230", 7) + "\n")
    return root


def reds(home: Path) -> Path:
    """REDS, with the test's blurred side and a reduced one, which have no sharp frames beside them."""
    return make(
        home / "REDS",
        "train/train_{blur,sharp,blur_comp}/{000,001}/0000000{0,1}.png",
        "train/train_blur_jpeg/{000,001}/0000000{0,1}.jpg",
        "train/train_blur_bicubic/X4/000/00000000.png",
        "val/val_{blur,sharp}/000/0000000{0,1,2}.png",
        "test/test_blur/000/00000000.png",
    )


def bsd(home: Path) -> Path:
    """One exposure pair of BSD."""
    return make(
        home / "BSD_2ms16ms",
        "{train,valid}/010/{Blur,Sharp}/RGB/0000000{0,1}.png",
        "test/{000,001}/{Blur,Sharp}/RGB/00000000.png",
    )


def plain(home: Path) -> Path:
    """A user's blur/ and sharp/."""
    return make(home / "mine", "{blur,sharp}/{b,a}.png")


def suffixed(home: Path) -> Path:
    """A user's *_blur.* beside *_sharp.*."""
    return make(home / "beside", "{b,a}_{blur,sharp}.png")


def copied(home: Path) -> Path:
    """A set as others repack it."""
    return make(home / "GoPro", "{train,test}/{input,target}/{a,b}.png")
