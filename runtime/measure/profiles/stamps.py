"""Stamps: when each frame of a run passed which point, and the intervals between those points."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from runtime.frame import UNIQUE, How
from runtime.measure.timing import Delivery

HOWS: tuple[How, ...] = get_args(How)
POINTS = ("before", "captured", "received", "started", "finished", "handed", "done")  # before: t6 of the frame before
WARM_UP = -1  # stands for the repeat of a frame before the first one
MOST_FRAMES = 2_000_000  # 200 MB of stamps
COLUMNS = 4 + len(POINTS)


@dataclass(frozen=True, eq=False)
class Stamps:
    """Columns of one length, a row for each delivered frame in the order of delivery."""

    index: NDArray[np.int64]  # place in the source
    repeat: NDArray[np.int64]  # from 0; WARM_UP
    how: NDArray[np.int64]  # place in HOWS
    stamped: NDArray[np.int64]  # 1: by the sensor or its driver, 0: on arrival
    points: NDArray[np.int64]  # (n, 7): POINTS, ns on CLOCK_MONOTONIC
    gpu_ms: NDArray[np.float64]  # (n, 3): upload, compute, download; NaN where there was none

    def __len__(self) -> int:
        return len(self.index)

    def where(self, mask: NDArray[np.bool_]) -> Stamps:
        """The rows that a mask of length n chooses."""
        return Stamps(*(column[mask] for column in vars(self).values()))

    @property
    def unique(self) -> Stamps:
        """Those that count as frames."""
        return self.where(np.isin(self.how, [HOWS.index(how) for how in UNIQUE]))

    @property
    def measured(self) -> Stamps:
        """Unique frames after the warm-up: those that results are about."""
        return self.where(self.repeat != WARM_UP).unique

    def at_ns(self, point: str) -> NDArray[np.int64]:
        return self.points[:, POINTS.index(point)]

    def stages_ms(self) -> dict[str, NDArray[np.float64]]:
        """Name → milliseconds, as `runtime.measure.timing.Stages` has them; NaN where a frame has no such stage."""

        def between(start: str, end: str) -> NDArray[np.float64]:
            return (self.at_ns(end) - self.at_ns(start)) / 1e6

        return {
            "age": between("captured", "handed"),
            "capture": np.where(self.stamped == 1, between("captured", "received"), np.nan),
            "queue": between("received", "started"),
            "inference": between("started", "finished"),
            "upload": self.gpu_ms[:, 0],
            "compute": self.gpu_ms[:, 1],
            "download": self.gpu_ms[:, 2],
            "handover": between("finished", "handed"),
            "sink": between("handed", "done"),
            "interval": between("before", "handed"),
        }


class StampBook:
    """Takes stamps down: about a microsecond a frame, and no memory but the numbers."""

    def __init__(self) -> None:
        self._whole = array("q")
        self._gpu = array("d")

    def __len__(self) -> int:
        return len(self._whole) // COLUMNS

    def add(self, item: Delivery, before_ns: int, repeat: int) -> None:
        """before_ns: t6 of the frame before it."""
        frame = item.frame
        self._whole.extend(
            (
                frame.index,
                repeat,
                HOWS.index(item.how),
                frame.sensor_stamped,
                before_ns,
                frame.captured_ns,
                item.received_ns,
                item.started_ns,
                item.finished_ns,
                item.handed_ns,
                item.done_ns,
            )
        )
        times = item.gpu
        if times is None:
            self._gpu.extend((np.nan, np.nan, np.nan))
            return
        upload_ms, download_ms = times.upload_ms, times.download_ms
        self._gpu.append(np.nan if upload_ms is None else upload_ms)
        self._gpu.append(times.compute_ms)
        self._gpu.append(np.nan if download_ms is None else download_ms)

    def stamps(self) -> Stamps:
        """A copy of what was taken down so far."""
        whole = np.array(self._whole, np.int64).reshape(-1, COLUMNS)
        gpu = np.array(self._gpu, np.float64).reshape(-1, 3)
        return Stamps(whole[:, 0], whole[:, 1], whole[:, 2], whole[:, 3], whole[:, 4:], gpu)
