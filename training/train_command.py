"""`edgedeblur train`: from options to a run. Several GPUs: `torchrun --nproc-per-node N -m training train …`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from training import distributed
from training.checkpoint import read_checkpoint, read_newest
from training.config import PRESETS
from training.data.pairs import Pairs, open_pairs
from training.data.samples import Crop, identity, validation_crops
from training.device import usable_device
from training.errors import explaining
from training.learner import precision
from training.loop import Trainer
from training.run_folder import new_folder, newest_checkpoint
from training.train_config import TrainConfig
from training.train_options import add_arguments, check_arguments

__all__ = ["add_arguments", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Train; the result is RUN/best.pt."""
    check_arguments(arguments)
    device = usable_device(distributed.own_device(arguments.device))
    with distributed.joined(device), explaining():
        return _train(arguments, device)


def _train(arguments: argparse.Namespace, device: str) -> int:
    with distributed.together():
        checkpoint = _checkpoint_to_resume(arguments)
        content = read_newest(checkpoint) if checkpoint else None
        weights = _weights_to_start_from(arguments) if arguments.init and not checkpoint else None
        pairs, validation = open_pairs(arguments.data, arguments.patch[-1], arguments.val_data, arguments.variant)
        config = _config(arguments, identity(pairs), device)
        crops = validation_crops(validation, config.patch, config.seed, config.validation_crops)
    if arguments.data is None:
        print("no --data: training on dead-leaves pictures; give a folder for weights worth using", file=sys.stderr)
    folder = checkpoint.parent if checkpoint else _new_folder(arguments)
    with _removed_if_empty(folder):
        with distributed.together():
            trainer = Trainer(config, folder, content)
            if weights:
                _start_from(trainer, weights, arguments.init)
        print(_headline(trainer), file=sys.stderr)
        metrics = _fit(trainer, pairs, crops)
    if metrics:
        print(f"PSNR {metrics['psnr']:.3f} dB (blurred {metrics['psnr_blurred']:.3f}), SSIM {metrics['ssim']:.4f}")
    print(folder / "best.pt")
    return ExitCode.OK


def _headline(trainer: Trainer) -> str:
    config, state = trainer.config, trainer.state
    timed = config.minutes is not None
    part = f"minute {state.elapsed_s / 60:.1f} of {config.minutes}" if timed else f"step {state.step} of {config.steps}"
    line = f"{config.preset} on {config.device}, {part}, into {trainer.folder}"
    if not trainer.finished:
        return line
    return f"{line}\nthis run is finished; raise {'--minutes' if timed else '--steps'} to go on"


def _fit(trainer: Trainer, pairs: Pairs, crops: list[Crop]) -> dict[str, float]:
    try:
        return trainer.fit(pairs, crops)
    except KeyboardInterrupt:
        print(_where_to_go_on(trainer), file=sys.stderr)
        raise
    finally:
        if trainer.state.skipped:
            print(f"{trainer.state.skipped} steps were left out: gradient not finite", file=sys.stderr)


def _where_to_go_on(trainer: Trainer) -> str:
    last = trainer.folder / "last.pt"
    if trainer.saved is None:
        return f"nothing was saved of {trainer.state.step} steps"
    found = f"saved {last}" if trainer.saved == trainer.state.step else f"{last} holds step {trainer.saved}"
    return f"{found}; go on with the same options and: --resume {last}"


def _config(arguments: argparse.Namespace, data: str, device: str) -> TrainConfig:
    *smaller, patch = arguments.patch
    if arguments.batch < distributed.size():
        raise Failure(
            f"--batch is {arguments.batch}; expected at least one crop for each of {distributed.size()} processes"
        )
    return TrainConfig(
        preset=arguments.preset,
        model=PRESETS[arguments.preset],
        data=data,
        steps=arguments.steps,
        batch=arguments.batch,
        patch=patch,
        lr=arguments.lr,
        seed=arguments.seed,
        workers=arguments.workers,
        ema=arguments.ema,
        amp=precision(arguments.amp, device),
        device=device,
        validate_every=arguments.validate_every,
        validation_crops=arguments.val_crops,
        smaller_patches=tuple(smaller),
        minutes=arguments.minutes,
        save_minutes=arguments.save_every,
        channels_last=arguments.channels_last,
        compile=arguments.compile,
    )


def _checkpoint_to_resume(arguments: argparse.Namespace) -> Path | None:
    if arguments.resume == "auto":
        return newest_checkpoint(arguments.project, arguments.name or arguments.preset)
    return Path(arguments.resume) if arguments.resume else None


def _new_folder(arguments: argparse.Namespace) -> Path:
    made = ""
    with distributed.together():
        if distributed.rank() == 0:
            made = str(new_folder(arguments.project, arguments.name or arguments.preset))
    return Path(distributed.from_first(made))


def _weights_to_start_from(arguments: argparse.Namespace) -> dict[str, Any]:
    content = read_checkpoint(arguments.init)
    if content["preset"] != arguments.preset:
        raise Failure(
            f"--init {arguments.init} is of preset {content['preset']}; expected {arguments.preset}, or give "
            f"--preset {content['preset']}"
        )
    return dict(content["weights"])


def _start_from(trainer: Trainer, weights: dict[str, Any], path: Path) -> None:
    try:
        trainer.learner.start_from(weights)
    except RuntimeError as error:
        raise Failure(f"--init {path} does not fit this version's network: {error}", ExitCode.MODEL) from error


@contextlib.contextmanager
def _removed_if_empty(folder: Path) -> Iterator[None]:
    """A run that never began leaves no folder."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # only succeeds while it is empty
