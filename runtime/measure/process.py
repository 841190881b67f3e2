"""Process: memory, threads and descriptors of this process, and how long a new one takes to start."""

from __future__ import annotations

import os
import subprocess
import sys
import time

START_UPS = {"edgedeblur --help": ["-m", "edgedeblur", "--help"], "import runtime": ["-c", "import runtime"]}


def resident_bytes() -> int:
    """Memory of this process that is in RAM now, in bytes."""
    with open("/proc/self/statm", encoding="ascii") as fields:
        return int(fields.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def threads() -> int:
    """Threads of this process, those of libraries included."""
    return len(os.listdir("/proc/self/task"))


def descriptors() -> int:
    """Files, pipes and sockets that are open, but for the one that looking takes."""
    return len(os.listdir("/proc/self/fd")) - 1


def start_ups(repeats: int) -> dict[str, float]:
    """Command → seconds, the fastest of some starts of a new Python: the slower ones measure other programs."""
    return {name: min(_start(command) for _ in range(repeats)) for name, command in START_UPS.items()}


def _start(command: list[str]) -> float:
    start = time.perf_counter()
    # Not in our session: a Ctrl-C is ours to answer.
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL, start_new_session=True)
    return time.perf_counter() - start
