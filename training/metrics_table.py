"""metrics.csv: a row for each validation, in step with the checkpoint that a run goes on from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from edgedeblur import ExitCode, Failure


def append_row(path: Path, row: Mapping[str, float]) -> None:
    """Add a row, under a header where the file is new. Raises Failure (ENVIRONMENT) when it cannot be written."""
    try:
        with path.open("a") as table:
            if table.tell() == 0:
                table.write(",".join(row) + "\n")
            table.write(",".join(f"{value:.12g}" for value in row.values()) + "\n")
    except OSError as error:
        raise _unwritable(path, error) from error


def drop_rows_after(path: Path, step: int) -> None:
    """Remove what was written after the checkpoint of `step`, a row cut short included: those steps come again.

    Raises Failure (ENVIRONMENT) when the file cannot be read or written.
    """
    try:
        if not path.exists():
            return
        header, *rows = path.read_text().splitlines(keepends=True) or [""]
        kept = [row for row in rows if _is_whole(row, header) and float(row.split(",")[0]) <= step]
        if kept != rows:
            partial = path.with_suffix(".partial")
            partial.write_text(header + "".join(kept))
            os.replace(partial, path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _is_whole(row: str, header: str) -> bool:
    return row.endswith("\n") and row.count(",") == header.count(",")


def _unwritable(path: Path, error: OSError) -> Failure:
    return Failure(f"cannot write {path}: {error.strerror}; free some space or choose --project", ExitCode.ENVIRONMENT)
