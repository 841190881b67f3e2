"""`edgedeblur run` as the child of a worker, which it never outlives: its file would be written by two otherwise."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PR_SET_PDEATHSIG = 1  # source: linux/prctl.h
# Not `-m`: that looks into the current folder first, which may hold anything.
START = "import sys; sys.path.insert(0, {root!r}); from runtime.batch.child import main; sys.exit(main(sys.argv[1:]))"


def child_command(words: Sequence[str]) -> list[str]:
    """The command that runs `edgedeblur run` with `words` for as long as this process lives."""
    return [sys.executable, "-c", START.format(root=str(ROOT)), str(os.getpid()), *words]


def main(arguments: Sequence[str]) -> int:
    """arguments: the process id of the parent, then the words of `run`."""
    parent, *words = arguments
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it died before it could be watched
        return 1
    import edgedeblur

    return edgedeblur.main(["run", *words])
