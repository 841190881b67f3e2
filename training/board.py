"""TensorBoard logs of a run, where the package is installed: curves and validation pictures."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.meter import Meter, Step

EVERY = 25  # steps that one point of a training curve stands for

Image = NDArray[np.uint8]


class Board:
    """Writes event files into the run's folder. Use as a context manager."""

    def __init__(self, folder: Path, step: int) -> None:
        """step: where the run starts; what an earlier part logged after it is hidden."""
        self._folder, self._step = folder, step
        self._meter = Meter()
        self._writer: Any = None  # made with the first point: a run that never began leaves nothing
        self._missing = False

    def add(self, step: Step) -> None:
        """Count a step; every 25th becomes a point."""
        self._step += 1
        self._meter.add(step)
        if self._step % EVERY == 0:
            self._scalars("train", {**self._meter.row(), "rate": step.rate})
            self._meter = Meter()

    def validation(self, metrics: Mapping[str, float], pictures: Iterable[tuple[Image, Image, Image]]) -> None:
        """What a validation found: metrics by name, and pictures to stand side by side.

        pictures: (blurred, output, sharp), each (H, W, 3) uint8 BGR.
        """
        self._scalars("validation", metrics)
        if self._writer is not None:
            for index, views in enumerate(pictures):
                side_by_side = np.concatenate(views, axis=1)[:, :, ::-1]
                self._writer.add_image(f"blurred|output|sharp/{index}", side_by_side, self._step, dataformats="HWC")
            self._writer.flush()

    def _scalars(self, group: str, values: Mapping[str, float]) -> None:
        self._open()
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, self._step)

    def _open(self) -> None:
        if self._writer is not None or self._missing:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._missing = True
            print("no TensorBoard logs: pip install tensorboard, or read metrics.csv", file=sys.stderr)
            return
        self._writer = SummaryWriter(str(self._folder), purge_step=self._step)

    def __enter__(self) -> Board:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()
