"""What every output that is a file checks before the run starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from edgedeblur import ExitCode, Failure
from runtime.sinks.guarded_file import lock


def check_output(path: Path, force: bool, inputs: Sequence[Path]) -> None:
    """Refuse a file that is read, that is there already (without `force`), that is being written or cannot be.

    Leaves what is there as it is. Raises: Failure (USAGE) or (ENVIRONMENT).
    """
    if is_one_of(path, inputs):
        raise Failure(f"output '{path}' is also the input; give another name")
    if path.exists() and not path.is_char_device():
        if not path.is_file():
            raise Failure(f"output '{path}' is there and is no file; give another name")
        if not force:
            raise Failure(f"output '{path}' is there already; give another name, or --force to write over it")
    make_folder(path.parent)
    # Trying is the only test that also knows read-only mounts and the like; nothing in the file is touched.
    existed = path.exists()
    try:
        with path.open("ab") as file:
            lock(file.fileno(), path)
    except OSError as error:
        raise cannot_write(path, error) from error
    if not existed:
        path.unlink()


def is_one_of(path: Path, others: Sequence[Path]) -> bool:
    """Whether it is one of these files or folders, by whatever name."""
    return any(path.exists() and other.exists() and path.samefile(other) for other in others)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it. Raises: Failure (ENVIRONMENT)."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Failure(f"no permission to write into '{folder}'; choose another place", ExitCode.ENVIRONMENT)


def cannot_write(path: Path, error: OSError, kept: str = "") -> Failure:
    """The failure for an operating-system error on an output. kept: what stays usable of it."""
    advice = "free some space or choose another place" if error.errno in (28, 27, 122) else "choose another place"
    return Failure(f"cannot write '{path}': {error.strerror}; {kept}{advice}", ExitCode.ENVIRONMENT)
