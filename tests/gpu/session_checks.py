"""The PyCUDA session on a real driver: with TensorRT where it is, and with PyTorch in its place wherever PyCUDA is."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tests.gpu.machine import Measured, SkipCheck, imported, torch_on_gpu

ROOT = Path(__file__).parents[2]
SIZE = (720, 1280)
PRESET = "edge-s"
ROUND = 150  # frames of one round of the throughput
ROUNDS = 3
MEMORY_FRAMES, LONGEST_S = 2000, 20
FPS = 60
PACED_FRAMES = 600


def check_session_equals_onnx_runtime_on_tensorrt() -> Measured:
    """Build edge-n with TensorRT, run it in the session, and compare with ONNX Runtime; speed of both loops."""
    return _real_engine("tensorrt")


def check_session_equals_onnx_runtime_on_tensorrt_rtx() -> Measured:
    """The same with TensorRT-RTX, whose kernels are compiled on the first start and found on the second."""
    return _real_engine("tensorrt_rtx")


def check_session_results_are_right_and_in_order() -> Measured:
    """PyTorch as the engine: every frame's result against PyTorch alone; results held across many others."""
    torch, engine = _torch_engine()
    pictures = _pictures(24)
    expected = [engine(torch.from_numpy(picture).cuda()).cpu().numpy() for picture in pictures]
    assert np.abs(expected[0].astype(int) - pictures[0]).mean() > 1, "the stand-in must change the frame"
    with _session(engine) as session:
        flying: deque[int] = deque()
        worst = 0
        kept = []
        for index in [*range(24), *range(23, -1, -1)]:
            session.submit(pictures[index])
            flying.append(index)
            if len(flying) == session.depth:
                kept.append((flying.popleft(), session.result().image))
        kept += [(index, session.result().image) for index in flying]
        for index, image in kept:
            worst = max(worst, int(np.abs(image.astype(int) - expected[index]).max()))
        assert worst <= 1, f"results differ from PyTorch's by up to {worst} grey levels"
        how = session.describe()
    assert not [thread for thread in threading.enumerate() if thread.name == "gpu"]
    assert torch.ones(3, device="cuda").sum().item() == 3, "the context that torch shares must survive the session"
    return {"worst_difference": worst, "how": how, "cuda_graph": how.endswith("CUDA graph")}


def check_session_throughput() -> Measured:
    """Frames a second of the session beside a bare loop: copies and a recorded network back to back on one stream.

    The two take turns. Also the intervals between results, and what a session leaves of the GPU's memory untouched
    over many frames.
    """
    torch, engine = _torch_engine()
    pictures = _pictures(8)
    bare = _bare_loop(torch, engine, pictures)  # first: it empties torch's cache, which the session's graph works in
    with _session(engine) as session:
        _session_loop(session, pictures, 30)
        bare_s, session_s = [], []
        for _ in range(ROUNDS):
            bare_s.append(bare(ROUND))
            session_s.append(_session_loop(session, pictures, ROUND)[0])
        count = min(MEMORY_FRAMES, int(LONGEST_S * ROUND / min(session_s)))
        before = torch.cuda.mem_get_info()[0]
        intervals = _session_loop(session, pictures, count)[1][10:]
        grown = before - torch.cuda.mem_get_info()[0]
        how = session.describe()
    ratios = sorted(one / other for one, other in zip(bare_s, session_s, strict=True))
    p50, p99 = (float(np.percentile(intervals, percent, method="inverted_cdf")) for percent in (50, 99))
    measured = {
        "how": how,
        "bare_fps": [round(ROUND / seconds, 2) for seconds in bare_s],
        "session_fps": [round(ROUND / seconds, 2) for seconds in session_s],
        "session_to_bare": [round(ratio, 4) for ratio in ratios],
        "session_to_bare_median": round(ratios[ROUNDS // 2], 4),
        "interval_p50_ms": round(p50, 3),
        "interval_p99_ms": round(p99, 3),
        "interval_p99_to_p50": round(p99 / p50, 4),
        "memory_grown_bytes": grown,
        "memory_frames": count,
    }
    assert grown <= 0, f"GPU memory went away: {measured}"
    assert how.endswith("CUDA graph"), f"the network was not recorded: {measured}"
    return measured


def check_session_frame_age() -> Measured:
    """A camera of 60 frames/s through the pipeline: age of the frames beside the network's own time."""
    _, engine = _torch_engine()
    from runtime.frame import now_ns
    from runtime.pipeline import Pipeline, PipelineOptions
    from runtime.sinks import NullSink
    from runtime.stop import Stop
    from runtime.timing import Timing

    with _session(engine) as session:
        timing = Timing(now_ns())
        source = _Camera(_pictures(8), PACED_FRAMES)
        pipeline = Pipeline(source, session, [NullSink()], timing, PipelineOptions(latest=True))
        pipeline.run(Stop())
    stages = timing.stages
    rows = {name: getattr(stages, name).summary() for name in ("age", "inference", "upload", "compute", "download")}
    shown = {f"{name}_ms": {key: row[key] for key in ("p50", "p95", "max", "n")} for name, row in rows.items()}
    ages = np.array(stages.age._kept[: stages.age.count])
    age_p50, age_p99 = (float(np.percentile(ages, percent, method="inverted_cdf")) for percent in (50, 99))
    compute = float(rows["compute"]["p50"])
    over = age_p50 - compute
    measured = {
        **shown,
        "age_p99_ms": round(age_p99, 3),
        "age_p99_to_p50": round(age_p99 / age_p50, 4),
        "age_over_compute_ms": round(over, 3),
        "drops": pipeline.drops(),
    }
    if compute < 1000 / FPS - 3:  # else the GPU cannot keep up and frames wait for it
        assert over <= 2, f"frames are {over:.2f} ms older than the network takes: {measured}"
    return measured


class _Camera:
    """Frames in memory, one every 1/60 s, stamped when it is due."""

    live = True
    frame_rate: Fraction | None = Fraction(FPS)
    time_base: Fraction | None = None
    inputs: tuple[Path, ...] = ()
    corrupt = 0

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


def _torch_engine() -> tuple[Any, Any]:
    """torch, and PyTorch as an engine. Raises: SkipCheck without PyCUDA."""
    torch = torch_on_gpu()
    imported("pycuda.driver")
    from tests.gpu.torch_engine import TorchEngine

    return torch, TorchEngine(torch, PRESET, SIZE)


@contextlib.contextmanager
def _session(engine: Any) -> Iterator[Any]:
    """A session on the real driver whose engine is `engine`, which nobody else may run meanwhile."""
    from runtime.engine_file import read_engine
    from runtime.tensorrt_session import TensorRTSession
    from tests.gpu.torch_engine import stand_in_for_tensorrt

    with (
        tempfile.TemporaryDirectory() as folder,
        stand_in_for_tensorrt(engine, Path(folder)) as path,
        contextlib.closing(TensorRTSession(read_engine(path))) as session,
    ):
        yield session


def _pictures(count: int) -> list[Any]:
    """(720, 1280, 3) uint8 frames, smooth and each different."""
    rows, columns = np.indices(SIZE, dtype=np.float32)
    waves = [np.sin(rows / (17 + 3 * i)) + np.cos(columns / (29 + 5 * i)) for i in range(count)]
    return [np.stack([wave * 50 + 110 + 20 * c for c in range(3)], axis=-1).astype(np.uint8) for wave in waves]


def _session_loop(session: Any, pictures: list[Any], count: int) -> tuple[float, list[float]]:
    """Seconds for `count` frames with as many in flight as the session likes, and milliseconds between results."""
    finished: list[int] = []
    start = time.perf_counter()
    given = 0
    while len(finished) < count:
        while given < count and given - len(finished) < session.depth:
            session.submit(pictures[given % len(pictures)])
            given += 1
        finished.append(session.result().finished_ns)
    seconds = time.perf_counter() - start
    return seconds, [(after - before) / 1e6 for before, after in itertools.pairwise(finished)]


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
    torch = torch_on_gpu()
    for name in (toolkit, "pycuda.driver", "onnx", "onnx_ir", "onnxruntime"):
        imported(name)
    import edgedeblur
    from runtime.engine_rebuild import usable_engine
    from runtime.onnx_session import OnnxSession
    from runtime.tensorrt_session import TensorRTSession

    model = ROOT / "runtime" / "weights" / "edge-n.onnx"
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edge-n.engine"
        words = [
            "build",
            str(model),
            "--size",
            f"{SIZE[0]}x{SIZE[1]}",
            "--toolkit",
            toolkit,
            "--save-engine",
            str(path),
        ]
        code = edgedeblur.main(words)
        if code == edgedeblur.ExitCode.ENVIRONMENT:
            raise SkipCheck(f"{toolkit} does not build for {torch.cuda.get_device_name()}; its message is above")
        assert code == 0
        starts = []
        for _ in range(2):
            session = TensorRTSession(usable_engine(path, "never", notes.append))
            starts.append(session.notes[0])
            picture = _pictures(1)[0]
            sharp = session.infer(picture).copy()
            seconds, intervals = _session_loop(session, _pictures(8), 300)
            how = session.describe()
            session.close()
    difference = np.abs(sharp.astype(int) - OnnxSession(model).infer(picture))
    assert difference.mean() < 0.5, f"mean difference {difference.mean():.3f} grey levels"
    p50, p99 = (float(np.percentile(intervals, percent, method="inverted_cdf")) for percent in (50, 99))
    return {
        "how": how,
        "mean_difference": float(difference.mean()),
        "worst_difference": int(difference.max()),
        "fps": round(300 / seconds, 2),
        "interval_p50_ms": round(p50, 3),
        "interval_p99_to_p50": round(p99 / p50, 4),
        "starts": starts,
        "notes": notes,
    }
