"""Where this program keeps what it can make again, for this user."""

from __future__ import annotations

import os
from pathlib import Path

from edgedeblur import ExitCode, Failure


def user_cache() -> Path:
    """`$XDG_CACHE_HOME/edgedeblur`, else `~/.cache/edgedeblur`; it need not be there. Raises: Failure (ENVIRONMENT)."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgedeblur"
    except RuntimeError as error:  # a container's user whom nobody entered
        raise Failure(
            "this user has no home folder to look for engines in; set HOME or XDG_CACHE_HOME", ExitCode.ENVIRONMENT
        ) from error
