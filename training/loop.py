"""The training loop: batches in, checkpoints out; stops cleanly at any moment and goes on from where it stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgedeblur import ExitCode, Failure
from training import distributed
from training.board import Board
from training.checkpoint import LAST, save_checkpoint
from training.data.batches import Batch, batches_of, on_device
from training.data.pairs import Pairs
from training.data.samples import Crop, Samples
from training.evaluation.evaluate import crop_metrics, torch_model
from training.interrupt import stop_on_interrupt
from training.learner import Learner
from training.meter import Meter, Step
from training.metrics_table import append_row, drop_rows_after
from training.progress import Progress
from training.quantisation_plan import PLAN, QuantisationPlan, write_plan
from training.run_state import RunState, check_same_run
from training.schedule import Stage, learning_rate, stage_at, stages_of
from training.train_config import TrainConfig

__all__ = ["TrainConfig", "Trainer"]

SKIPPED_IN_A_ROW = 20  # half precision overflows now and then; this often, the run is lost
SHOWN_CROPS = 3  # validation pictures in TensorBoard


class Trainer:
    """One run: a learner, how far it has come, and its folder."""

    def __init__(self, config: TrainConfig, folder: Path, resume: dict[str, Any] | None = None) -> None:
        """resume: the content of a checkpoint. Raises Failure (USAGE, MODEL) where it is not of such a run."""
        torch.manual_seed(config.seed)
        self.config, self.folder = config, folder
        self.learner = Learner(config)
        self.state, self.metrics = RunState(), dict[str, float]()
        if resume is not None:
            self._restore(resume)
        self.saved = self.state.step if resume else None  # the step that last.pt holds; None before there is one
        self._stages = stages_of((*config.smaller_patches, config.patch), config.batch)
        self._skipped_in_a_row = 0
        self._ticked = self._saved_at = time.monotonic()

    @property
    def done(self) -> tuple[float, float]:
        """(done, total) of the run, in steps or, with a time budget, in seconds."""
        if self.config.minutes is None:
            return self.state.step, self.config.steps
        return self.state.elapsed_s, max(1.0, self.config.minutes * 60 - self.state.closing_s)

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return stage_at(self._stages, *self.done) is None

    def fit(self, pairs: Pairs, crops: list[Crop]) -> dict[str, float]:
        """Train to the end, or to Ctrl-C, which saves and raises KeyboardInterrupt. Returns the last metrics.

        Of several processes only the first has metrics.
        """
        board = Board(self.folder, self.state.step)
        with stop_on_interrupt() as stop, Progress(*self.done) as progress, board:
            self._begin(crops, board)
            while (stage := self._agree(stop)) is not None:
                with contextlib.closing(self._batches(pairs, stage)) as batches:
                    while self._agree(stop) == stage:
                        self._take_step(batches, stage, progress, board)
                        if self.state.step % self.config.validate_every == 0:
                            self._validate(crops, board)
            if self.state.validated != self.state.step:
                self._validate(crops, board)
        return self.metrics

    def save(self, name: str) -> None:
        """Write a checkpoint into the run's folder; the averaged weights are the ones to use."""
        self._tick()
        run = {**dataclasses.asdict(self.config), "model": None}
        training = {**self.learner.state(), **dataclasses.asdict(self.state), "run": run}
        path = self.folder / name
        save_checkpoint(path, self.learner.averaged, self.config.preset, self.metrics, training)
        if name == LAST:
            self.saved = self.state.step

    def _begin(self, crops: list[Crop], board: Board) -> None:
        with distributed.together():
            if distributed.rank() == 0:
                drop_rows_after(self.folder / "metrics.csv", self.state.validated)
        self._ticked = self._saved_at = time.monotonic()
        if self.config.plan is not None:
            self._begin_quantised(self.config.plan, crops, board)
        if self.config.minutes is not None and not self.state.closing_s:
            crop_metrics(self.learner.averaged, crops, self.config.device)
            self.state.closing_s = time.monotonic() - self._ticked

    def _begin_quantised(self, plan: QuantisationPlan, crops: list[Crop], board: Board) -> None:
        """Measure the network quantised and not trained, once: as a validation, so that the best is never below it."""
        if self.state.validated < 0:
            self._validate(crops, board)
        with distributed.together():
            if distributed.rank() == 0 and not (self.folder / PLAN).exists():
                write_plan(self.folder / PLAN, plan)

    def _agree(self, stop: list[bool]) -> Stage | None:
        """The stage that all processes go on with, None at the end; saves where it is time to, stops where asked to."""
        self._tick()
        due = time.monotonic() - self._saved_at >= self.config.save_minutes * 60
        save = due and self.state.step != (self.saved or 0)
        rows = distributed.gather(bool(stop), save, self.state.elapsed_s, self.state.closing_s)
        stopping = any(row[0] for row in rows)
        _, saving, self.state.elapsed_s, self.state.closing_s = rows[0]  # one clock for all
        if stopping or saving:
            self._save_last()
        if stopping:
            raise KeyboardInterrupt
        return stage_at(self._stages, *self.done)

    def _tick(self) -> None:
        now = time.monotonic()
        self.state.elapsed_s += now - self._ticked
        self._ticked = now

    def _save_last(self) -> None:
        with distributed.together():
            if distributed.rank() == 0:
                self.save(LAST)
        self._saved_at = time.monotonic()

    def _batches(self, pairs: Pairs, stage: Stage) -> Generator[Batch]:
        on_gpu = self.config.device.startswith("cuda")
        samples = Samples(pairs, stage.patch, self.config.seed, unrendered=on_gpu)
        return batches_of(samples, self.state.seen, stage.batch, self.config.workers, pin=on_gpu)

    def _take_step(self, batches: Iterator[Batch], stage: Stage, progress: Progress, board: Board) -> None:
        began = time.monotonic()
        with distributed.together():
            batch = next(batches)
        waited = time.monotonic() - began
        rate = learning_rate(*self.done, self.config.lr)
        loss, gradient = self._learn(*on_device(batch, self.config.device), rate, stage.batch)
        self._tick()
        step = Step(loss, gradient, rate, stage.batch, time.monotonic() - began, waited)
        self.state.meter.add(step)
        progress.add(self.state.step, step, *self.done, self.metrics)
        if distributed.rank() == 0:
            board.add(step)

    def _learn(self, blurred: Tensor, sharp: Tensor, rate: float, batch: int) -> tuple[float, float]:
        loss, gradient = self.learner.step(blurred, sharp, rate, batch)
        self.state.step += 1
        self.state.seen += batch
        self._count_skipped(math.isfinite(gradient), loss)
        return loss, gradient

    def _count_skipped(self, finite: bool, loss: float) -> None:
        self.state.skipped += not finite
        self._skipped_in_a_row = 0 if finite else self._skipped_in_a_row + 1
        if self._skipped_in_a_row >= SKIPPED_IN_A_ROW:
            kept = self.folder / LAST
            resume = f"resume {kept} with" if kept.exists() else "start again with"
            raise Failure(
                f"the loss or its gradient was not finite in {self._skipped_in_a_row} steps in a row (loss {loss}, "
                f"step {self.state.step}); {resume} a smaller --lr",
                ExitCode.QUALITY,
            )

    def _validate(self, crops: list[Crop], board: Board) -> None:
        self.state.validated = self.state.step
        meter, self.state.meter = self.state.meter, Meter()
        with distributed.together():
            if distributed.rank() == 0:
                self._measure(crops, meter, board)
        self._saved_at = time.monotonic()

    def _measure(self, crops: list[Crop], meter: Meter, board: Board) -> None:
        began = time.monotonic()
        self.metrics = crop_metrics(self.learner.averaged, crops, self.config.device)
        counted = {"step": self.state.step, "time": time.time(), "skipped": self.state.skipped}
        append_row(self.folder / "metrics.csv", {**counted, **meter.row(), **self.metrics})
        deblur = torch_model(self.learner.averaged, self.config.device)
        pictures = ((blurred, deblur(blurred), sharp) for blurred, sharp in crops[:SHOWN_CROPS])
        board.validation({**self.metrics, "skipped": self.state.skipped}, pictures)
        if self.metrics["psnr"] > self.state.best:
            self.state.best = self.metrics["psnr"]
            self.save("best.pt")
        self.save(LAST)
        # Never less than before: with more time left, the run would fall back to an earlier stage and a higher rate.
        self.state.closing_s = max(self.state.closing_s, time.monotonic() - began)

    def _restore(self, content: dict[str, Any]) -> None:
        try:
            check_same_run(content["training"]["run"], self.config)
            self.learner.restore(content["weights"], content["training"])
            self.state = RunState.from_checkpoint(content["training"])
        except (KeyError, TypeError, RuntimeError, ValueError) as error:
            raise Failure(
                "this checkpoint holds no run to go on with; start a new one from its weights with --init",
                ExitCode.MODEL,
            ) from error
        self.metrics = content["metrics"]
