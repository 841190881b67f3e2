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
from training.checkpoint import LAST
from training.config import PRESETS
from training.data.pairs import Pairs, open_pairs
from training.data.samples import Crop, identity, validation_crops
from training.device import usable_device
from training.errors import explaining
from training.learner import precision
from training.loop import Trainer
from training.qat import add_to_biases
from training.quantisation_plan import PLAN, QuantisationPlan
from training.resume import name_of, newest_checkpoint, plan_of, read_run, weights_of
from training.run_folder import alone_in, new_folder
from training.train_config import TrainConfig
from training.train_options import QAT_RATE, RATE, add_arguments, check_arguments

__all__ = ["add_arguments", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Train; the result is RUN/best.pt."""
    check_arguments(arguments)
    device = usable_device(distributed.own_device(arguments.device))
    with distributed.joined(device), explaining(), contextlib.ExitStack() as held:
        return _train(arguments, device, held)


def _train(arguments: argparse.Namespace, device: str, held: contextlib.ExitStack) -> int:
    with distributed.together():
        checkpoint = _checkpoint_to_resume(arguments)
        if checkpoint:
            held.enter_context(alone_in(checkpoint.parent))  # before it is read: a live run may write a later one
        content = read_run(checkpoint) if checkpoint else None
        plan = plan_of(content, arguments.qat, arguments.preset)
        if plan and not content and not arguments.init:
            raise Failure("--qat trains weights that calibrate has seen; give them with --init FILE.pt")
        weights = weights_of(arguments.init, arguments.preset) if arguments.init and not checkpoint else None
        pairs, validation = open_pairs(arguments.data, arguments.patch[-1], arguments.val_data, arguments.variant)
        name = name_of(content, checkpoint.parent) if checkpoint and content else _name(arguments)
        config = _config(arguments, identity(pairs), identity(validation), name, device, plan)
        crops = validation_crops(validation, config.patch, config.seed, config.validation_crops)
    if arguments.data is None:
        print("no --data: training on dead-leaves pictures; give a folder for weights worth using", file=sys.stderr)
    folder = checkpoint.parent if checkpoint else held.enter_context(_new_folder(arguments.project, name))
    with distributed.together():
        trainer = Trainer(config, folder, content)
        if weights:
            _start_from(trainer, weights, arguments.init, plan)
    print(_headline(trainer), file=sys.stderr)
    metrics = _fit(trainer, pairs, crops)
    if metrics:
        print(f"PSNR {metrics['psnr']:.3f} dB (blurred {metrics['psnr_blurred']:.3f}), SSIM {metrics['ssim']:.4f}")
    if plan:
        print(_how_to_calibrate(trainer), file=sys.stderr)
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


def _how_to_calibrate(trainer: Trainer) -> str:
    best, plan = trainer.folder / "best.pt", trainer.folder / PLAN
    return (
        f"best PSNR with INT8 {trainer.state.best:.3f} dB; step 0 in metrics.csv is before training; go on with\n"
        f"  edgedeblur export {best}\n  edgedeblur calibrate {best.with_suffix('.onnx')} --plan {plan} --data … "
        "--reference FP32_BEFORE.onnx"
    )


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
    last = trainer.folder / LAST
    if trainer.saved is None:
        return f"nothing was saved of {trainer.state.step} steps"
    found = f"saved {last}" if trainer.saved == trainer.state.step else f"{last} holds step {trainer.saved}"
    return f"{found}; go on with --resume {last} and the same options, but without --name and --init"


def _config(
    arguments: argparse.Namespace,
    data: str,
    validation_data: str,
    name: str,
    device: str,
    plan: QuantisationPlan | None,
) -> TrainConfig:
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
        lr=arguments.lr or (QAT_RATE if plan else RATE),
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
        validation_data=validation_data,
        name=name,
        plan=plan.for_trained_weights() if plan else None,
    )


def _name(arguments: argparse.Namespace) -> str:
    return str(arguments.name or f"{arguments.preset}{'-qat' if arguments.qat else ''}")


def _checkpoint_to_resume(arguments: argparse.Namespace) -> Path | None:
    if arguments.resume == "auto":
        return newest_checkpoint(arguments.project, _name(arguments))
    return Path(arguments.resume) if arguments.resume else None


@contextlib.contextmanager
def _new_folder(project: Path, name: str) -> Iterator[Path]:
    """Made and held for this run; one that never begins leaves none."""
    made = ""
    with distributed.together():
        if distributed.rank() == 0:
            made = str(new_folder(project, name))
    folder = Path(distributed.from_first(made))
    try:
        with alone_in(folder):
            yield folder
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # only succeeds while it is empty


def _start_from(trainer: Trainer, weights: dict[str, Any], path: Path, plan: QuantisationPlan | None) -> None:
    try:
        trainer.learner.start_from(weights)
    except RuntimeError as error:
        raise Failure(f"--init {path} does not fit this version's network: {error}", ExitCode.MODEL) from error
    for network in (trainer.learner.network, trainer.learner.averaged):
        add_to_biases(network, plan.bias if plan else {})
