"""Coverage: frames that differ as much as the source lets them, so that few of them stand for all of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.frame import Image

# BT.601 luma of 2 x 2 pixels' mean, as weights of two pixels beside each other, B G R B G R, after adding two rows.
LUMA = np.array([0.114, 0.587, 0.299, 0.114, 0.587, 0.299], np.float32) / 4
BLOCK = 4  # half-size pixels: motion is looked for at an eighth of the frame's size, where noise is averaged out
# Correlation of two frames of one scene, at that size: 0.62 and more in videos and a shaken camera's pictures; of 1500
# unrelated pictures, 99 % are below 0.54.
SAME_SCENE = 0.6
# Grey levels, or octaves of sharpness. A feature that varies less over the source says nothing about it: divided by
# its own deviation, its noise would weigh as much as the others.
LEAST_DEVIATION = 0.1
WORDS = (  # of each feature, in the order of `Features`: less, least, more, most
    ("blurrier", "blurriest", "sharper", "sharpest"),
    ("darker", "darkest", "brighter", "brightest"),
    ("less contrast", "least contrast", "more contrast", "most contrast"),
    ("less motion", "least motion", "more motion", "most motion"),
)


@dataclass(frozen=True)
class Features:
    """What frames are told apart by, of the luma at half size, in grey levels of 0 to 255."""

    sharpness: float  # octaves: log2(1 + mean squared Laplacian); blur and darkness lower it
    brightness: float  # mean
    contrast: float  # standard deviation
    # Mean absolute difference to the frame before, at an eighth of the size. 0: not known, since there is no frame
    # before, or it is of another size or scene, or the same once more.
    motion: float


def half_luma(image: Image) -> NDArray[np.float32]:
    """Luma of (H, W, 3) uint8 BGR at half size, (⌈H/2⌉, ⌈W/2⌉), 0 to 255; odd sides repeat their last row or column."""
    height, width = image.shape[:2]
    even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    rows = np.add(even[0::2], even[1::2], dtype=np.float32)
    return np.asarray(rows.reshape(len(rows), -1, 6) @ LUMA)


def features_of(luma: NDArray[np.float32], before: NDArray[np.float32] | None) -> Features:
    """Features of a frame by its `half_luma` of any size and that of the frame before it in the source."""
    framed = np.pad(luma, 1, "edge")
    around = framed[:-2, 1:-1] + framed[2:, 1:-1] + framed[1:-1, :-2] + framed[1:-1, 2:]
    laplacian = around - 4 * luma
    sharpness = math.log2(1 + float(np.mean(laplacian * laplacian)))
    motion = 0.0 if before is None or before.shape != luma.shape else _motion(_blocks(luma), _blocks(before))
    return Features(sharpness, float(luma.mean()), float(luma.std()), motion)


def spread(features: NDArray[np.float64], candidates: Sequence[int], count: int) -> list[int]:
    """At most `count` of the `candidates`, rows of (N, 4) `features` of all frames of a source, in order of choice.

    The first is nearest to the mean of all rows; each of the others is the one least like those before it, with every
    feature in units of its standard deviation over all rows. What a prefix of the choice leaves out of the candidates
    is therefore never further from it than twice what the best choice of so many could reach (Gonzalez, "Clustering to
    minimize the maximum intercluster distance", Theoretical Computer Science 38, 1985).
    """
    if count < 1 or not candidates:
        return []
    return [candidates[place] for place in farthest_first(_standardised(features)[list(candidates)], count)]


def reasons(features: NDArray[np.float64], chosen: Sequence[int]) -> list[str]:
    """Why `spread` has chosen each, in words: the feature that set it apart, and to which side."""
    if not chosen:
        return []
    points = _standardised(features)
    later = [_reason(points, chosen[:place], chosen[place]) for place in range(1, len(chosen))]
    return ["nearest to the average", *later]


def farthest_first(points: NDArray[np.float64], count: int) -> list[int]:
    """Rows of (N, D) `points`, N > 0, at most `count` > 0: nearest to the origin, then each farthest from all before.

    Of equals the first. Equal points are all taken in the end, so that min(N, count) different rows come out.
    """
    distances = np.full(len(points), np.inf)  # to the nearest row chosen so far; below 0 for those chosen
    order = [int(np.linalg.norm(points, axis=1).argmin())]
    while len(order) < min(len(points), count):
        distances = np.minimum(distances, np.linalg.norm(points - points[order[-1]], axis=1))
        distances[order[-1]] = -1
        order.append(int(distances.argmax()))
    return order


def _standardised(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances from the mean in standard deviations, (N, 4); unknown motion stands at the mean of the known."""
    known = features[:, 3] > 0
    centre, deviation = features.mean(0), features.std(0)
    if known.any():
        centre[3], deviation[3] = features[known, 3].mean(), features[known, 3].std()
    points = (features - centre) / np.maximum(deviation, LEAST_DEVIATION)
    points[~known, 3] = 0
    return np.asarray(points)


def _reason(points: NDArray[np.float64], before: Sequence[int], chosen: int) -> str:
    """The feature that sets a row of `points` apart from the rows chosen before it, and to which side."""
    point, earlier = points[chosen], points[list(before)]
    gaps = point - earlier[np.linalg.norm(earlier - point, axis=1).argmin()]
    feature = int(np.abs(gaps).argmax())
    if not gaps[feature]:
        return "like one before it"
    less, least, more, most = WORDS[feature]
    is_more = gaps[feature] > 0
    values, earlier_values, value = points[:, feature], earlier[:, feature], point[feature]
    if value == (values.max() if is_more else values.min()):
        return most if is_more else least
    beyond_all = value > earlier_values.max() if is_more else value < earlier_values.min()
    return f"{more if is_more else less} than {'all' if beyond_all else 'the nearest'} before it"


def _motion(small: NDArray[np.float32], before: NDArray[np.float32]) -> float:
    """Mean absolute difference of two small pictures of one scene; 0 across a cut, in an album and of flat pictures."""
    covariance = float(np.mean((small - small.mean()) * (before - before.mean())))
    alike = covariance > SAME_SCENE * max(float(small.std() * before.std()), LEAST_DEVIATION**2)
    return float(np.abs(small - before).mean()) if alike else 0.0


def _blocks(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of blocks of BLOCK x BLOCK; the last ones are filled up with their edge."""
    height, width = luma.shape
    padded = np.pad(luma, ((0, -height % BLOCK), (0, -width % BLOCK)), "edge")
    blocks = padded.reshape(padded.shape[0] // BLOCK, BLOCK, padded.shape[1] // BLOCK, BLOCK)
    return np.asarray(blocks.mean((1, 3)), np.float32)
