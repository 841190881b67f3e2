"""`edgedeblur train` in forks of one process that has imported everything: a start takes milliseconds, not seconds.

`python -m tests.training.forks FOLDER`: trains on FOLDER/pairs (FOLDER/odd is data that cannot be read) into
FOLDER/runs, ends the runs in every way there is, and prints their exit codes as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path

import edgedeblur
from tests.training.tiny import MODEL
from training.config import PRESETS

for module in (
    "training.train_command",
    "torch._dynamo",
):  # the first optimiser imports the latter, which takes a second
    importlib.import_module(module)

STEPS = 30
PRESETS["tiny"] = MODEL
COMMON = ["--preset", "tiny", "--patch", "32,48", "--batch", "3", "--val-crops", "2", "--device", "cpu"]
COMMON += ["--steps", str(STEPS), "--validate-every", "7"]


def start(folder: Path, name: str, *more: str, rank: int | None = None, port: int = 0, data: str = "pairs") -> int:
    """Fork one process of a run; with a rank, one of two as torchrun would start it. Returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    if rank is not None:
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": name}
        os.environ.update(place, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    where = ["--data", str(folder / data), "--project", str(folder / "runs"), "--name", name]
    code = edgedeblur.main(["train", *COMMON, *where, *more])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def start_two(folder: Path, name: str, *more: str, data: tuple[str, str] = ("pairs", "pairs")) -> list[int]:
    """Both processes of a run; data: of each."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    return [start(folder, name, *more, rank=rank, port=port, data=data[rank]) for rank in (0, 1)]


def end(pid: int) -> int:
    """Wait; the exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def wait_for_save(last: Path, pid: int) -> None:
    """Until a process writes its checkpoint anew, or has ended."""
    before = last.stat().st_mtime_ns if last.exists() else 0
    while not last.exists() or last.stat().st_mtime_ns == before:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.001)


def killed(folder: Path) -> list[int]:
    """A run that is killed at random moments after its first save, eight times, and then left to end.

    Moments are counted in steps of this machine: a fast one would be through before the last of them.
    """
    moments, codes = random.Random(5), []
    last, step_s = folder / "runs" / "killed" / "last.pt", 0.0
    for often in range(9):
        pid = start(folder, "killed", "--workers", "1", "--save-every", "0", "--resume", "auto")
        if often < 8:
            wait_for_save(last, pid)
            if often == 0:  # every step is saved
                saved_s = time.monotonic()
                wait_for_save(last, pid)
                step_s = time.monotonic() - saved_s
            time.sleep(moments.uniform(0, 1.5 * step_s))
            os.kill(pid, signal.SIGKILL)
        codes.append(end(pid))
    return codes


def stopped(folder: Path) -> list[int]:
    """Two processes, and only the second is told to stop."""
    pids = start_two(folder, "stopped", "--steps", "100000", "--save-every", "0", "--workers", "1")
    wait_for_save(folder / "runs" / "stopped" / "last.pt", pids[1])
    os.kill(pids[1], signal.SIGTERM)
    return [*map(end, pids)]


def lost(folder: Path) -> list[int]:
    """Two processes, and the second is killed."""
    pids = start_two(folder, "lost", "--steps", "100000", "--save-every", "0", "--workers", "1")
    wait_for_save(folder / "runs" / "lost" / "last.pt", pids[1])
    os.kill(pids[1], signal.SIGKILL)
    return [*map(end, pids)]


def main(folder: Path) -> dict[str, list[int]]:
    """Exit codes by the name of the run."""
    return {
        "whole": [end(start(folder, "whole", "--workers", "0"))],
        "killed": killed(folder),
        "two": [*map(end, start_two(folder, "two", "--workers", "0"))],
        "odd": [*map(end, start_two(folder, "odd", "--workers", "1", data=("pairs", "odd")))],
        "stopped": stopped(folder),
        "lost": lost(folder),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
