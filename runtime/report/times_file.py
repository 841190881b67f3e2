"""The times of every frame as a file, with trtexec's names where it has them (`trtexec --exportTimes`)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from runtime.measure.profiles.stamps import HOWS, WARM_UP, Stamps

SUFFIXES = (".json", ".csv")


def times_bytes(stamps: Stamps, path: Path) -> bytes:
    """CSV or JSON, as the suffix of `path` says: one row a frame, milliseconds from the first frame's capture on.

    trtexec's: startH2dMs, endH2dMs, startComputeMs, endComputeMs, startD2hMs, endD2hMs, h2dMs, computeMs, d2hMs and
    latencyMs (inference latency, t5 - t2). CUDA events give durations: the three parts are laid end to end so that they
    end at t5. Where no GPU computes, computing is the whole of it and nothing is copied.
    Ours: index, repeat (-1: warm-up), how, captureMs (t0) … doneMs (t7), ageMs, queueMs, handoverMs, sinkMs, and
    captureDelayMs, null where the source stamps on arrival.
    """
    rows = list(_rows(stamps))
    if path.suffix.lower() == ".json":
        return (json.dumps(rows, indent=1) + "\n").encode()
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys() if rows else ["index"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _rows(stamps: Stamps) -> Iterator[dict[str, Any]]:
    if not len(stamps):
        return
    stages, zero = stamps.stages_ms(), int(stamps.at_ns("captured")[0])
    at = {point: (stamps.at_ns(point) - zero) / 1e6 for point in ("captured", "received", "started", "finished")}
    at |= {point: (stamps.at_ns(point) - zero) / 1e6 for point in ("handed", "done")}
    compute = np.where(np.isnan(stages["compute"]), stages["inference"], stages["compute"])
    h2d, d2h = (np.nan_to_num(stages[name]) for name in ("upload", "download"))
    for row in range(len(stamps)):
        end_compute = at["finished"][row] - d2h[row]
        start_compute = end_compute - compute[row]
        delay = stages["capture"][row]
        yield {
            "startH2dMs": _ms(start_compute - h2d[row]),
            "endH2dMs": _ms(start_compute),
            "startComputeMs": _ms(start_compute),
            "endComputeMs": _ms(end_compute),
            "startD2hMs": _ms(end_compute),
            "endD2hMs": _ms(at["finished"][row]),
            "h2dMs": _ms(h2d[row]),
            "computeMs": _ms(compute[row]),
            "d2hMs": _ms(d2h[row]),
            "latencyMs": _ms(stages["inference"][row]),
            "index": int(stamps.index[row]),
            "repeat": int(stamps.repeat[row]),
            "warmUp": bool(stamps.repeat[row] == WARM_UP),
            "how": HOWS[stamps.how[row]],
            "captureMs": _ms(at["captured"][row]),
            "receivedMs": _ms(at["received"][row]),
            "startedMs": _ms(at["started"][row]),
            "finishedMs": _ms(at["finished"][row]),
            "handedMs": _ms(at["handed"][row]),
            "doneMs": _ms(at["done"][row]),
            "ageMs": _ms(stages["age"][row]),
            "captureDelayMs": None if np.isnan(delay) else _ms(delay),
            "queueMs": _ms(stages["queue"][row]),
            "handoverMs": _ms(stages["handover"][row]),
            "sinkMs": _ms(stages["sink"][row]),
        }


def _ms(value: float) -> float:
    return round(float(value), 6)  # nanoseconds
