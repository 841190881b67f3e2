"""Batches of samples, made by worker processes in a fixed order, and their way to the device."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info

from edgedeblur import Failure
from training import distributed
from training.data.samples import Crop, Samples
from training.errors import explaining
from training.interrupt import leave_signals_to_parent
from training.synthesis.scene import Scene
from training.synthesis.synth import render

# (blurred, sharp), each (B, patch, patch, 3) uint8 BGR, a quarter of what floats take; or what they are rendered from.
Batch = tuple[Tensor, Tensor] | Scene


def batches_of(samples: Samples, first: int, batch: int, workers: int, pin: bool) -> Generator[Batch]:
    """This process's part of batch after batch, without end, from sample `first` on. To be closed: it has workers.

    The parts of all processes are one process's batch. Raises Failure: the samples' own, or about dead workers.
    """
    loader = DataLoader(
        samples,
        batch_sampler=batch_indices(first, batch),
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=leave_signals_to_parent,
        pin_memory=pin,
    )
    with explaining():
        iterator = iter(loader)
    try:
        while True:
            with explaining():
                made = next(iterator)
            if isinstance(made, Failure):
                raise made
            yield made
    finally:
        # Left to the garbage collector, workers can outlive the interpreter's patience, as they ignore signals.
        getattr(iterator, "_shutdown_workers", lambda: None)()


def batch_indices(first: int, batch: int) -> Iterator[list[int]]:
    """Sample numbers of this process: every n-th of each batch, n processes being at work."""
    for start in itertools.count(first, batch):
        yield list(range(start + distributed.rank(), start + batch, distributed.size()))


def on_device(batch: Batch, device: str) -> tuple[Tensor, Tensor]:
    """(blurred, sharp) as the network takes them: (B, 3, patch, patch) float32 RGB in [0, 1], on the device.

    With `_collate` the one place that knows what travels between the workers and the network.
    """
    moved = [tensor.to(device, non_blocking=True) for tensor in batch]
    if isinstance(batch, Scene):
        return render(Scene(*moved))
    blurred, sharp = (_as_input(images) for images in moved)
    return blurred, sharp


def _as_input(images: Tensor) -> Tensor:
    return images.flip(-1).permute(0, 3, 1, 2).contiguous().float() / 255


def _collate(samples: list[Crop | Scene | Failure]) -> Batch | Failure:
    made: list[Crop | Scene] = []
    for sample in samples:
        if isinstance(sample, Failure):
            return sample
        made.append(sample)
    parts = [_shared(torch.stack([torch.as_tensor(value) for value in part])) for part in zip(*made, strict=True)]
    return Scene(*parts) if isinstance(made[0], Scene) else (parts[0], parts[1])


def _shared(images: Tensor) -> Tensor:
    """Where a worker made it, in shared memory: too little of it is an error here, and would be a hang on the way."""
    return images.share_memory_() if get_worker_info() else images  # type: ignore[no-untyped-call]
