"""What GPU checks need of the machine they run on, each with its reason when it is missing; and how they time."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

Measured = dict[str, Any]


class SkipCheck(Exception):
    """This machine cannot run the check; the message says why."""


def imported(name: str) -> Any:
    """The module `name`. Raises SkipCheck where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SkipCheck(f"{name} cannot be imported: {error}") from error


def torch_on_gpu() -> Any:
    """torch, which sees a GPU. Raises SkipCheck otherwise."""
    torch = imported("torch")
    if not torch.cuda.is_available():
        raise SkipCheck("no NVIDIA GPU on this machine; `make gpu` runs it on one that has")
    return torch


def device_name() -> str | None:
    try:
        return str(torch_on_gpu().cuda.get_device_name())
    except SkipCheck:
        return None


def median_ms(torch: Any, call: Callable[[], Any], repeats: int = 20) -> float:
    """Median milliseconds of one call on the current stream by CUDA events, after five calls that do not count."""
    for _ in range(5):
        call()
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return float(sorted(times)[repeats // 2])


def graph_ms(torch: Any, call: Callable[[], Any], calls: int = 20, repeats: int = 7) -> float:
    """Median milliseconds of one call among `calls` of a replayed CUDA graph: without the gaps between launches."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for _ in range(calls):
            call()
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / calls)
    return float(sorted(times)[repeats // 2])
