"""`edgedeblur ablate`: what each part of the network is worth, trained under equal conditions."""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from training.config import PRESETS, ModelConfig
from training.data.pairs import Pairs, open_pairs
from training.data.samples import Crop, identity, validation_crops
from training.device import usable_device
from training.errors import explained
from training.explain.ablation import Row, check_whole, missing_rows, read_rows, trained, write_rows
from training.explain.ablation_table import as_markdown, as_text, table, write_csv
from training.explain.switches import variants
from training.learner import precision
from training.train_config import TrainConfig
from training.whole_files import replacing

_ROWS = "ablation.json"
_CROPS_SEED = 0  # one set of validation crops: the spread between seeds is that of the training alone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `edgedeblur ablate`."""
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="as for `train`; measured on its val or test split, else on a twentieth that is held out",
    )
    parser.add_argument(
        "--preset", choices=PRESETS, default="edge-n", help="the full network; see `edgedeblur presets`"
    )
    parser.add_argument("--steps", type=int, default=5000, help="optimiser steps of each network")
    parser.add_argument("--seeds", default="0", help="comma-separated; several give a spread, and so what is noise")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the table and the networks")
    parser.add_argument("--resume", action="store_true", help="keep the finished rows in -o and train the others")
    parser.add_argument("--patch", type=int, default=128, help="side of the square crops, in pixels")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1e-3, help="peak learning rate; cosine to 1e-6")
    parser.add_argument("--val-crops", type=int, default=32, help="fixed crops to measure on")
    parser.add_argument("--workers", type=int, default=1, help="processes that make samples")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, …; auto: a GPU when there is one")


def run(arguments: argparse.Namespace) -> int:
    """Train every variant with every seed; the table is printed and in OUTPUT/ablation.csv and .md."""
    seeds = _check(arguments)
    device = usable_device(arguments.device)
    models, left_out = variants(PRESETS[arguments.preset])
    pairs, validation = open_pairs(arguments.data, arguments.patch)
    crops = validation_crops(validation, arguments.patch, _CROPS_SEED, arguments.val_crops)
    settings = _settings(arguments, identity(pairs), device)
    rows = _finished_rows(arguments.output, settings, arguments.resume)
    for name, reason in left_out.items():
        print(f"left out: {name}: {reason}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    write_rows(arguments.output / _ROWS, settings, rows)  # now, so that a first row that is interrupted can be resumed
    try:
        for name, seed in missing_rows(rows, models, seeds):
            print(f"{name}, seed {seed}", file=sys.stderr)
            config = _train_config(settings, models[name], seed, arguments.workers, device)
            rows += _train(name, config, arguments.output, pairs, crops)
            write_rows(arguments.output / _ROWS, settings, rows)
    except KeyboardInterrupt:
        print(f"{len(rows)} rows are kept; go on with the same options and --resume", file=sys.stderr)
        raise
    finally:
        if rows:
            _report(arguments.output, rows, models, crops)
    check_whole(missing_rows(rows, models, seeds))
    return ExitCode.OK


def _report(folder: Path, rows: list[Row], models: dict[str, ModelConfig], crops: list[Crop]) -> None:
    lines = table(rows, models)
    write_csv(folder / "ablation.csv", lines)
    with replacing(folder / "ablation.md") as partial:
        partial.write_text(as_markdown(lines))
    print(as_text(lines))
    print(f"on {len(crops)} crops, blurred {rows[0].psnr_blurred:.3f} dB; GMACs of a 1280x720 frame; ", end="")
    if max(line.seeds for line in lines) > 1:
        print("± standard deviation between seeds: a difference within twice of it may be chance")
    else:
        print("one seed says nothing of chance: give --seeds 0,1,2")
    print(folder / "ablation.md")


def _train(name: str, config: TrainConfig, folder: Path, pairs: Pairs, crops: list[Crop]) -> list[Row]:
    """The one row, or none for a variant that diverges, which is noted: the others do not depend on it."""
    home = folder / f"seed{config.seed}" / re.sub(r"[^a-z0-9]+", "-", name)
    try:
        return [trained(name, config, home, pairs, crops)]
    except Failure as failure:
        if failure.code != ExitCode.QUALITY:
            raise
        print(f"{name}, seed {config.seed}: {failure}", file=sys.stderr)
        return []
    except OSError as error:
        raise Failure(f"cannot write into {home}: {error.strerror}; choose another -o", ExitCode.ENVIRONMENT) from error
    except (RuntimeError, MemoryError) as error:
        raise explained(error) or error from error


def _finished_rows(folder: Path, settings: dict[str, Any], resume: bool) -> list[Row]:
    if (folder / _ROWS).exists():
        if not resume:
            raise Failure(f"{folder} holds an ablation already; go on with it with --resume, or give another -o")
        return read_rows(folder / _ROWS, settings)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Failure(f"{folder} holds other files; give another -o")
    return []


def _settings(arguments: argparse.Namespace, data: str, device: str) -> dict[str, Any]:
    """What decides how rows compare."""
    names = ("preset", "steps", "patch", "batch", "lr", "val_crops")
    model = dataclasses.asdict(PRESETS[arguments.preset])
    machine = {"device": device.partition(":")[0], "precision": precision("auto", device)}
    return {"data": data, "model": model, **machine, **{name: getattr(arguments, name) for name in names}}


def _train_config(settings: dict[str, Any], model: ModelConfig, seed: int, workers: int, device: str) -> TrainConfig:
    return TrainConfig(
        preset=settings["preset"],
        model=model,
        data=settings["data"],
        steps=settings["steps"],
        batch=settings["batch"],
        patch=settings["patch"],
        lr=settings["lr"],
        seed=seed,
        workers=workers,
        ema=0.999,
        amp=settings["precision"],
        device=device,
        validate_every=settings["steps"],
        validation_crops=settings["val_crops"],
    )


def _check(arguments: argparse.Namespace) -> list[int]:
    """The seeds. Raises Failure (USAGE)."""
    for name in ("steps", "batch", "val_crops"):
        if getattr(arguments, name) < 1:
            raise Failure(f"--{name.replace('_', '-')} is {getattr(arguments, name)}; expected at least 1")
    for name, low, high in (("workers", 0, 256), ("lr", 1e-8, 1.0)):
        if not low <= getattr(arguments, name) <= high:  # false for nan, too
            raise Failure(f"--{name} is {getattr(arguments, name)}; expected {low} to {high}")
    multiple = max(PRESETS[arguments.preset].multiple_of)
    if arguments.patch < 32 or arguments.patch % multiple:
        raise Failure(f"--patch is {arguments.patch}; {arguments.preset} expects a multiple of {multiple}, at least 32")
    if not re.fullmatch(r"\d{1,9}(,\d{1,9})*", arguments.seeds):
        raise Failure(f"--seeds is '{arguments.seeds}'; expected numbers like 0,1,2")
    return list(dict.fromkeys(int(seed) for seed in arguments.seeds.split(",")))
