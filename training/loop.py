"""The training loop: batches in, checkpoints out; stops cleanly at any moment and goes on from where it stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from edgedeblur import ExitCode, Failure
from training.checkpoint import save_checkpoint
from training.config import ModelConfig
from training.data.pairs import Pairs
from training.data.samples import Crop, Sample, Samples, collate
from training.evaluation.evaluate import crop_metrics
from training.losses import deblurring_loss
from training.network import SAPHNet
from training.progress import Progress
from training.schedule import learning_rate

SKIPPED_IN_A_ROW = 20  # half precision overflows now and then; this often, the run is lost


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """One run. Sizes in pixels; `patch` is the side of the square crops."""

    preset: str
    model: ModelConfig
    data: str  # identity of what is trained on
    steps: int
    batch: int
    patch: int
    lr: float
    seed: int
    workers: int
    ema: float
    amp: bool
    device: str
    validate_every: int
    validation_crops: int


class Trainer:
    """Network, optimiser and averaged weights of a run, and how far it has come."""

    def __init__(self, config: TrainConfig, folder: Path, resume: dict[str, Any] | None = None) -> None:
        torch.manual_seed(config.seed)
        self.config, self.folder = config, folder
        self.network = SAPHNet(config.model).to(config.device)
        self.average = AveragedModel(self.network, multi_avg_fn=_warmed_average(config.ema))
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=config.lr, betas=(0.9, 0.99), weight_decay=1e-4
        )
        self.scaler = torch.amp.GradScaler(enabled=config.amp and config.device.startswith("cuda"))
        self.step, self.best, self.metrics, self.skipped = 0, float("-inf"), dict[str, float](), 0
        if resume is not None:
            self._restore(resume)

    def fit(self, pairs: Pairs, crops: list[Crop]) -> dict[str, float]:
        """Train to the last step, or to Ctrl-C, which saves and raises KeyboardInterrupt. Returns the last metrics."""
        config = self.config
        with _stop_on_interrupt() as stop, Progress(config.steps, self.step) as progress:
            for batch in self._batches(pairs):
                if isinstance(batch, Failure):
                    raise batch
                loss = self._train_step(*batch)
                progress.update(self.step, loss, self.metrics)
                if self.step % config.validate_every == 0 or self.step == config.steps:
                    self._validate(crops)
                    self.save("last.pt")
                elif stop:
                    self.save("last.pt")
                if stop:
                    raise KeyboardInterrupt
        return self.metrics

    def save(self, name: str) -> None:
        """Write a checkpoint into the run's folder; the averaged weights are the ones to use."""
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "averaged": int(self.average.n_averaged),
            "step": self.step,
            "best": self.best,
            "run": {**dataclasses.asdict(self.config), "model": None},
        }
        save_checkpoint(self.folder / name, self._averaged(), self.config.preset, self.metrics, state)

    def _batches(self, pairs: Pairs) -> Iterator[Sample]:
        config = self.config
        samples = Samples(pairs, config.patch, config.seed, self.step * config.batch, config.steps * config.batch)
        return iter(
            DataLoader(
                samples,
                batch_size=config.batch,
                num_workers=config.workers,
                collate_fn=collate,
                worker_init_fn=_ignore_interrupt,
                pin_memory=config.device.startswith("cuda"),
            )
        )

    def _train_step(self, blurred: Tensor, sharp: Tensor) -> float:
        """One optimiser step, left out where the loss or its gradient is not finite. Returns the loss."""
        config = self.config
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, config.steps, config.lr)
        blurred, sharp = (images.to(config.device, non_blocking=True) for images in (blurred, sharp))
        with torch.autocast(config.device.split(":")[0], enabled=config.amp):
            outputs = self.network.outputs(blurred)
        loss = deblurring_loss([output.float() for output in outputs], sharp)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        value, finite = loss.item(), bool(torch.isfinite(norm))
        self._count_skipped(finite, value)
        if finite:
            self.scaler.step(self.optimiser)
            self.average.update_parameters(self.network)
        self.scaler.update()  # also lowers the scale after an overflow, which is how half precision recovers
        self.step += 1
        return value

    def _count_skipped(self, finite: bool, loss: float) -> None:
        self.skipped = 0 if finite else self.skipped + 1
        if self.skipped >= SKIPPED_IN_A_ROW:
            kept = self.folder / "last.pt"
            resume = f"resume {kept} with" if kept.exists() else "start again with"
            raise Failure(
                f"the loss or its gradient was not finite in {self.skipped} steps in a row (loss {loss}, step "
                f"{self.step}); {resume} a smaller --lr",
                ExitCode.QUALITY,
            )

    def _validate(self, crops: list[Crop]) -> None:
        self.metrics = crop_metrics(self._averaged(), crops, self.config.device)
        self._write_metrics({"step": self.step, "time": time.time(), **self.metrics})
        if self.metrics["psnr"] > self.best:
            self.best = self.metrics["psnr"]
            self.save("best.pt")

    def _write_metrics(self, row: dict[str, float]) -> None:
        try:
            with (self.folder / "metrics.csv").open("a") as table:
                if table.tell() == 0:
                    table.write(",".join(row) + "\n")
                table.write(",".join(f"{value:.12g}" for value in row.values()) + "\n")
        except OSError as error:
            raise Failure(f"cannot write {self.folder}/metrics.csv: {error.strerror}", ExitCode.ENVIRONMENT) from error

    def _averaged(self) -> SAPHNet:
        averaged = self.average.module
        assert isinstance(averaged, SAPHNet)
        return averaged

    def _restore(self, content: dict[str, Any]) -> None:
        state = content["training"]
        try:
            self._same_run(state["run"])
            self.network.load_state_dict(state["network"])
            self._averaged().load_state_dict(content["weights"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.scaler.load_state_dict(state["scaler"])
            self.average.n_averaged.fill_(state["averaged"])
            self.step, self.best, self.metrics = state["step"], state["best"], content["metrics"]
        except (KeyError, TypeError, RuntimeError, ValueError) as error:
            raise Failure("this checkpoint holds no run to go on with; start a new one", ExitCode.MODEL) from error

    def _same_run(self, run: dict[str, Any]) -> None:
        """Steps, rate and device may change; what decides the samples and how runs compare may not."""
        fixed = ("preset", "data", "batch", "patch", "seed", "ema", "validation_crops")
        differing = [
            f"{name} {run[name]}, now {getattr(self.config, name)}"
            for name in fixed
            if run[name] != getattr(self.config, name)
        ]
        if differing:
            raise Failure(f"the run to resume had {'; '.join(differing)}; give the same, or start a new run")


def _warmed_average(decay: float) -> Any:
    """Exponential average whose decay grows with the updates, so that short runs are not dominated by their start."""

    def average(averaged: list[Tensor], current: list[Tensor], updates: Tensor) -> None:
        now = min(decay, (1 + float(updates)) / (10 + float(updates)))
        torch._foreach_lerp_(averaged, current, 1 - now)

    return average


def _ignore_interrupt(worker: int) -> None:
    """Ctrl-C reaches the whole process group; the main process decides when its workers end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def _stop_on_interrupt() -> Iterator[list[bool]]:
    """A list that fills at Ctrl-C or SIGTERM, so that the step under way can end; a second one interrupts at once."""
    stop: list[bool] = []

    def request(number: int, frame: FrameType | None) -> None:
        if stop:
            raise KeyboardInterrupt
        stop.append(True)

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
