"""`edgedeblur val`: models on whole frames, against sharp frames, beside baselines, and from frame to frame."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from edgedeblur import ExitCode, Failure
from training.data.datasets import find_pairs
from training.data.pair_set import Pair, counted
from training.data.pictures import picture_paths
from training.device import usable_device
from training.evaluation.kernels import kernel_paths
from training.evaluation.measure import measure_pairs, measure_sharp, measure_unpaired
from training.evaluation.models import Model, check_models, open_models
from training.evaluation.outputs import check_output
from training.evaluation.perceptual import Perceptual, lpips_distance
from training.evaluation.report import PAIRS, SHARP, UNPAIRED, Kind
from training.evaluation.results import Results
from training.evaluation.rows import Measured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `edgedeblur val`."""
    parser.add_argument("--model", type=Path, nargs="+", required=True, help=".pt of `train` or .onnx of `export`")
    parser.add_argument("--device", default="auto", help="for .pt: cpu, cuda, cuda:1, …; auto: a GPU when there is one")
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data", type=Path, required=True, help="folder of blurred/sharp pairs: blur/ and sharp/, GoPro, HIDE, …"
    )
    data.add_argument("--split", choices=("train", "val", "test"), help="of sets that have splits (default: test)")
    data.add_argument("--variant", help="which blurred frames of sets that have several: blur_gamma, … (default: blur)")
    data.add_argument(
        "--unpaired",
        action="store_true",
        help="--data is a folder of consecutive frames without sharp ones: measures change and flicker alone",
    )
    data.add_argument(
        "--sharp-input",
        action="store_true",
        help="feed the sharp frames (with --unpaired: all frames of --data are sharp): a model must leave them alone",
    )
    report = parser.add_argument_group("report")
    report.add_argument(
        "--baselines",
        action="store_true",
        help="also an unsharp mask and, where --data has kernel/NAME.npy or .png, Wiener and Richardson-Lucy",
    )
    report.add_argument(
        "--csv", type=Path, metavar="FILE.csv", help="write a row for each frame and method as they come"
    )
    report.add_argument(
        "--pictures", type=Path, metavar="FILE.png", help="write the frames that gained least and most, side by side"
    )
    report.add_argument("--json", action="store_true", help="print JSON")
    report.add_argument("--force", action="store_true", help="write over files that are there")


Measure = Callable[[Sequence[Model]], Iterator[Measured]]


def run(arguments: argparse.Namespace) -> int:
    """Measure frame by frame, then print the means. What was measured before an interruption is not lost."""
    _check(arguments)
    device = usable_device(arguments.device)
    kind, title, measure = _plan(arguments, device)
    models = open_models(arguments.model, device)
    results = Results(kind, models, arguments.csv, arguments.pictures, quiet=arguments.json)
    try:
        for measured in measure(models):
            results.add(measured)
    except (KeyboardInterrupt, Failure):
        if results.rows:
            print(results.text(f"{title}, so far"), file=sys.stderr if arguments.json else sys.stdout)
        results.conclude()
        raise
    print(results.json(arguments.model[0]) if arguments.json else results.text(title))
    results.conclude()
    return ExitCode.OK


def _check(arguments: argparse.Namespace) -> None:
    check_models(arguments.model)
    if arguments.unpaired or arguments.sharp_input:
        for name in ("baselines", "pictures"):
            if getattr(arguments, name):
                raise Failure(f"--{name} needs blurred frames with sharp ones; leave out --unpaired and --sharp-input")
    for name in ("split", "variant"):
        if arguments.unpaired and getattr(arguments, name):
            raise Failure(f"--{name} belongs to sets of pairs; leave it out, or leave out --unpaired")
    for path, suffix in ((arguments.csv, ".csv"), (arguments.pictures, ".png")):
        if path:
            check_output(path, suffix, arguments.force)


def _plan(arguments: argparse.Namespace, device: str) -> tuple[Kind, str, Measure]:
    """What is measured, in words for people, and the function that measures it."""
    if arguments.unpaired:
        paths = {path.name: path for path in picture_paths(arguments.data)}
        frames = {name: paths[name] for name in sorted(paths, key=counted)}
        return _plan_of_frames(arguments, str(arguments.data), frames)
    found = find_pairs(arguments.data, arguments.split or "test", arguments.variant or "blur")
    title = f"{found.layout} in {arguments.data}"
    if arguments.sharp_input:
        return _plan_of_frames(arguments, title, {pair.name: pair.sharp for pair in found.pairs})
    kernels = _kernels(found.pairs) if arguments.baselines else None
    return PAIRS, title, partial(measure_pairs, found.pairs, kernels=kernels, perceptual=_perceptual(device))


def _plan_of_frames(arguments: argparse.Namespace, title: str, frames: dict[str, Path]) -> tuple[Kind, str, Measure]:
    if arguments.sharp_input:
        return SHARP, f"sharp frames of {title}", partial(measure_sharp, frames)
    return UNPAIRED, title, partial(measure_unpaired, frames)


def _kernels(pairs: Sequence[Pair]) -> dict[str, Path]:
    kernels = kernel_paths(pairs)
    if not kernels:
        _note("Wiener and Richardson-Lucy are left out: there is no kernel/ with the true kernels beside the pictures")
    return kernels


def _perceptual(device: str) -> Perceptual | None:
    distance = lpips_distance(device)
    if isinstance(distance, str):
        _note(f"LPIPS is left out: {distance}")
        return None
    return distance


def _note(text: str) -> None:
    print(text, file=sys.stderr)
