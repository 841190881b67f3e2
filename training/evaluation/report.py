"""What was measured, as lines and tables for people and as one JSON document for programs."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from training.evaluation.rows import INPUT, Row
from training.evaluation.summary import Summary, by_sequence

SHARP_BAR = 40.0  # dB: what a model may change on a frame that is sharp already

_COLUMNS = {  # how a value of a summary is headed and written
    "frames": ("frames", ".0f"),
    "psnr": ("PSNR", ".3f"),
    "gain": ("gain", "+.3f"),
    "psnr_std": ("PSNR std", ".3f"),
    "psnr_lowest": ("lowest", ".3f"),
    "ssim": ("SSIM", ".4f"),
    "lpips": ("LPIPS", ".4f"),
    "change": ("change", ".3f"),
    "flicker": ("flicker", ".3f"),
    "unsteadiness": ("flicker/change", ".2f"),
    "ms": ("ms/frame", ".1f"),
    "gmacs": ("GMACs", ".2f"),
    "parameters": ("parameters", ",.0f"),
}
_NAME = 28  # characters for a frame's name
_COST = ("ms", "gmacs", "parameters")
_OF_SEQUENCES = ("frames", "psnr", "psnr_std", "psnr_lowest", "ssim", "flicker")


@dataclasses.dataclass(frozen=True)
class Kind:
    """One way of measuring: what its lines, files and tables show."""

    frames: str  # the key of the frames in the JSON
    values: tuple[str, ...]  # of each frame, as columns of the CSV; the first one is printed as it comes
    columns: tuple[str, ...]  # of each method


PAIRS = Kind("pairs", ("psnr", "ssim", "lpips", "flicker", "ms"), ("psnr", "gain", "ssim", "lpips", "flicker", *_COST))
SHARP = Kind("frames", ("psnr", "ms"), ("psnr", "psnr_lowest", *_COST))
UNPAIRED = Kind("frames", ("change", "flicker", "ms"), ("change", "flicker", "unsteadiness", *_COST))
FLICKER = {
    PAIRS: "flicker: RMS of what the error changes from one frame to the next, grey levels",
    UNPAIRED: "change: RMS of output - input, grey levels; flicker: RMS of what in it does not move with the scene",
}


def frame_line(rows: Sequence[Row], kind: Kind) -> str:
    """A frame's name and the first value of each method."""
    key = kind.values[0]
    values = (f"{row.values[key]:>{_width(row.method)}{_COLUMNS[key][1]}}" for row in rows)
    return _name(rows[0].frame) + "".join(values)


def frame_header(rows: Sequence[Row], kind: Kind) -> str:
    """What stands above the frames' lines."""
    title = f"{_COLUMNS[kind.values[0]][0]} of"
    return _name(title) + "".join(f"{row.method:>{_width(row.method)}}" for row in rows)


def method_table(methods: Mapping[str, Summary], kind: Kind) -> str:
    """One line a method."""
    return _table({(method,): summary for method, summary in methods.items()}, kind.columns)


def sequence_table(sequences: Mapping[str, Mapping[str, Summary]]) -> str:
    """One line a video and method; empty without videos."""
    lines: dict[tuple[str, ...], Summary] = {
        (sequence, method): summary for sequence, methods in sequences.items() for method, summary in methods.items()
    }
    return _table(lines, _OF_SEQUENCES) if lines else ""


def document(rows: Sequence[Row], methods: Mapping[str, Summary], kind: Kind, first: str) -> dict[str, Any]:
    """The JSON: mean and pairs (or frames) of the first model, the input's as *_blurred; summaries of all methods."""
    frames: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for row in rows:
        frames[row.frame][row.method] = row.values
    return {
        "mean": _beside_input(methods, first, kind),
        kind.frames: {name: _beside_input(values, first, kind) for name, values in frames.items()},
        "methods": methods,
        "sequences": by_sequence(rows),
    }


def _beside_input(values: Mapping[str, Mapping[str, float]], first: str, kind: Kind) -> dict[str, float]:
    shown: dict[str, float] = {}
    for method, ending in ((INPUT, "_blurred"), (first, "")):
        found = values.get(method, {})
        shown |= {key + ending: found[key] for key in kind.values if key in found and key != "ms"}
    return shown


def _table(lines: Mapping[tuple[str, ...], Summary], keys: Sequence[str]) -> str:
    """Columns that no line has a value for are left out; a value that one line lacks is a dash."""
    shown = [key for key in keys if any(key in summary for summary in lines.values())]
    head = ["", *(_COLUMNS[key][0] for key in shown)]
    body = [
        ["  ".join(label), *(f"{summary[key]:{_COLUMNS[key][1]}}" if key in summary else "-" for key in shown)]
        for label, summary in lines.items()
    ]
    widths = [max(len(cell) for cell in column) for column in zip(head, *body, strict=True)]
    return "\n".join(_aligned(cells, widths) for cells in (head, *body))


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    label, *values = cells
    return "  ".join(
        [label.ljust(widths[0]), *(value.rjust(width) for value, width in zip(values, widths[1:], strict=True))]
    )


def _name(text: str) -> str:
    """The end of a name says more than its start: it is where the frame's number is."""
    return f"{text if len(text) <= _NAME else '…' + text[1 - _NAME :]:{_NAME}}"


def _width(method: str) -> int:
    return max(9, len(method)) + 2
