"""Where this program keeps what it can make again, for this user."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """`$XDG_CACHE_HOME/edgedeblur`, else `~/.cache/edgedeblur`; it need not be there."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgedeblur"
