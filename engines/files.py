"""Writing without ever leaving half a file, and one build at a time for one engine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from edgedeblur import ExitCode, Failure
from export.passes.whole_files import cannot_write, write_whole

ADVICE = "free space, check the folder's owner and mode, or choose another place"


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write all files or none; see export/passes/whole_files.py. Raises Failure (ENVIRONMENT)."""
    write_whole(contents, ADVICE)


def make_folder(folder: Path, advice: str = ADVICE) -> None:
    """Raises Failure (ENVIRONMENT), ending with `advice`, when the folder cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error, advice) from error


def check_writable(folder: Path) -> None:
    """Raises Failure (ENVIRONMENT) when nothing can be written in the folder: better now than after the build."""
    if not os.access(folder, os.W_OK):
        raise Failure(
            f"{folder} is not writable; choose another place with --engine-dir or --save-engine", ExitCode.ENVIRONMENT
        )


@contextlib.contextmanager
def build_lock(path: Path, advice: str = ADVICE) -> Iterator[None]:
    """Hold `path` locked; wait while another process holds it. The system frees a dead process's lock.

    Raises Failure (ENVIRONMENT), ending with `advice`, when the file cannot be made.
    """
    try:
        descriptor = _locked_descriptor(path)
    except OSError as error:
        raise cannot_write(path, error, advice) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked_descriptor(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another build of the same is running; waiting for {path.name}", file=sys.stderr, flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        # The holder removes the file when it is done: what we waited for may have no name any more, or another's.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)
