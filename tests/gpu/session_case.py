"""One engine in the session, built, started twice, compared and timed; a process of its own.

TensorRT can end or hang one. Argument: the toolkit. The last line on stdout is JSON: what was measured.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.gpu.machine import Measured

ROOT = Path(__file__).parents[2]
SIZE = (720, 1280)


def measured_engine(toolkit: str) -> Measured:
    """`lacking` alone where the toolkit does not build here."""
    import edgedeblur
    from runtime.sessions.engine_rebuild import usable_engine
    from runtime.sessions.onnx_session import OnnxSession
    from runtime.sessions.tensorrt_session import TensorRTSession

    model = ROOT / "runtime" / "weights" / "edge-n.onnx"
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edge-n.engine"
        size = f"{SIZE[0]}x{SIZE[1]}"
        code = edgedeblur.main(
            ["build", str(model), "--size", size, "--toolkit", toolkit, "--save-engine", str(path), "--json"]
        )
        if code == edgedeblur.ExitCode.ENVIRONMENT:
            return {"lacking": toolkit}
        assert code == 0, f"edgedeblur build ended with {code}"
        starts = []
        picture = pictures_of(SIZE, 1)[0]
        for _ in range(2):
            with contextlib.closing(TensorRTSession(usable_engine(path, "never", notes.append))) as session:
                starts.append(session.notes[0])
                sharp = session.infer(picture)
                seconds, intervals = session_loop(session, pictures_of(SIZE, 8), 300)
                how = session.describe()
    difference = np.abs(sharp.astype(int) - OnnxSession(model).infer(picture))
    return {
        "how": how,
        "mean_difference": float(difference.mean()),
        "worst_difference": int(difference.max()),
        "fps": round(300 / seconds, 2),
        **interval_spread(intervals),
        "starts": starts,
        "notes": notes,
    }


def session_loop(session: Any, pictures: list[Any], count: int) -> tuple[float, list[float]]:
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


def interval_spread(intervals: list[float]) -> Measured:
    """Milliseconds between results."""
    p50, p99 = (float(np.percentile(intervals, percent, method="inverted_cdf")) for percent in (50, 99))
    return {
        "interval_p50_ms": round(p50, 3),
        "interval_p99_ms": round(p99, 3),
        "interval_p99_to_p50": round(p99 / p50, 4),
    }


def pictures_of(size: tuple[int, int], count: int) -> list[Any]:
    """(H, W, 3) uint8 frames, smooth and each different."""
    rows, columns = np.indices(size, dtype=np.float32)
    waves = [np.sin(rows / (17 + 3 * i)) + np.cos(columns / (29 + 5 * i)) for i in range(count)]
    return [np.stack([wave * 50 + 110 + 20 * c for c in range(3)], axis=-1).astype(np.uint8) for wave in waves]


if __name__ == "__main__":
    print(json.dumps(measured_engine(sys.argv[1])), flush=True)
