"""Files that `val` writes: checked before hours of measuring, never over others unasked."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgedeblur import ExitCode, Failure
from training.evaluation.rows import Row


def check_output(path: Path, suffix: str, force: bool) -> None:
    """Raises Failure for a file that could not be written later: USAGE for its name, ENVIRONMENT for its folder."""
    if path.suffix != suffix:
        raise Failure(f"the output {path} has no name that ends in {suffix}; give one")
    if path.is_dir():
        raise Failure(f"{path} is a folder; give the name of a file in it")
    if path.exists() and not force:
        raise Failure(f"{path} is there already; give another name, or --force to write over it")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        found = "cannot be written to" if path.parent.is_dir() else "is not a folder"
        raise Failure(f"cannot write {path}: {path.parent} {found}; create it or choose another", ExitCode.ENVIRONMENT)


class RowsFile:
    """A CSV that grows with every frame: whatever ends a long run, the rows so far are in it."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        """columns: of the rows' values. Raises Failure (ENVIRONMENT) when the file cannot be written."""
        self._path, self._columns = path, columns
        with _writing(path), path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(["sequence", "frame", "method", *columns])

    def add(self, rows: Sequence[Row]) -> None:
        """One line a row; a value it lacks is empty."""
        lines = [
            [row.sequence, row.frame, row.method, *(row.values.get(column, "") for column in self._columns)]
            for row in rows
        ]
        with _writing(self._path), self._path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Failure(
            f"cannot write {path}: {error.strerror}; free some space or choose another place", ExitCode.ENVIRONMENT
        ) from error
