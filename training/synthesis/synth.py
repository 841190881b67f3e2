"""Blurred/sharp pairs made from sharp photographs: camera shake and moving layers, averaged over the exposure."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from training.synthesis.trajectory import Trajectory, random_trajectory

Image = NDArray[np.uint8]
Linear = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class SynthConfig:
    """What the virtual camera sees. Lengths are pixels of the finished pair; ranges (low, high) are drawn uniformly."""

    size: tuple[int, int] = (256, 256)  # (height, width)
    camera_blur: tuple[float, float] = (0.0, 24.0)
    object_blur: tuple[float, float] = (0.0, 32.0)
    max_rotation: float = 0.03  # radians over the exposure
    max_objects: int = 3
    photo_scale: tuple[float, float] = (0.5, 1.0)  # the photograph is reduced by this first
    softness: tuple[float, float] = (0.0, 0.8)  # sigma of the lens, on target and input alike
    noise: tuple[float, float] = (0.0, 3.0)  # sigma in grey levels, on the input only
    sharp_share: float = 0.05  # pairs without blur: the network must leave sharp frames alone
    # GoPro's `blur` frames, on which everyone is measured, were averaged as displayed and not as light.
    display_space_share: float = 0.5


def synthesise(
    photos: list[Image], rng: np.random.Generator, config: SynthConfig = SynthConfig()
) -> tuple[Image, Image]:
    """One pair: (blurred, sharp), both `config.size` + (3,) uint8 BGR. The sharp frame is the mid-exposure instant.

    photos: uint8 BGR of any size. Raises ValueError when there are none.
    """
    if not photos:
        raise ValueError("no photographs to make pairs from")
    gamma = 1.0 if rng.random() < config.display_space_share else 2.2
    still = rng.random() < config.sharp_share
    camera = random_trajectory(
        rng, 0.0 if still else rng.uniform(*config.camera_blur), config.max_rotation * (not still)
    )
    scene = _view(photos, rng, config, gamma)
    objects = (
        []
        if still
        else [_random_object(photos, rng, config, gamma) for _ in range(rng.integers(config.max_objects + 1))]
    )
    instants = max([len(camera.angles), *(len(item.motion.angles) for item in objects)])
    frames = [_render(scene, camera, objects, when, config) for when in np.linspace(0, 1, instants)]
    sharp, blurred = frames[instants // 2], np.asarray(np.mean(frames, axis=0, dtype=np.float32))
    sigma = rng.uniform(*config.softness)
    noise = rng.normal(0, rng.uniform(*config.noise), (*config.size, 3))
    return _develop(blurred, gamma, sigma, noise), _develop(sharp, gamma, sigma, 0.0)


@dataclasses.dataclass(frozen=True)
class MovingObject:
    """A cut-out with its own motion: premultiplied (H, W, 4) float32 BGR and alpha, at (top, left) of the view."""

    layer: Linear
    corner: tuple[int, int]
    motion: Trajectory


def _view(photos: list[Image], rng: np.random.Generator, config: SynthConfig, gamma: float) -> Linear:
    """A crop of a random photograph, larger than the pair by the motion's margin, in the space that is averaged."""
    photo = photos[rng.integers(len(photos))]
    margin = int(max(config.camera_blur[1], config.object_blur[1])) // 2 + 8
    want = (config.size[0] + 2 * margin, config.size[1] + 2 * margin)
    fit = max(want[0] / photo.shape[0], want[1] / photo.shape[1])
    scale = max(fit, rng.uniform(*config.photo_scale))
    taken = [min(int(np.ceil(length / scale)), limit) for length, limit in zip(want, photo.shape, strict=False)]
    crop = _textured_crop(photo, (taken[0], taken[1]), rng)
    view = np.asarray(cv2.resize(crop, want[::-1], interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC))
    view = np.rot90(view, int(rng.integers(4))) if want[0] == want[1] else view
    view = view[:, ::-1] if rng.random() < 0.5 else view
    return np.power(view.astype(np.float32) / 255, gamma, dtype=np.float32)


def _textured_crop(photo: Image, size: tuple[int, int], rng: np.random.Generator, tries: int = 4) -> Image:
    """A random crop, drawn again while it is nearly flat: a clear sky teaches nothing about blur."""
    for _ in range(tries):
        top, left = (int(rng.integers(limit - length + 1)) for length, limit in zip(size, photo.shape, strict=False))
        crop = photo[top : top + size[0], left : left + size[1]]
        if cv2.Laplacian(crop[::2, ::2, 1], cv2.CV_32F).std() > 8:
            break
    return crop


def _random_object(photos: list[Image], rng: np.random.Generator, config: SynthConfig, gamma: float) -> MovingObject:
    """A random polygon of another photograph, cut with room to move in."""
    texture = _view(photos, rng, config, gamma)
    height, width = texture.shape[:2]
    turns = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
    radii = rng.uniform(0.05, 0.3) * min(height, width) * rng.uniform(0.6, 1.4, len(turns))
    outline = np.stack((np.cos(turns), np.sin(turns)), axis=1) * radii[:, None]  # (points, 2) as (x, y) about 0
    centre = rng.uniform(0.2, 0.8, 2) * (width, height)
    room = int(radii.max() + config.object_blur[1] / 2) + 4
    top, left = max(int(centre[1]) - room, 0), max(int(centre[0]) - room, 0)
    cut = texture[top : int(centre[1]) + room, left : int(centre[0]) + room]
    alpha = np.zeros(cut.shape[:2], np.uint8)
    cv2.fillPoly(alpha, [(outline + centre - (left, top)).astype(np.int32)], 255, lineType=cv2.LINE_AA)
    coverage = (alpha.astype(np.float32) / 255)[:, :, None]
    motion = random_trajectory(rng, rng.uniform(*config.object_blur), config.max_rotation * 2)
    return MovingObject(np.concatenate((cut * coverage, coverage), axis=2), (top, left), motion)


def _render(scene: Linear, camera: Trajectory, objects: list[MovingObject], when: float, config: SynthConfig) -> Linear:
    """The scene at one instant (0 to 1) of the exposure: background first, then the objects over it."""
    canvas = _moved(scene, camera, when, cv2.BORDER_REFLECT)
    for item in objects:
        layer = _moved(item.layer, item.motion, when, cv2.BORDER_CONSTANT)
        top, left = item.corner
        under = canvas[top : top + layer.shape[0], left : left + layer.shape[1]]
        under[...] = under * (1 - layer[:, :, 3:]) + layer[:, :, :3]
    top, left = ((outer - inner) // 2 for outer, inner in zip(canvas.shape, config.size, strict=False))
    return canvas[top : top + config.size[0], left : left + config.size[1]]


def _moved(image: Linear, motion: Trajectory, when: float, border: int) -> Linear:
    instant = round(when * (len(motion.angles) - 1))
    height, width = image.shape[:2]
    matrix = motion.matrix(instant, (height / 2, width / 2))
    moved = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(moved, dtype=np.float32)


def _develop(image: Linear, gamma: float, sigma: float, noise: NDArray[np.float64] | float) -> Image:
    """Lens, response and sensor: float32 in the averaged space → uint8 as displayed."""
    if sigma > 0.2:  # below this the kernel is a single tap
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
    shown = np.power(np.clip(image, 0, 1), 1 / gamma) * 255 + noise
    return np.clip(np.rint(shown), 0, 255).astype(np.uint8)
