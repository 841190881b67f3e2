"""Frame sizes on the command line: (height, width), and which of them an engine can be built for."""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgedeblur import Failure
from export.passes.model_file import smallest_size

# Sampling indices are int32 rows of a coarse feature map; 8K video is 4320x7680. Beyond this no GPU has the memory.
LARGEST_SIDE = 16384


def parse_size(text: str) -> tuple[int, int]:
    """`720x1280` → (720, 1280). Raises Failure (USAGE)."""
    match = re.fullmatch(r"(\d{1,9})[xX](\d{1,9})", text.strip())
    if match is None:
        raise Failure(f"--size is '{text}'; expected HEIGHTxWIDTH in pixels, such as 720x1280")
    return int(match[1]), int(match[2])


def check_size(size: tuple[int, int], metadata: Mapping[str, str]) -> None:
    """Raises Failure (USAGE) when the model cannot take `size`, (MODEL) when it does not say what it takes."""
    smallest = smallest_size(metadata)
    if size[0] < smallest[0] or size[1] < smallest[1]:
        raise Failure(f"--size is {_text(size)}; this model takes {_text(smallest)} (height x width) or more")
    if max(size) > LARGEST_SIDE:
        raise Failure(f"--size is {_text(size)}; expected at most {LARGEST_SIDE} pixels on a side")


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
