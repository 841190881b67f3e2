"""Folders of runs: a new one for each run, and the one to go on with."""

from __future__ import annotations

from pathlib import Path

from edgedeblur import ExitCode, Failure
from training.checkpoint import LAST, PREVIOUS


def new_folder(project: Path, name: str) -> Path:
    """NAME, or the first free of NAME2, NAME3, …: a run never writes into another's folder.

    Raises Failure (ENVIRONMENT) where none can be made.
    """
    number = 1
    while True:
        folder = project / (name if number == 1 else f"{name}{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise Failure(
                f"cannot create {folder}: {error.strerror}; choose another --project", ExitCode.ENVIRONMENT
            ) from error
        else:
            return folder


def newest_checkpoint(project: Path, name: str) -> Path | None:
    """The last.pt of the run of this name (or NAME2, NAME3, …) that wrote last; None where there is none.

    It may be missing where the machine died at the wrong moment: then there is a previous.pt beside it.
    """
    runs = [
        folder for folder in project.glob(f"{name}*") if folder.name == name or folder.name.removeprefix(name).isdigit()
    ]
    written = [folder / file for folder in runs for file in (LAST, PREVIOUS) if (folder / file).is_file()]
    newest = max(written, key=lambda path: path.stat().st_mtime, default=None)
    return newest.with_name(LAST) if newest else None
