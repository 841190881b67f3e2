"""`edgedeblur val`: PSNR and SSIM of a .pt or .onnx model on whole blurred/sharp pairs, beside the blurred input's."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from edgedeblur import ExitCode, Failure
from training.data.pictures import pair_paths, read_pair
from training.device import usable_device
from training.evaluation.evaluate import open_model, pair_metrics
from training.evaluation.metrics import SSIM_WINDOW

_COLUMNS = ("psnr_blurred", "psnr", "ssim_blurred", "ssim")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `edgedeblur val`."""
    parser.add_argument("--model", type=Path, required=True, help="a .pt of `train` or an .onnx of `export`")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with blur/ and sharp/, or *_blur.* with *_sharp.*"
    )
    parser.add_argument("--device", default="cpu", help="for a .pt: cpu, cuda, …")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Measure every pair and the mean."""
    if arguments.model.suffix not in (".pt", ".onnx"):
        raise Failure(f"--model is {arguments.model}; expected a .pt or an .onnx file")
    paths = pair_paths(arguments.data)
    deblur, (height, width) = open_model(arguments.model, usable_device(arguments.device))
    min_size = max(height, SSIM_WINDOW), max(width, SSIM_WINDOW)
    rows: list[tuple[str, dict[str, float]]] = []
    started = time.monotonic()
    for pair in paths:
        blurred, sharp = read_pair(pair, min_size)
        rows.append((pair[0].stem, pair_metrics(deblur, blurred, sharp)))
        if not arguments.json:
            _print_row(*rows[-1], header=len(rows) == 1)
    mean = {name: float(np.mean([row[name] for _, row in rows])) for name in _COLUMNS}
    if arguments.json:
        print(json.dumps({"model": str(arguments.model), "mean": mean, "pairs": dict(rows)}))
    else:
        _print_row(f"mean of {len(rows)}", mean, header=False)
        print(f"{(time.monotonic() - started) / len(rows):.2f} s a pair, reading and measuring included")
    return ExitCode.OK


def _print_row(name: str, row: dict[str, float], header: bool) -> None:
    if header:
        print(f"{'pair':28} {'PSNR blurred':>12} {'PSNR':>8} {'SSIM blurred':>12} {'SSIM':>8}")
    before, after = (
        f"{row['psnr_blurred']:>12.3f} {row['psnr']:>8.3f}",
        f"{row['ssim_blurred']:>12.4f} {row['ssim']:>8.4f}",
    )
    print(f"{name[:28]:28} {before} {after}")
