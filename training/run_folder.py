"""Folders of runs: a new one for each, and one run at a time in each."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from edgedeblur import ExitCode, Failure
from training import distributed

_held = set[int]()  # descriptors of the folders that this process has locked


def new_folder(project: Path, name: str) -> Path:
    """NAME, or the first free of NAME2, NAME3, …: a run never writes into another's folder.

    Raises Failure (ENVIRONMENT) where none can be made.
    """
    number = 1
    folder = project
    try:
        project.mkdir(parents=True, exist_ok=True)
        while True:
            folder = project / (name if number == 1 else f"{name}{number}")
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
            number += 1
    except OSError as error:
        raise Failure(
            f"cannot create {folder}: {error.strerror}; choose another --project", ExitCode.ENVIRONMENT
        ) from error


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, by a lock that ends with this process, however that ends.

    Of several processes the first holds it for all. Raises Failure (ENVIRONMENT) where another run is in there.
    """
    if distributed.rank() > 0 or not folder.is_dir():  # what is no folder is complained about where it is read
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    _held.add(descriptor)
    try:
        _lock(descriptor, folder)
        yield
    finally:
        _held.remove(descriptor)
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Failure(
            f"another process trains in {folder}; wait until it ends, or start a run beside it with another --name",
            ExitCode.ENVIRONMENT,
        ) from error
    except OSError:
        pass  # a file system without locks


def _let_go() -> None:
    """A worker outlives its killed parent for seconds, in which it would keep the lock that it was forked with."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)
