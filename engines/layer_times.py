"""How long each layer of an engine takes on this machine's GPU, by TensorRT's profiler.

The profiler waits after every layer, so the sum is more than a frame takes: shares matter, not the total.
"""

from __future__ import annotations

import collections
import statistics
from typing import Any

from edgedeblur import ExitCode, Failure
from engines.precision_gate import probe_frames
from export.passes.model_file import FRAME, SHARP
from runtime.sessions.size_range import Size

WARM_UP, RUNS = 5, 20  # the first runs allocate, and TensorRT-RTX compiles


def layer_times(trt: Any, context: Any, size: Size, driver: Any) -> dict[str, float]:
    """Layer name → median milliseconds of RUNS frames of (height, width), in the order the layers run.

    context: an execution context of no other user. driver: `pycuda.driver`, with a current context.
    Raises Failure (MODEL) when the engine does not run.
    """
    frame = probe_frames(size)[0]
    frame_on_gpu, sharp_on_gpu = driver.to_device(frame), driver.mem_alloc(frame.nbytes)
    stream = driver.Stream()
    context.set_tensor_address(FRAME, int(frame_on_gpu))
    context.set_tensor_address(SHARP, int(sharp_on_gpu))
    profiler = _profiler(trt)
    for run in range(WARM_UP + RUNS):
        if run == WARM_UP:
            context.profiler = profiler  # each execution then reports before it returns
        if not context.execute_async_v3(stream.handle):
            raise Failure("the engine does not run: TensorRT's messages say why", ExitCode.MODEL)
        stream.synchronize()
    return {name: statistics.median(times) for name, times in profiler.times.items()}


def _profiler(trt: Any) -> Any:
    class Profiler(trt.IProfiler):  # type: ignore[misc]  # the base class exists only once a toolkit is chosen
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.times: dict[str, list[float]] = collections.defaultdict(list)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times[layer_name].append(ms)

    return Profiler()
