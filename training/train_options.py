"""Options of `edgedeblur train`, and what they may be."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from edgedeblur import Failure
from training.config import PRESETS

RATE, QAT_RATE = 1e-3, 3e-5  # from nothing; and from weights that are good already, and must not be left far behind


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `edgedeblur train`."""
    _add_data_arguments(parser.add_argument_group("data"))
    _add_optimisation_arguments(parser.add_argument_group("optimisation"))
    _add_machine_arguments(parser.add_argument_group("machine"))
    run = parser.add_argument_group("run")
    run.add_argument("--project", type=Path, default=Path("runs/train"), help="folder of runs")
    run.add_argument(
        "--name", help="folder of this run; taken names get a number (default: the preset, with --qat PRESET-qat)"
    )
    run.add_argument(
        "--resume", metavar="auto|FILE", help="go on from a last.pt; auto: of the newest run of this name, if any"
    )
    run.add_argument("--validate-every", type=int, default=1000, help="steps between validations")
    run.add_argument("--val-crops", type=int, default=16, help="fixed crops to validate on")
    run.add_argument("--save-every", type=float, default=10.0, help="minutes between checkpoints, at most")


def _add_data_arguments(data: argparse._ArgumentGroup) -> None:
    data.add_argument(
        "--data",
        type=Path,
        help="blurred/sharp pairs (GoPro, HIDE, RealBlur, REDS, BSD, blur/ with sharp/), a sharp video or a folder of "
        "them, or sharp photographs to blur; without it, dead-leaves pictures",
    )
    data.add_argument(
        "--val-data",
        type=Path,
        help="the same to validate on; without it, the set's own split, or a twentieth of --data",
    )
    data.add_argument("--variant", default="blur", help="which blurred frames of sets that have several: blur_gamma, …")
    data.add_argument(
        "--patch",
        type=_sides,
        default="256",
        help="side of the square crops, in pixels; several (128,192,256) take an equal part of the run each",
    )
    cores = (os.cpu_count() or 2) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    data.add_argument("--workers", type=int, default=max(1, cores - 1), help="processes that make samples")


def _add_optimisation_arguments(model: argparse._ArgumentGroup) -> None:
    model.add_argument("--preset", choices=PRESETS, default="edge-n", help="network; see `edgedeblur presets`")
    model.add_argument("--init", type=Path, metavar="FILE.pt", help="start from the weights of another run")
    model.add_argument(
        "--qat",
        type=Path,
        metavar="PLAN.json",
        help="train the weights of --init for INT8, as the plan that calibrate wrote of them has it",
    )
    length = model.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, default=100_000, help="optimiser steps of the whole run")
    length.add_argument(
        "--minutes",
        type=float,
        help="end after this long instead of --steps, schedule and last validation included, reading the data at the "
        "start not; as the rate follows the clock, no two such runs are equal",
    )
    model.add_argument(
        "--batch", type=int, default=16, help="crops a step, on all GPUs together; smaller --patch sides get more"
    )
    model.add_argument(
        "--lr", type=float, help=f"peak learning rate; cosine to 1e-6 (default: {RATE:g}, with --qat {QAT_RATE:g})"
    )
    model.add_argument(
        "--ema", type=float, default=0.999, help="decay of the averaged weights, which are the ones saved for use"
    )
    model.add_argument("--seed", type=int, default=0)


def _add_machine_arguments(machine: argparse._ArgumentGroup) -> None:
    machine.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, …; auto: a GPU when there is one")
    machine.add_argument(
        "--amp",
        choices=("auto", "bf16", "fp16", "off"),
        default="auto",
        help="mixed precision; auto: on GPUs, bf16 where they have it",
    )
    machine.add_argument("--channels-last", action="store_true", help="channels-last memory layout")
    machine.add_argument("--compile", action="store_true", help="torch.compile: minutes at the start, for faster steps")


def _sides(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(side) for side in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no side in pixels; expected 256, or 128,192,256") from None


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raises Failure (USAGE) for values that make no sense."""
    for name in ("steps", "batch", "validate_every", "val_crops"):
        if getattr(arguments, name) < 1:
            raise Failure(f"--{name.replace('_', '-')} is {getattr(arguments, name)}; expected at least 1")
    ranges = {"workers": (0, 256), "seed": (0, 2**31), "lr": (1e-8, 1.0), "ema": (0.0, 0.999999)}
    ranges |= {"save_every": (0.0, 1e6), "minutes": (0.01, 1e6)}
    for name, (low, high) in ranges.items():
        value = getattr(arguments, name)
        if value is not None and not low <= value <= high:  # false for nan, too
            raise Failure(f"--{name.replace('_', '-')} is {value}; expected {low} to {high}")
    _check_patches(arguments)
    _check_run(arguments)


def _check_run(arguments: argparse.Namespace) -> None:
    name = arguments.name
    if name is not None and (name in ("", "..") or Path(name).name != name):
        raise Failure(f"--name is '{name}'; expected the name of a folder, without /; --project says where it is")
    if arguments.resume not in (None, "auto"):
        for option in ("name", "init"):
            if getattr(arguments, option) is not None:
                raise Failure(
                    f"--{option} cannot be given with --resume {arguments.resume}, which goes on in that file's folder "
                    f"with its weights; leave out one of them"
                )


def _check_patches(arguments: argparse.Namespace) -> None:
    multiple = max(PRESETS[arguments.preset].multiple_of)
    for patch in arguments.patch:
        if patch < 32 or patch % multiple:
            raise Failure(f"--patch is {patch}; {arguments.preset} expects a multiple of {multiple}, at least 32")
    if list(arguments.patch) != sorted(set(arguments.patch)):
        raise Failure(f"--patch is {','.join(map(str, arguments.patch))}; expected each larger than the one before")
