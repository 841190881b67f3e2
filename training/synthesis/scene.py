"""A scene as drawn: everything the renderer needs, as tensors of fixed shapes that torch's default_collate batches."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

KNOTS = 33  # instants at which a motion is stored; the renderer interpolates between them
STOPS = 1 / 32  # brightening of a photograph's pixel, in stops, for each step of its fourth channel


class Scene(NamedTuple):
    """One exposure. L layers lie before the photograph; (H, W) is the frame; all gain a leading B when batched.

    Pixel coordinates are (x, y) with the centre of the top left pixel at (0, 0). A motion is a path of homographies
    that take a pixel of the frame to a pixel of the layer's texture. Its KNOTS are spread evenly over the time in
    which any row is exposed; the middle one is the sharp instant.
    """

    size: Tensor  # (2,) int64: height and width of the frame
    photo: Tensor  # (4, Hp, Wp) uint8: RGB and brightening in STOPS
    objects: Tensor  # (L, 4, Ho, Wo) uint8: RGB and opacity; what is used lies at the top left, the rest is zero
    extents: Tensor  # (L, 2) int64: height and width of what is used
    windows: Tensor  # (L, 4) int64: top, left, bottom, right of the part of the frame that the object can touch
    motions: Tensor  # (1 + L, KNOTS, 3, 3) float32; the photograph's first
    instants: Tensor  # () int64, odd: how finely the exposure is sampled
    readout: Tensor  # () float32: time from the first row to the last, in exposures; 0 is a global shutter
    gain: Tensor  # (3,) float32: exposure and white balance, RGB
    response: Tensor  # (2,) float32: see training/synthesis/response.py
    in_display_space: Tensor  # () bool: averaged as displayed, not as light
    softness: Tensor  # () float32: sigma of the lens in pixels
    noise: Tensor  # (2,) float32: variance of the light I is noise[0] * I + noise[1]
    bayer: Tensor  # () bool: recorded through a colour filter array
    quantiser: Tensor  # (2, 8, 8) float32: steps of luma and chroma in grey levels; 0 is no compression
    seed: Tensor  # () int64: of the noise
    shutter: Tensor  # () float32: seconds
