"""Writing files whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from edgedeblur import ExitCode, Failure


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write in place of `path`, which it becomes when all went well. Raises Failure (ENVIRONMENT)."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise Failure(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another place",
            ExitCode.ENVIRONMENT,
        ) from error
    finally:
        with contextlib.suppress(OSError):  # gone already, or never made
            partial.unlink()
