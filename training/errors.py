"""What torch reports when a machine has too little of something, as messages that name the setting to change."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator

import torch

from edgedeblur import ExitCode, Failure


@contextlib.contextmanager
def explaining() -> Iterator[None]:
    """Errors that a user can act on leave the body as Failures, others as they are."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        failure = explained(error)
        if failure is None:
            raise
        raise failure from error


def explained(error: Exception) -> Failure | None:
    """A Failure for an error that a user can act on; None for what only a developer can."""
    text = str(error)
    first_line = text.strip(" .").partition("\n")[0]
    if isinstance(error, torch.OutOfMemoryError):
        return Failure(f"the GPU has too little memory: {text}; use a smaller --batch or --patch", ExitCode.MEMORY)
    if _is_host_memory(error, text):
        return Failure(
            f"this machine has too little memory: {first_line or 'an allocation failed'}; use a smaller --batch or "
            "--patch, or fewer --workers",
            ExitCode.MEMORY,
        )
    if "DataLoader worker" in text:
        return _of_worker(text, first_line)
    if isinstance(error, torch.distributed.DistError) or "gloo" in text or "NCCL" in text:
        return Failure(
            f"another process of this run is gone ({first_line}); go on with --resume auto", ExitCode.ENVIRONMENT
        )
    return None


def _is_host_memory(error: Exception, text: str) -> bool:
    no_memory = isinstance(error, OSError) and error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or no_memory or "can't allocate memory" in text


def _of_worker(text: str, first_line: str) -> Failure | None:
    if "shared memory" in text or "Bus error" in text:
        return Failure(
            f"/dev/shm is too small for the samples on their way from the workers ({_shared_memory()}); enlarge it "
            "(docker run --shm-size 8g) or use --workers 0",
            ExitCode.ENVIRONMENT,
        )
    if "killed" in text or "exited" in text:
        return Failure(
            f"a process that makes samples has died, for want of memory most often ({first_line}); use fewer "
            "--workers, or 0 to see what goes wrong, and go on with --resume auto",
            ExitCode.MEMORY,
        )
    return None


def _shared_memory() -> str:
    try:
        usage = shutil.disk_usage("/dev/shm")
    except OSError:
        return "it cannot be read"
    return f"{usage.free / 2**20:.0f} of {usage.total / 2**20:.0f} MiB are free"
