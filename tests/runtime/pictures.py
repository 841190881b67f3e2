"""Writes the pictures that tests read."""

from __future__ import annotations

from pathlib import Path

from runtime.frame import Image
from runtime.sinks.image_sink import encode_image


def write_png(path: Path, image: Image) -> Path:
    """`image` (H, W, 3) uint8 BGR as a PNG; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_image(image, ".png"))
    return path
