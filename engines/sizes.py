"""Frame sizes on the command line: (height, width), one or a range, and which of them an engine can be built for."""

from __future__ import annotations

from collections.abc import Mapping

from edgedeblur import Failure
from export.passes.model_file import parse_size, smallest_size
from runtime.sessions.size_range import Size, SizeRange, fixed_size

# Sampling indices are int32 rows of a coarse feature map; 8K video is 4320x7680. Beyond this no GPU has the memory.
LARGEST_SIDE = 16384


def text_of(size: Size) -> str:
    """(720, 1280) → `720x1280`: the command line is height x width, as tensors are."""
    return f"{size[0]}x{size[1]}"


def name_of_sizes(sizes: SizeRange) -> str:
    """As it stands in engine names: `720x1280`, or smallest, usual and largest: `360x640_720x1280_1080x1920`."""
    steps = (sizes.usual,) if sizes.is_fixed else (sizes.smallest, sizes.usual, sizes.largest)
    return "_".join(map(text_of, steps))


def parse_sizes(size: str | None, smallest: str | None, usual: str | None, largest: str | None) -> SizeRange:
    """What --size, or --min-size, --opt-size and --max-size, ask for. Raises Failure (USAGE) unless they fit together.

    Without --opt-size the engine is tuned for the largest size.
    """
    if size is not None:
        if any(text is not None for text in (smallest, usual, largest)):
            raise Failure("--size is for one frame size, --min-size to --max-size for a range; give one of the two")
        return fixed_size(parse_size(size))
    if smallest is None or largest is None:
        given = "half a range is given" if smallest or usual or largest else "no frame size is given"
        raise Failure(f"{given}; expected --size HxW, or --min-size HxW and --max-size HxW for a range")
    sizes = SizeRange(
        parse_size(smallest, "--min-size"),
        parse_size(usual if usual is not None else largest, "--opt-size"),
        parse_size(largest, "--max-size"),
    )
    if not sizes.takes(sizes.smallest) or not sizes.takes(sizes.usual):
        raise Failure(
            f"--min-size {text_of(sizes.smallest)}, --opt-size {text_of(sizes.usual)} and --max-size "
            f"{text_of(sizes.largest)} do not grow; expected none smaller than the one before, in height and in width"
        )
    return sizes


def check_sizes(sizes: SizeRange, metadata: Mapping[str, str]) -> None:
    """Raises Failure (USAGE) when the model cannot take one of `sizes`, (MODEL) when it does not say what it takes."""
    model = smallest_size(metadata)
    smallest, largest = ("--size", "--size") if sizes.is_fixed else ("--min-size", "--max-size")
    if sizes.smallest[0] < model[0] or sizes.smallest[1] < model[1]:
        raise Failure(
            f"{smallest} is {text_of(sizes.smallest)}; this model takes {text_of(model)} (height x width) or more"
        )
    if max(sizes.largest) > LARGEST_SIDE:
        raise Failure(f"{largest} is {text_of(sizes.largest)}; expected at most {LARGEST_SIDE} pixels on a side")
