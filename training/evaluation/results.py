"""What a run of `val` has measured so far: printed, written and kept as it comes, and summed up at the end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2

from training.evaluation.gallery import Gallery
from training.evaluation.models import Model
from training.evaluation.outputs import RowsFile
from training.evaluation.report import (
    FLICKER,
    SHARP,
    SHARP_BAR,
    Kind,
    document,
    frame_header,
    frame_line,
    method_table,
    sequence_table,
)
from training.evaluation.rows import Measured, Row
from training.evaluation.summary import Summary, by_method, by_sequence
from training.whole_files import replacing


class Results:
    """Rows of all frames, and the files made of them."""

    def __init__(
        self, kind: Kind, models: Sequence[Model], csv: Path | None, pictures: Path | None, quiet: bool
    ) -> None:
        """csv, pictures: files to write. quiet: print no line a frame."""
        self._kind, self._models, self._quiet, self._pictures = kind, models, quiet, pictures
        self.rows: list[Row] = []
        self._size = (0, 0)  # (height, width) of the first frame
        self._gallery = Gallery([model.name for model in models])
        self._file = RowsFile(csv, kind.values) if csv else None

    def add(self, measured: Measured) -> None:
        """One more frame."""
        if not self.rows:
            height, width = next(iter(measured.pictures.values())).shape[:2]
            self._size = height, width
            self._print(frame_header(measured.rows, self._kind))
        self.rows += measured.rows
        if self._file:
            self._file.add(measured.rows)  # before the line: what is on the screen is in the file
        self._print(frame_line(measured.rows, self._kind))
        if self._pictures:
            self._gallery.add(measured)

    def conclude(self) -> None:
        """Write the picture of what was measured."""
        if self._pictures and self._gallery.count:  # rows alone are there where the first could not be written
            _, encoded = cv2.imencode(".png", self._gallery.picture())
            with replacing(self._pictures) as partial:
                partial.write_bytes(encoded.tobytes())

    def text(self, title: str) -> str:
        """The tables, and what their columns mean. title: what was measured, in words."""
        methods = self._methods()
        frames = len(self.rows) // len(methods)
        sequences = sequence_table(by_sequence(self.rows))
        parts = [
            "",
            method_table(methods, self._kind),
            f"{title}: {frames} frames",
            *self._remarks(methods),
        ]
        return "\n".join([*parts, *(["", sequences] if sequences else [])])

    def json(self, model: Path) -> str:
        """One JSON document."""
        content = document(self.rows, self._methods(), self._kind, self._models[0].name)
        return json.dumps({"model": str(model), **content})

    def _remarks(self, methods: dict[str, Summary]) -> list[str]:
        places = ", ".join(f"{model.name} on {model.device}" for model in self._models)
        height, width = self._size
        remarks = [f"ms/frame: median, from frame in memory to frame in memory, {places}; GMACs at {height}x{width}"]
        if self._kind is SHARP:
            for model in self._models:
                remarks.append(_sharp_verdict(model.name, methods[model.name]["psnr_lowest"]))
        elif any("flicker" in summary for summary in methods.values()):
            remarks.append(FLICKER[self._kind])
        return remarks

    def _methods(self) -> dict[str, Summary]:
        methods = by_method(self.rows)
        for model in self._models:
            methods[model.name] |= model.cost(self._size)
        return methods

    def _print(self, line: str) -> None:
        if not self._quiet:
            print(line, flush=True)


def _sharp_verdict(name: str, lowest: float) -> str:
    """lowest: dB. In a mean, frames that are left alone, 100 dB each, would hide one that is ruined."""
    held = "leaves sharp frames alone" if lowest >= SHARP_BAR else "changes sharp frames too much"
    return f"{name} {held}: {lowest:.2f} dB to its input at worst, expected at least {SHARP_BAR:.0f} dB"
