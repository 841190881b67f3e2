"""Models and pairs for the tests of `edgedeblur val`: what comes out of them is known by arithmetic."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnx.helper
import onnx.parser
from numpy.typing import NDArray

import edgedeblur
from training.synthesis.deadleaves import dead_leaves

Image = NDArray[np.uint8]
SIZE = (44, 60)
LIGHTER = """<ir_version: 9, opset_import: ["" : 19]>
g (uint8[H, W, 3] frame) => (uint8[H, W, 3] sharp) {
  values = Cast<to=1>(frame)
  step = Constant<value_float=4.0>()
  more = Add(values, step)
  sharp = Cast<to=2>(more)
}"""


def onnx_file(path: Path, text: str = LIGHTER, **metadata: str) -> Path:
    model = onnx.parser.parse_model(text)
    onnx.helper.set_model_props(model, {f"edgedeblur.{key}": value for key, value in metadata.items()})
    onnx.save(model, path)
    return path


def write(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def scene(seed: int, size: tuple[int, int] = SIZE) -> Image:
    """Levels from 60 to 187, so that no test's sum is clipped."""
    return dead_leaves(np.random.default_rng(seed), size, leaves=80) // 2 + 60


def write_pairs(folder: Path) -> Path:
    """Inputs of two sizes that are 1, 2 and 6 levels too dark."""
    for index, (darker, width) in enumerate(((1, 60), (2, 60), (6, 71))):
        sharp = scene(index, (44, width))
        write(folder / "sharp" / f"{index}.png", sharp)
        write(folder / "blur" / f"{index}.png", sharp - np.uint8(darker))
    return folder


def val(*words: object) -> int:
    return edgedeblur.main(["val", "--device", "cpu", *map(str, words)])
