"""Alone: one batch for a folder and all that lies below it at a time; what killed workers left there is removed."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from edgedeblur import Failure
from runtime.batch.jobs import leftovers
from runtime.batch.records import remove

LOCK = ".edgedeblur-batch.lock"


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """For as long as a batch works on `out`, which exists.

    Raises: Failure (USAGE) while another one works on it, or on a folder above or below it.
    """
    out = out.absolute()
    with (out / LOCK).open("w") as lock:
        if not _locks(lock, out):
            # Two batches may do files twice, and still leave whole ones. What is half made may be another's, and stays.
            yield
            return
        _check_neighbours(out)
        try:
            _clean(out)
            yield
        finally:
            _clean(out)


def _locks(lock: TextIO, out: Path) -> bool:
    """False on a file system without locks."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _busy(out) from None
    except OSError:
        return False
    return True


def _check_neighbours(out: Path) -> None:
    above = (folder / LOCK for folder in out.parents)
    for path in (*above, *(path for path in out.rglob(LOCK) if path.parent != out)):
        if _is_held(path):
            raise _busy(path.parent)


def _is_held(path: Path) -> bool:
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # most folders have none
        return False
    return False


def _busy(folder: Path) -> Failure:
    return Failure(f"another batch works on '{folder}'; wait for it, or give another -o")


def _clean(out: Path) -> None:
    for path in list(leftovers(out)):
        remove(path)
