"""Writing files that are whole or not there: the one writer of models, engines and their sidecars."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from edgedeblur import ExitCode, Failure

ADVICE = "free space or choose another place"


def write_whole(contents: Mapping[Path, bytes], advice: str = ADVICE) -> None:
    """Write all files or none: each goes whole to a name of its own in the same folder, then all are renamed.

    Raises Failure (ENVIRONMENT), ending with `advice`, when the disk is full or not writable or a target is a device
    or a folder; what was there before is then untouched.
    """
    temporary = {path: temporary_name(path) for path in contents}
    path = next(iter(contents))
    try:
        for path in contents:
            check_regular(path)
        for path, data in contents.items():
            write_durably(temporary[path], data)
        for path, written in temporary.items():
            os.replace(written, path)
    except OSError as error:
        raise cannot_write(path, error, advice) from error
    finally:
        for written in temporary.values():
            written.unlink(missing_ok=True)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file that must not be there yet, down to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)  # not mkstemp: the umask decides who reads
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def temporary_name(path: Path) -> Path:
    """A hidden name in the folder of `path` that nobody else uses; short, because `path` may be as long as allowed."""
    return path.with_name(f".{path.name[:40]}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def check_regular(path: Path) -> bool:
    """Whether there is a file at `path`. Raises Failure (ENVIRONMENT) for a folder or a device, which no file replaces.

    Raises OSError when that cannot be told.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(mode):
        found = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
        raise Failure(f"{path} is {found}; expected the name of a file to write", ExitCode.ENVIRONMENT)
    return True


def check_free(paths: Iterable[Path], force: bool, advice: str = ADVICE, found: str = "is there already") -> None:
    """Raises Failure: USAGE for a file that is there without `force`, ENVIRONMENT for what no file can replace."""
    for path in paths:
        try:
            there = check_regular(path)
        except OSError as error:
            raise cannot_write(path, error, advice) from error
        if there and not force:
            raise Failure(f"{path} {found}; give another name, or add --force to write over it")


def cannot_write(path: Path, error: OSError, advice: str = ADVICE) -> Failure:
    """The Failure for what the system said when `path` was written."""
    return Failure(f"{path} cannot be written: {error.strerror}; {advice}", ExitCode.ENVIRONMENT)
