"""Several processes that train as one, as torchrun starts them: who is who, and how all go on or end together.

What is told here are a few numbers between steps; the gradients are DistributedDataParallel's. One process alone needs
no launcher: then each function does nothing, or answers for that one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
from torch import distributed

from edgedeblur import ExitCode, Failure


def size() -> int:
    """How many processes train."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Which one this is. Process 0 is the one that writes, validates and prints."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def own_device(asked: str) -> str:
    """Under torchrun each process of a machine has a GPU of its own. Raises Failure (USAGE) for one that all share."""
    if not distributed.is_torchelastic_launched():
        return asked
    if asked.startswith("cuda:"):
        raise Failure(f"--device is {asked}; expected cuda under torchrun, where each process takes a GPU of its own")
    gpu = asked == "cuda" or (asked == "auto" and torch.cuda.is_available())
    return f"cuda:{os.environ['LOCAL_RANK']}" if gpu else asked


@contextlib.contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the processes that torchrun started, all but process 0 silent. Raises Failure (ENVIRONMENT)."""
    if not distributed.is_torchelastic_launched():
        yield
        return
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.set_device(device)
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise Failure(f"the processes cannot join: {reason}; start them with torchrun", ExitCode.ENVIRONMENT) from error
    try:
        with _silent_unless_first():
            yield
    finally:
        distributed.destroy_process_group()


def gather(*values: float) -> list[list[float]]:
    """The values of every process, in the order of their ranks."""
    own = torch.tensor(values, dtype=torch.float64)
    if size() == 1:
        return [own.tolist()]
    rows = [torch.empty_like(own) for _ in range(size())]
    distributed.all_gather(rows, own)
    return [row.tolist() for row in rows]


def from_first(text: str) -> str:
    """The text that process 0 has."""
    texts = [text]
    if size() > 1:
        distributed.broadcast_object_list(texts)
    return texts[0]


@contextlib.contextmanager
def together() -> Iterator[None]:
    """A Failure in the body of one process ends all, with its exit code. Every process must come through here."""
    failure = None
    try:
        yield
    except Failure as error:
        failure = error
    codes = gather(failure.code if failure else ExitCode.OK)
    if failure:
        raise failure
    worst = ExitCode(int(max(max(codes))))
    if worst:
        raise Failure("another process of this run failed; its message is with this one", worst)


@contextlib.contextmanager
def _silent_unless_first() -> Iterator[None]:
    if rank() == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield
