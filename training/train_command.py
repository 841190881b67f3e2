"""`edgedeblur train`: options, run folders and resuming around the loop."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path

import torch

from edgedeblur import ExitCode, Failure
from training.checkpoint import read_checkpoint
from training.config import PRESETS
from training.data.pairs import Pairs, open_pairs
from training.data.samples import Crop, identity, validation_crops
from training.device import usable_device
from training.loop import TrainConfig, Trainer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `edgedeblur train`."""
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        type=Path,
        help="folder with blur/ and sharp/, or with sharp photographs to blur; without it, dead-leaves pictures",
    )
    data.add_argument(
        "--val-data", type=Path, help="folder to validate on; without it, a twentieth of --data is held out"
    )
    data.add_argument("--patch", type=int, default=256, help="side of the square crops, in pixels")
    data.add_argument(
        "--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="processes that make samples"
    )
    model = parser.add_argument_group("optimisation")
    model.add_argument("--preset", choices=PRESETS, default="edge-n", help="network; see `edgedeblur presets`")
    model.add_argument("--steps", type=int, default=100_000, help="optimiser steps of the whole run")
    model.add_argument("--batch", type=int, default=16)
    model.add_argument("--lr", type=float, default=5e-4, help="peak learning rate; cosine to 1e-6")
    model.add_argument(
        "--ema", type=float, default=0.999, help="decay of the averaged weights, which are the ones saved for use"
    )
    model.add_argument("--amp", choices=("auto", "on", "off"), default="auto", help="mixed precision; auto: on a GPU")
    model.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, …; auto: a GPU when there is one")
    model.add_argument("--seed", type=int, default=0)
    run = parser.add_argument_group("run")
    run.add_argument("--project", type=Path, default=Path("runs/train"), help="folder of runs")
    run.add_argument("--name", help="folder of this run; taken names get a number (default: the preset)")
    run.add_argument(
        "--resume", metavar="auto|FILE", help="go on from a last.pt; auto: of the newest run of this name, if any"
    )
    run.add_argument("--validate-every", type=int, default=1000, help="steps between validations and checkpoints")
    run.add_argument("--val-crops", type=int, default=16, help="fixed crops to validate on")


def run(arguments: argparse.Namespace) -> int:
    """Train; the result is RUN/best.pt."""
    _check(arguments)
    checkpoint = _checkpoint_to_resume(arguments)
    content = read_checkpoint(checkpoint) if checkpoint else None
    pairs, validation = open_pairs(arguments.data, arguments.patch, arguments.val_data)
    config = _config(arguments, identity(pairs))
    crops = validation_crops(validation, config.patch, config.seed, config.validation_crops)
    if arguments.data is None:
        print("no --data: training on dead-leaves pictures; give a folder for weights worth using", file=sys.stderr)
    folder = checkpoint.parent if checkpoint else _new_folder(arguments.project, arguments.name or arguments.preset)
    trainer = Trainer(config, folder, content)
    print(f"{config.preset} on {config.device}, step {trainer.step} of {config.steps}, into {folder}", file=sys.stderr)
    if trainer.step >= config.steps:
        print("this run is finished; raise --steps to go on", file=sys.stderr)
    metrics = _fit(trainer, pairs, crops)
    if metrics:
        print(f"PSNR {metrics['psnr']:.3f} dB (blurred {metrics['psnr_blurred']:.3f}), SSIM {metrics['ssim']:.4f}")
    print(folder / "best.pt")
    return ExitCode.OK


def _fit(trainer: Trainer, pairs: Pairs, crops: list[Crop]) -> dict[str, float]:
    last = trainer.folder / "last.pt"
    try:
        return trainer.fit(pairs, crops)
    except KeyboardInterrupt:
        print(f"saved {last}; go on with the same options and: --resume {last}", file=sys.stderr)
        raise
    except torch.OutOfMemoryError as error:
        raise Failure(
            f"the GPU has too little memory: {error}; use a smaller --batch or --patch", ExitCode.MEMORY
        ) from error
    finally:
        with contextlib.suppress(OSError):
            trainer.folder.rmdir()  # only succeeds while it is empty: a run that never began leaves nothing


def _check(arguments: argparse.Namespace) -> None:
    for name in ("steps", "batch", "validate_every", "val_crops"):
        if getattr(arguments, name) < 1:
            raise Failure(f"--{name.replace('_', '-')} is {getattr(arguments, name)}; expected at least 1")
    for name, low, high in (("workers", 0, 256), ("seed", 0, 2**31), ("lr", 1e-8, 1.0), ("ema", 0.0, 0.999999)):
        if not low <= getattr(arguments, name) <= high:  # false for nan, too
            raise Failure(f"--{name} is {getattr(arguments, name)}; expected {low} to {high}")
    multiple = max(PRESETS[arguments.preset].multiple_of)
    if arguments.patch < 32 or arguments.patch % multiple:
        raise Failure(f"--patch is {arguments.patch}; {arguments.preset} expects a multiple of {multiple}, at least 32")


def _config(arguments: argparse.Namespace, data: str) -> TrainConfig:
    device = usable_device(arguments.device)
    return TrainConfig(
        preset=arguments.preset,
        model=PRESETS[arguments.preset],
        data=data,
        steps=arguments.steps,
        batch=arguments.batch,
        patch=arguments.patch,
        lr=arguments.lr,
        seed=arguments.seed,
        workers=arguments.workers,
        ema=arguments.ema,
        amp=arguments.amp == "on" or (arguments.amp == "auto" and device.startswith("cuda")),
        device=device,
        validate_every=arguments.validate_every,
        validation_crops=arguments.val_crops,
    )


def _checkpoint_to_resume(arguments: argparse.Namespace) -> Path | None:
    if arguments.resume is None:
        return None
    if arguments.resume != "auto":
        return Path(arguments.resume)
    name = arguments.name or arguments.preset
    runs = [
        folder
        for folder in arguments.project.glob(f"{name}*")
        if folder.name.removeprefix(name).isdigit() or folder.name == name
    ]
    found = [folder / "last.pt" for folder in runs if (folder / "last.pt").is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _new_folder(project: Path, name: str) -> Path:
    """NAME, or the first free of NAME2, NAME3, …: a run never writes into another's folder."""
    number = 1
    while True:
        folder = project / (name if number == 1 else f"{name}{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise Failure(
                f"cannot create {folder}: {error.strerror}; choose another --project", ExitCode.ENVIRONMENT
            ) from error
        else:
            return folder
