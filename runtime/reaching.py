"""Paths that cannot be looked at, named before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from edgedeblur import ExitCode, Failure


@contextmanager
def reaching(path: str) -> Iterator[None]:
    """Looks at `path` and runs the block; one that is not there is the block's to tell.

    Raises: Failure (ENVIRONMENT) where the operating system refuses to look, here or in the block.
    """
    try:
        # Asked here, since `Path.exists` hides a missing permission in newer Pythons and raises it in older ones.
        with suppress(FileNotFoundError, NotADirectoryError):
            os.stat(path)
        yield
    except PermissionError as error:
        raise Failure(
            f"no permission to reach '{path}'; check the owner and mode of it and of the folders it is in (ls -ld), "
            "or give another path",
            ExitCode.ENVIRONMENT,
        ) from error
    except OSError as error:
        raise Failure(f"cannot reach '{path}': {error.strerror}; give another path", ExitCode.ENVIRONMENT) from error
