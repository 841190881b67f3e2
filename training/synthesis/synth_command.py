"""`edgedeblur synth`: what training sees, as a contact sheet or as a fixed set of pairs; and what a pair costs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure
from training.data.photographs import read_photos
from training.synthesis.benchmark import benchmark
from training.synthesis.config import SynthConfig
from training.synthesis.deadleaves import dead_leaves
from training.synthesis.draw import draw_scene
from training.synthesis.pair_files import check_file, check_folder, clear_folder, write_pair, write_picture
from training.synthesis.scene import Scene
from training.synthesis.sheet import contact_sheet
from training.synthesis.synth import rendered

Image = NDArray[np.uint8]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `edgedeblur synth`."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--sheet", type=Path, metavar="FILE", help="draw a contact sheet, blurred above sharp")
    what.add_argument("-o", "--output", type=Path, metavar="DIR", help="write pairs to DIR/blur and DIR/sharp")
    what.add_argument("--benchmark", action="store_true", help="print milliseconds a pair")
    parser.add_argument("--data", type=Path, help="folder of sharp photographs; without it, dead-leaves pictures")
    parser.add_argument("--count", type=int, default=24, help="pairs")
    parser.add_argument("--seed", type=int, default=0, help="the same seed and photographs give the same pairs")
    parser.add_argument("--size", default="256x256", metavar="HxW", help="of a pair, height x width")
    parser.add_argument(
        "--sharp-share", type=float, default=SynthConfig.sharp_share, help="pairs without motion; 0 to validate on"
    )
    parser.add_argument("--force", action="store_true", help="replace the output if it is there")


def run(arguments: argparse.Namespace) -> int:
    """Make pairs."""
    config = _config(arguments)
    if arguments.output:
        check_folder(arguments.output, arguments.force)
    if arguments.sheet:
        check_file(arguments.sheet, arguments.force)
    photos = _photos(arguments.data, config)
    if arguments.benchmark:
        for what, milliseconds in benchmark(photos, config, arguments.count, arguments.seed).items():
            print(f"{what:24} {milliseconds:8.2f} ms a pair of {arguments.size}")
        return ExitCode.OK
    made = _made(photos, config, arguments.count, arguments.seed)
    if arguments.sheet:
        scenes, pairs = zip(*made, strict=True)
        write_picture(arguments.sheet, contact_sheet(scenes, pairs))
    else:
        clear_folder(arguments.output)
        for index, (_, pair) in enumerate(made):
            write_pair(arguments.output, f"{index:06d}.png", pair)
    print(arguments.sheet or arguments.output)
    return ExitCode.OK


def _made(
    photos: list[Image], config: SynthConfig, count: int, seed: int
) -> Iterator[tuple[Scene, tuple[Image, Image]]]:
    for index in range(count):
        scene = draw_scene(photos, np.random.default_rng((seed, index)), config)
        yield scene, rendered(scene)


def _config(arguments: argparse.Namespace) -> SynthConfig:
    matched = re.fullmatch(r"(\d{2,4})x(\d{2,4})", arguments.size)
    if not matched or min(size := (int(matched[1]), int(matched[2]))) < 32:
        raise Failure(f"--size is '{arguments.size}'; expected HEIGHTxWIDTH of 32 to 9999 pixels, such as 256x256")
    for name, low, high in (("count", 1, 999_999), ("seed", 0, 2**63), ("sharp_share", 0.0, 1.0)):
        if not low <= getattr(arguments, name) <= high:  # false for nan, too
            raise Failure(f"--{name.replace('_', '-')} is {getattr(arguments, name)}; expected {low} to {high}")
    return SynthConfig(size=size, sharp_share=arguments.sharp_share)


def _photos(folder: Path | None, config: SynthConfig) -> list[Image]:
    if folder is None:
        return [dead_leaves(np.random.default_rng(index)) for index in range(12)]
    return list(read_photos(folder, config).values())
