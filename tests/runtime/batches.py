"""`edgedeblur batch` in processes of their own, and what the tests see of them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from runtime.batch.jobs import leftovers
from runtime.sources.source import frames_of, open_source

ROOT = Path(__file__).parents[2]


@contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[str]]:
    """`edgedeblur batch` in a process of its own, which does not outlive the block."""
    command = [sys.executable, "-m", "edgedeblur", "batch", *map(str, words)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def runs_on(path: Path) -> list[int]:
    """Processes that run `edgedeblur run` on `path`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if str(path).encode() in words and any(b"runtime.batch.child" in word for word in words):
                found.append(int(entry.name))
    return found


def wait_for(found: Callable[[], Any], within_s: float = 40.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return value


def begun(out: Path) -> list[Path]:
    """Half-made results with something in them; `run` first tries whether it may write, and takes that away again."""
    found = []
    for path in leftovers(out):
        with suppress(FileNotFoundError):
            found += [path] if path.stat().st_size > 0 else []
    return found


def in_mid_file(film: Path, out: Path) -> int:
    """The process that works on `film`, once its result has begun."""
    wait_for(lambda: begun(out))
    (process,) = runs_on(film)
    return process


def frame_count(path: Path) -> int:
    return len(list(frames_of(open_source(str(path)))))
