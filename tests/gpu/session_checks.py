"""The PyCUDA session on a real driver: with TensorRT where it is, and with PyTorch in its place wherever PyCUDA is."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tests.gpu.machine import Measured, SkipCheck, imported, torch_on_gpu
from tests.gpu.session_case import SIZE, interval_spread, pictures_of, session_loop

ROOT = Path(__file__).parents[2]
CASE = Path(__file__).with_name("session_case.py")
SMALLER = (360, 640)
PRESET = "edge-s"
WARM_UP = 20  # frames
ROUND, ROUND_S = 150, 2  # of the throughput: at most so many frames, and seconds
ROUNDS = 3
MEMORY_FRAMES, MEMORY_S = 2000, 10
MOST_GROWN = 16 * 2**20  # bytes; a frame that was not given back would cost gigabytes
FPS = 60
PACED_FRAMES = 480
REAL_ENGINE_S = 400


def check_session_equals_onnx_runtime_on_tensorrt() -> Measured:
    """Build edge-n with TensorRT, run it in the session, and compare with ONNX Runtime; speed of both loops."""
    return _real_engine("tensorrt")


def check_session_equals_onnx_runtime_on_tensorrt_rtx() -> Measured:
    """The same with TensorRT-RTX, whose kernels are compiled on the first start and found on the second."""
    return _real_engine("tensorrt_rtx")


def check_session_results_are_right_and_in_order() -> Measured:
    """PyTorch as the engine: every frame's result against PyTorch alone; results held across many others."""
    torch, engine = _torch_engine(SIZE)
    pictures = pictures_of(SIZE, 24)
    expected = [engine(torch.from_numpy(picture).cuda()).cpu().numpy() for picture in pictures]
    assert np.abs(expected[0].astype(int) - pictures[0]).mean() > 1, "the stand-in must change the frame"
    measured: Measured = {}
    with _part(measured, "session"), _session(engine) as session:
        flying: deque[int] = deque()
        kept = []
        for index in [*range(24), *range(23, -1, -1)]:
            session.submit(pictures[index])
            flying.append(index)
            if len(flying) == session.depth:
                kept.append((flying.popleft(), session.result().image))
        kept += [(index, session.result().image) for index in flying]
        measured["how"] = session.describe()
        differences = [np.abs(image.astype(int) - expected[index]) for index, image in kept]
        measured["worst_difference"] = int(max(difference.max() for difference in differences))
        measured["worst_mean_difference"] = worst = float(max(difference.mean() for difference in differences))
        # FP16 by other kernels differs in single pixels; three rows of another frame would be more than this.
        assert worst <= 0.1, "results differ from PyTorch's, in grey levels"
    with _part(measured, "end"):
        assert not [thread for thread in threading.enumerate() if thread.name == "gpu"], "the thread is still there"
        alive = torch.ones(3, device="cuda").sum().item()
        assert alive == 3, "the context that torch shares must survive the session"
    return _verdict(measured)


def check_session_throughput() -> Measured:
    """Frames a second of the session beside a bare loop: copies and a recorded network back to back on one stream.

    The two take turns. Also the intervals between results, and what a session leaves of the GPU's memory untouched
    over many frames.
    """
    torch, engine = _torch_engine(SIZE)
    pictures = pictures_of(SIZE, 8)
    measured: Measured = {}
    bare = None
    with _part(measured, "bare loop"):  # first: it empties torch's cache, which the session's graph works in
        bare = _bare_loop(torch, engine, pictures)
    with _part(measured, "session"), _session(engine) as session:
        measured["how"] = session.describe()
        frame_s = session_loop(session, pictures, WARM_UP)[0] / WARM_UP
        count = max(WARM_UP, min(ROUND, int(ROUND_S / frame_s)))
        bare_s, session_s = [], []
        for _ in range(ROUNDS):
            if bare is not None:
                bare_s.append(bare(count))
            session_s.append(session_loop(session, pictures, count)[0])
        measured["frames"] = count
        measured["bare_fps"] = [round(count / seconds, 2) for seconds in bare_s]
        measured["session_fps"] = [round(count / seconds, 2) for seconds in session_s]
        if ratios := sorted(one / other for one, other in zip(bare_s, session_s, strict=False)):
            measured["session_to_bare"] = [round(ratio, 4) for ratio in ratios]
            measured["session_to_bare_median"] = round(ratios[len(ratios) // 2], 4)
        with _part(measured, "many frames"):
            _many_frames(torch, session, pictures, max(WARM_UP, min(MEMORY_FRAMES, int(MEMORY_S / frame_s))), measured)
        assert measured["how"].endswith("CUDA graph"), "the network was not recorded"
    return _verdict(measured)


def _many_frames(torch: Any, session: Any, pictures: list[Any], count: int, measured: Measured) -> None:
    before = torch.cuda.mem_get_info()[0]
    intervals = session_loop(session, pictures, count)[1][10:]
    grown = before - torch.cuda.mem_get_info()[0]
    measured |= {**interval_spread(intervals), "memory_grown_bytes": grown, "memory_frames": count}
    assert grown <= MOST_GROWN, "GPU memory went away"


def check_session_frame_age() -> Measured:
    """A camera of 60 frames/s through the pipeline: age of the frames beside the network's own time.

    Where the GPU cannot keep up, frames wait for it; the same is measured with smaller ones then.
    """
    measured: Measured = {}
    for size in (SIZE, SMALLER):
        name = f"{size[1]}x{size[0]}"
        with _part(measured, name):
            measured[name] = row = _frame_age(size)
            if row["compute_ms"]["p50"] < 1000 / FPS - 3:
                assert row["age_over_compute_ms"] <= 2, "frames are older than the network takes and 2 ms"
                break
    return _verdict(measured)


def _frame_age(size: tuple[int, int]) -> Measured:
    _, engine = _torch_engine(size)
    from runtime.frame import now_ns
    from runtime.measure.timing import Timing
    from runtime.pipeline import Pipeline, PipelineOptions
    from runtime.sinks.sink import NullSink
    from runtime.stop import Stop

    with _session(engine) as session:
        how = session.describe()
        timing = Timing(now_ns())
        source = _Camera(pictures_of(size, 8), PACED_FRAMES)
        pipeline = Pipeline(source, session, [NullSink()], timing, PipelineOptions(latest=True))
        pipeline.run(Stop())
    stages = timing.stages
    rows = {name: getattr(stages, name).summary() for name in ("age", "inference", "upload", "compute", "download")}
    shown = {f"{name}_ms": {key: row[key] for key in ("p50", "p95", "max", "n")} for name, row in rows.items()}
    ages = np.array(stages.age._kept[: stages.age.count])
    p50, p99 = (float(np.percentile(ages, percent, method="inverted_cdf")) for percent in (50, 99))
    return {
        "how": how,
        **shown,
        "age_p99_ms": round(p99, 3),
        "age_p99_to_p50": round(p99 / p50, 4),
        "age_over_compute_ms": round(p50 - float(rows["compute"]["p50"]), 3),
        "drops": pipeline.drops(),
    }


@contextlib.contextmanager
def _part(measured: Measured, name: str) -> Iterator[None]:
    """What breaks one part of a check is kept under its name; the other parts are still measured."""
    try:
        yield
    except SkipCheck:
        raise
    except Exception:
        measured.setdefault("broken", {})[name] = traceback.format_exc()


def _verdict(measured: Measured) -> Measured:
    """`measured`. Raises: AssertionError, with all of it, when a part broke."""
    assert "broken" not in measured, json.dumps(measured, indent=2)
    return measured


class _Camera:
    """Frames in memory, one every 1/60 s, stamped when it is due."""

    live = True
    frame_rate: Fraction | None = Fraction(FPS)
    time_base: Fraction | None = None
    inputs: tuple[Path, ...] = ()
    corrupt = missed = superseded = 0

    def __init__(self, pictures: list[Any], count: int) -> None:
        self.notes: list[str] = []
        self._pictures, self._count, self._given = pictures, count, 0
        self._start_ns = time.monotonic_ns() + 50_000_000

    def describe(self) -> str:
        return f"{FPS} frames/s from memory"

    def read(self, stop: Any) -> Any:
        from runtime.frame import Frame

        due_ns = self._start_ns + self._given * 10**9 // FPS
        if self._given == self._count or stop.wait_until(due_ns):
            return None
        picture = self._pictures[self._given % len(self._pictures)]
        self._given += 1
        return Frame(picture, self._given - 1, time.monotonic_ns(), sensor_stamped=True)

    def close(self) -> None:
        pass


def _torch_engine(size: tuple[int, int]) -> tuple[Any, Any]:
    """torch, and PyTorch as an engine for frames of (height, width). Raises: SkipCheck without PyCUDA."""
    torch = torch_on_gpu()
    imported("pycuda.driver")
    from tests.gpu.torch_engine import TorchEngine

    return torch, TorchEngine(torch, PRESET, size)


@contextlib.contextmanager
def _session(engine: Any) -> Iterator[Any]:
    """A session on the real driver whose engine is `engine`, which nobody else may run meanwhile."""
    from runtime.sessions.engine_file import read_engine
    from runtime.sessions.tensorrt_session import TensorRTSession
    from tests.gpu.torch_engine import stand_in_for_tensorrt

    with (
        tempfile.TemporaryDirectory() as folder,
        stand_in_for_tensorrt(engine, Path(folder)) as path,
        contextlib.closing(TensorRTSession(read_engine(path))) as session,
    ):
        yield session


def _bare_loop(torch: Any, engine: Any, pictures: list[Any]) -> Any:
    """count → seconds of: upload, the recorded network, download, back to back on one stream, page-locked memory."""
    hosts = [torch.from_numpy(picture).pin_memory() for picture in pictures]
    result = torch.empty_like(hosts[0]).pin_memory()
    frame = hosts[0].cuda()
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    with torch.cuda.stream(stream):
        for _ in range(3):
            engine(frame)
    stream.synchronize()
    with torch.cuda.graph(graph, stream=stream):
        sharp = engine(frame)

    def loop(count: int) -> float:
        stream.synchronize()
        start = time.perf_counter()
        with torch.cuda.stream(stream):
            for index in range(count):
                frame.copy_(hosts[index % len(hosts)], non_blocking=True)
                graph.replay()
                result.copy_(sharp, non_blocking=True)
        stream.synchronize()
        return time.perf_counter() - start

    loop(20)
    return loop


def _real_engine(toolkit: str) -> Measured:
    """In a process of its own: TensorRT ending or hanging it must not cost the other checks."""
    torch_on_gpu()
    for name in (toolkit, "pycuda.driver", "onnx", "onnx_ir", "onnxruntime"):
        imported(name)
    command = [sys.executable, str(CASE), toolkit]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=REAL_ENGINE_S)
    assert done.returncode == 0, f"the process ended with {done.returncode}: {done.stderr[-3000:]}"
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    if "lacking" in measured:
        raise SkipCheck(f"{toolkit} does not build here: {done.stderr[-500:]}")
    assert measured["mean_difference"] < 0.5, f"it computes something else, in grey levels: {measured}"
    return measured
