"""Unsharp mask, Wiener and Richardson-Lucy: against scikit-image, and against the blur that they are told about."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import restoration

from edgedeblur import Failure
from training.data.pair_set import Pair
from training.evaluation.baselines import baselines, richardson_lucy, unsharp_mask, wiener
from training.evaluation.kernels import Kernel, kernel_paths, read_kernel
from training.evaluation.metrics import psnr
from training.synthesis.deadleaves import dead_leaves

Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    """7 x 9, and not its own mirror image: a path that slows down at one end."""
    values = np.zeros((7, 9), np.float32)
    values[1, 1:6], values[2, 5:8], values[4, 7] = (1, 1, 2, 3, 4), (4, 2, 2), 1
    return np.asarray(values / values.sum(), np.float32)


@pytest.fixture(scope="module")
def sharp() -> Image:
    return dead_leaves(np.random.default_rng(4), (96, 130), leaves=300)


@pytest.fixture(scope="module")
def blurred(sharp: Image, kernel: Kernel) -> Image:
    """Blurred as a camera does it: what lies outside of the frame comes in."""
    values = sharp.astype(np.float32)
    return _rounded(cv2.filter2D(values, cv2.CV_32F, kernel[::-1, ::-1].copy(), borderType=cv2.BORDER_REFLECT))


def _rounded(values: NDArray[np.generic]) -> Image:
    return np.clip(np.rint(np.asarray(values, np.float64)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["Wiener (oracle)", "Richardson-Lucy (oracle)"])
def test_the_true_kernel_gains_decibels_and_its_mirror_image_does_not(
    name: str, blurred: Image, sharp: Image, kernel: Kernel
) -> None:
    before = psnr(blurred, sharp)
    assert psnr(baselines(kernel)[name](blurred), sharp) > before + 5
    assert psnr(baselines(kernel[::-1, ::-1].copy())[name](blurred), sharp) < before


def test_wiener_is_scikit_images_away_from_the_borders(blurred: Image, kernel: Kernel) -> None:
    ours = wiener(blurred, kernel, balance=0.02)
    channels = [
        restoration.wiener(blurred[:, :, channel] / 255.0, kernel.astype(np.float64), 0.02, clip=False)  # type: ignore[no-untyped-call]
        for channel in range(3)
    ]
    theirs = _rounded(np.stack(channels, axis=2) * 255)
    inside = np.abs(ours.astype(int) - theirs)[24:-24, 24:-24]
    assert inside.max() <= 2
    assert inside.mean() < 0.1


def test_richardson_lucy_is_scikit_images_away_from_the_borders(blurred: Image, kernel: Kernel) -> None:
    ours = richardson_lucy(blurred, kernel, iterations=3)
    channels = [
        restoration.richardson_lucy(blurred[:, :, channel] / 255.0, kernel.astype(np.float64), 3, clip=False)  # type: ignore[no-untyped-call]
        for channel in range(3)
    ]
    theirs = _rounded(np.stack(channels, axis=2) * 255)
    # Each of three iterations convolves twice and carries the border at most 4 pixels further.
    assert np.abs(ours.astype(int) - theirs)[24:-24, 24:-24].max() <= 1


def test_borders_do_not_ring(sharp: Image, blurred: Image, kernel: Kernel) -> None:
    """A frame whose left and right edges differ: repeated as it is, the jump would ring through it."""
    ramp = np.linspace(0, 200, sharp.shape[1])[None, :, None]
    frame, target = (_rounded(image * 0.2 + ramp) for image in (blurred, sharp))
    assert psnr(wiener(frame, kernel)[:, 8:-8], target[:, 8:-8]) > psnr(frame[:, 8:-8], target[:, 8:-8])


def test_unsharp_mask_steepens_edges_and_leaves_flat_places_alone() -> None:
    frame = np.full((20, 31, 3), 60, np.uint8)
    assert np.array_equal(unsharp_mask(frame), frame)
    frame[:, 16:] = 180
    sharpened = unsharp_mask(frame)
    assert sharpened[10, 15, 0] < 60
    assert sharpened[10, 16, 0] > 180
    assert np.array_equal(sharpened[:, :4], frame[:, :4])


def test_without_a_kernel_only_what_needs_none() -> None:
    assert list(baselines(None)) == ["unsharp mask"]


@pytest.mark.parametrize("suffix", ["npy", "png"])
def test_kernels_are_normalised_and_have_a_middle(suffix: str, tmp_path: Path) -> None:
    values = np.zeros((4, 5), np.uint16)
    values[2, 2], values[3, 2] = 30000, 10000  # origin of an even side: side // 2
    path = tmp_path / f"a.{suffix}"
    np.save(path, values) if suffix == "npy" else cv2.imwrite(str(path), values)
    kernel = read_kernel(path)
    assert kernel.shape == (5, 5)
    assert kernel[2:4, 2] == pytest.approx([0.75, 0.25])
    assert kernel.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((3, 3)), "only zeros"),
        (np.full((3, 3), np.nan), "infinite"),
        (np.array([[1.0, -0.1]]), "negative"),
        (np.ones((3, 3, 3)), r"float64 \(3, 3, 3\); expected a kernel"),
        (np.ones((3, 3), complex), "complex128"),
        (np.ones((0, 3)), r"\(0, 3\)"),
        (np.array([["a"]], object), "not readable"),
        (b"no array", "not readable"),
    ],
)
def test_what_is_no_kernel_is_named(content: NDArray[np.generic] | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    with pytest.raises(Failure, match=f"a.npy.*{message}"):
        read_kernel(path)


def test_kernels_are_found_beside_the_pictures(tmp_path: Path) -> None:
    apart = Pair("a", "", tmp_path / "blur" / "a.jpg", tmp_path / "sharp" / "a.jpg")
    together = Pair("b", "", tmp_path / "b_blur.png", tmp_path / "b_sharp.png")
    assert kernel_paths([apart, together]) == {}
    (tmp_path / "kernel").mkdir()
    for name in ("a.npy", "b.png"):
        (tmp_path / "kernel" / name).write_bytes(b"")
    assert {name: path.name for name, path in kernel_paths([apart, together]).items()} == {"a": "a.npy", "b": "b.png"}
    (tmp_path / "kernel" / "b.png").unlink()
    with pytest.raises(Failure, match=r"holds no b.npy or b.png; expected a kernel for every"):
        kernel_paths([apart, together])
