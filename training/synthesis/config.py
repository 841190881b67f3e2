"""What the virtual camera sees and how it is built: every range the synthesiser draws from."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class SynthConfig:
    """Lengths are pixels of the finished pair; ranges (low, high) are drawn uniformly unless a comment says otherwise.

    Shares are probabilities a pair. The defaults follow footage of hand-held and worn cameras at 720p.
    """

    size: tuple[int, int] = (256, 256)  # (height, width)

    # What is in front of the camera.
    photo_scale: tuple[float, float] = (0.5, 1.0)  # the photograph is reduced by this first
    max_objects: int = 3  # layers before the photograph, each with a motion of its own
    light_share: float = 0.2  # scenes with lamps and highlights brighter than the camera can record

    # Motion over the exposure.
    camera_blur: tuple[float, float] = (
        0.0,
        48.0,
    )  # path length, mostly short: the mean is at a third
    object_blur: tuple[float, float] = (0.0, 32.0)  # the same, relative to the background
    shutter: tuple[float, float] = (1 / 200, 1 / 8)  # seconds, log-uniform: long exposures see the hand's tremor
    rolling_share: float = 0.3  # cameras that expose row after row
    sharp_share: float = 0.05  # pairs without motion: the network must leave sharp frames alone

    # The camera.
    # GoPro's `blur` frames, on which everyone is measured, were averaged as displayed and not as light.
    display_space_share: float = 0.5
    exposure: tuple[float, float] = (-0.6, 0.6)  # stops, against the photograph
    tint: float = 0.06  # standard deviation of the white balance: log gain of red and of blue
    softness: tuple[float, float] = (0.0, 0.8)  # sigma of the lens, on target and input alike
    noise: tuple[float, float] = (0.0, 0.04)  # standard deviation at full light (linear, 1 is white), on the input only
    bayer_share: float = 0.3  # noise and detail go through a colour filter array, on the input only
    compressed_share: float = 0.3  # JPEG or H.264 quantisation, on the input only

    @property
    def longest(self) -> float:
        """The longest path that any layer may take, in pixels."""
        return max(self.camera_blur[1], self.object_blur[1], 1.0)

    @property
    def margin(self) -> int:
        """How far the photograph reaches beyond the frame on each side: half a path, its corners a little more."""
        return int(0.6 * self.longest) + 4

    @property
    def seen(self) -> tuple[int, int]:
        """(height, width) of the part of the photograph that can come into view."""
        return self.size[0] + 2 * self.margin, self.size[1] + 2 * self.margin
