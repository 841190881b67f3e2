"""Ranges of a model's activations on frames, from the cache or observed, for growing numbers of frames."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from calibration.cache import key_of, load_ranges, save_ranges
from calibration.graph.forms import Graphs
from calibration.observers.histogram import Histogram
from calibration.observers.ranges import METHODS
from calibration.observers.watch import Activation, watch
from calibration.progress import Progress
from runtime.frame import Image

Ranges = dict[str, float]  # name of an activation → largest magnitude that is represented


def ranges_for_growing(
    graphs: Graphs,
    names: Sequence[str],
    frames: Sequence[Image],
    method: str,
    cache: tuple[Path, bytes, str],
) -> dict[int, Ranges]:
    """Number of frames, taken from the first on → the ranges these give; the last one is for all frames.

    cache: its folder, the model file's bytes and the form of DeformConv (the only preprocessing that is not in the
    file). Raises Failure (MODEL) when an activation is not finite.
    """
    folder, data, deform = cache
    counts = growing(len(frames))
    keys = {count: key_of(data, frames[:count], {"deform": deform}, method) for count in counts}
    known = {count: load_ranges(folder, key) for count, key in keys.items()}
    found = {count: ranges for count, ranges in known.items() if ranges is not None and set(names) <= set(ranges)}
    if len(found) == len(counts):
        print(f"ranges: from {folder / keys[counts[-1]].name}.json", file=sys.stderr)
        return found
    observed = _observed(graphs, names, frames, method, counts)
    for count, ranges in observed.items():
        save_ranges(folder, keys[count], ranges)
    return observed


def growing(count: int) -> list[int]:
    """1, 4, 16, … and `count` itself: enough to see ranges settle."""
    return sorted({count, *(4**power for power in range(12) if 4**power < count)})


def _observed(
    graphs: Graphs, names: Sequence[str], frames: Sequence[Image], method: str, counts: Sequence[int]
) -> dict[int, Ranges]:
    histograms = {name: Histogram() for name in names}
    found: dict[int, Ranges] = {count: {} for count in counts}
    progress = Progress("observing activations", len(names) * len(frames))

    def seen(number: int, name: str, values: Activation) -> None:
        histograms[name].add(values)
        if number + 1 in found:
            found[number + 1][name] = METHODS[method](histograms[name])
        progress.step()

    model, _ = graphs.fp32()
    watch(model, names, frames, seen, graphs.sizes.bytes_per_pixel)
    progress.close()
    return found
