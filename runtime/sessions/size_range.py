"""SizeRange: which frame sizes an engine takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgedeblur import ExitCode, Failure
from runtime.frame import size_text

Size = tuple[int, int]  # (height, width) in pixels


@dataclass(frozen=True)
class SizeRange:
    """From `smallest` to `largest`, each side by itself; `usual` is the one it is fastest at."""

    smallest: Size
    usual: Size
    largest: Size

    @property
    def is_fixed(self) -> bool:
        """Whether it is one size only."""
        return self.smallest == self.largest

    def takes(self, size: Size) -> bool:
        """Whether (height, width) lies in the range, each side by itself."""
        return all(low <= side <= high for low, side, high in zip(self.smallest, size, self.largest, strict=True))

    def check(self, size: Size, engine: Path) -> None:
        """Raises: Failure (MODEL), naming the range, for a frame that does not fit."""
        if self.takes(size):
            return
        raise Failure(
            f"engine '{engine}' takes frames of {self.text}, these are {size_text(size)}; build one for them: "
            f"edgedeblur build MODEL.onnx --size {size[0]}x{size[1]}",
            ExitCode.MODEL,
        )

    @property
    def text(self) -> str:
        """As people write it, width first: `1280x720 only`."""
        if self.is_fixed:
            return f"{size_text(self.largest)} only"
        return f"{size_text(self.smallest)} to {size_text(self.largest)}"


def fixed_size(size: Size) -> SizeRange:
    """One size and no other."""
    return SizeRange(size, size, size)
