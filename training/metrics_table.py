"""metrics.csv: a row for each validation, in step with the checkpoint that a run goes on from."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from edgedeblur import ExitCode, Failure
from training.whole_files import replacing


def append_row(path: Path, row: Mapping[str, float]) -> None:
    """Add a row, under a header where the file is new. Raises Failure (ENVIRONMENT) when it cannot be written.

    A table with other columns, as another version wrote it, is kept beside the new one.
    """
    header = ",".join(row) + "\n"
    try:
        if path.exists() and _text(path).partition("\n")[0] not in ("", header.strip()):
            before = path.with_name(f"{path.stem}-before{path.suffix}")
            os.replace(path, before)
            print(f"{path} had other columns; it is {before} now", file=sys.stderr)
        with path.open("a") as table:
            start = "" if table.tell() else header
            table.write(start + ",".join(f"{value:.12g}" for value in row.values()) + "\n")
            table.flush()
            os.fsync(table.fileno())  # as the checkpoint, which says that this row was written
    except OSError as error:
        raise _unwritable(path, error) from error


def drop_rows_after(path: Path, step: int) -> None:
    """Remove rows of validations after the one at `step`, and lines cut short: those validations come again.

    Raises Failure (ENVIRONMENT) when the file cannot be read or written.
    """
    try:
        text = _text(path) if path.exists() else ""
        header, *rows = text.splitlines(keepends=True) or [""]
        rows = [row for row in rows if _is_whole(row, header) and _step(row) <= step]
        kept = header + "".join(rows) if header.endswith("\n") else ""
        if kept != text:
            with replacing(path) as partial, partial.open("w") as file:
                file.write(kept)
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise _unwritable(path, error) from error


def _text(path: Path) -> str:
    return path.read_text(errors="replace")


def _is_whole(row: str, header: str) -> bool:
    return row.endswith("\n") and row.count(",") == header.count(",")


def _step(row: str) -> float:
    try:
        return float(row.split(",")[0])
    except ValueError:  # no row of ours
        return float("inf")


def _unwritable(path: Path, error: OSError) -> Failure:
    return Failure(f"cannot write {path}: {error.strerror}; free some space or choose --project", ExitCode.ENVIRONMENT)
