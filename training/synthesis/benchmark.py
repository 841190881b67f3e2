"""How long a pair takes: drawing and rendering on one CPU thread, and rendering batches on a GPU where there is one."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import default_collate

from training.synthesis.config import SynthConfig
from training.synthesis.draw import draw_scene
from training.synthesis.synth import render

Image = NDArray[np.uint8]
_BATCH = 16


def benchmark(photos: Sequence[Image], config: SynthConfig, count: int, seed: int) -> dict[str, float]:
    """Milliseconds a pair, by what is measured; means over `count` scenes after one that is not counted."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _run(photos, config, 1, seed)
        return _run(photos, config, count, seed) | (_on_gpu(photos, config, count, seed))
    finally:
        torch.set_num_threads(threads)


def _run(photos: Sequence[Image], config: SynthConfig, count: int, seed: int) -> dict[str, float]:
    """Processor time and not time on the clock: other programs have the machine too."""
    started = time.process_time()
    scenes = [draw_scene(photos, np.random.default_rng((seed, index)), config) for index in range(count)]
    drawn = time.process_time()
    for scene in scenes:
        render(default_collate([scene]))
    rendered = time.process_time()
    return {"draw, CPU": (drawn - started) / count * 1e3, "render, CPU": (rendered - drawn) / count * 1e3}


def _on_gpu(photos: Sequence[Image], config: SynthConfig, count: int, seed: int) -> dict[str, float]:
    """Transfer and rendering of batches."""
    if not torch.cuda.is_available():
        return {}
    scenes = [draw_scene(photos, np.random.default_rng((seed, index)), config) for index in range(_BATCH)]
    batch = default_collate(scenes)
    rounds = max(count // _BATCH, 1)
    for measured in (1, rounds):  # the first round compiles kernels and fills the allocator
        torch.cuda.synchronize()
        started = time.monotonic()
        for _ in range(measured):
            render(type(batch)(*(tensor.cuda() for tensor in batch)))
        torch.cuda.synchronize()
    return {f"render, GPU, batch of {_BATCH}": (time.monotonic() - started) / (rounds * _BATCH) * 1e3}
