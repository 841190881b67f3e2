"""The directions of a model's filters against the blur's, reported: a table, the numbers as CSV and JSON, a figure."""

from __future__ import annotations

import csv
import dataclasses
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from edgedeblur import ExitCode, Failure
from training.config import ModelConfig
from training.explain.observe import Image
from training.explain.psf import ANGLES, CHANCE, LENGTHS, Rows, measure, turning_errors
from training.explain.psf_figure import draw_psf
from training.network import SAPHNet
from training.synthesis.deadleaves import dead_leaves
from training.whole_files import replacing

_LEAVES, _SIZE = 4, (256, 256)  # pictures made where none are given


@dataclasses.dataclass(frozen=True)
class Finding:
    """One layer over all its measurements; errors in degrees.

    error: of the filters as they are. turning_error: without what each picture's blurs have in common (`psf.turned`).
    Both are nan where a filter has no direction at all, which must not pass for a good one. elongation: mean length.
    """

    layer: str
    error: float
    turning_error: float
    elongation: float
    measurements: int


def check_filters_differ(config: ModelConfig) -> None:
    """Raises Failure (MODEL) for a model that has no direction to compare."""
    if not (config.local_branch and (config.learn_offsets or config.learn_modulation)):
        raise Failure("this model's filters are the same for every pixel: they cannot follow a blur", ExitCode.MODEL)


def explain_psf(network: SAPHNet, pictures: dict[str, Image], folder: Path) -> None:
    """Measure, print the table and write psf.csv, psf.json and psf.png; dead leaves where no pictures are given."""
    if not pictures:
        pictures = {f"leaves-{index}": dead_leaves(np.random.default_rng(index), _SIZE) for index in range(_LEAVES)}
    total = len(pictures) * len(LENGTHS) * len(ANGLES)
    print(f"blurring {len(pictures)} pictures along {len(ANGLES)} angles: {total} frames", file=sys.stderr)
    layers: dict[str, Rows] = defaultdict(list)
    try:
        for row in measure(network, pictures):
            layers[row.layer].append(row)
    finally:  # an hour of measuring is not to be lost with its end
        if layers:
            _write_csv(folder / "psf.csv", [row for rows in layers.values() for row in rows])
    findings = [_finding(layer, rows) for layer, rows in layers.items()]
    _write_json(folder / "psf.json", findings)
    draw_psf(folder / "psf.png", layers)
    _print(findings)


def _finding(layer: str, rows: Rows) -> Finding:
    strength = float(np.mean([np.hypot(*row.elongation) for row in rows]))
    error, turning = (float(np.mean(errors)) for errors in ([row.error for row in rows], turning_errors(rows)))
    return Finding(layer, error, turning, strength, len(rows))


def _print(findings: list[Finding]) -> None:
    print(f"{'layer':44} {'error':>7} {'turning':>8} {'elongation':>11}")
    for found in findings:
        print(
            f"{found.layer[:44]:44} {_degrees(found.error):>7} {_degrees(found.turning_error):>8} "
            f"{found.elongation:>11.4f}"
        )
    chance_spread = 90 / np.sqrt(12 * findings[0].measurements)
    print(
        f"{'a direction at random':44} {CHANCE:>6.1f}° {CHANCE:>7.1f}°   ± {chance_spread:.1f}° (independent pictures)"
    )
    print("error: mean |direction of the sampling positions - direction of the blur|, modulo 180°")
    print("turning: the same, less each picture's mean over all angles; elongation: 0 for round filters, 1 for lines")


def _degrees(error: float) -> str:
    return "round" if error != error else f"{error:.1f}°"


def _write_csv(path: Path, rows: Rows) -> None:
    columns = "layer,picture,length_px,angle_deg,elongation_0,elongation_45,predicted_deg,error_deg"
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns.split(","))
        for row in rows:
            writer.writerow((row.layer, row.picture, row.length, row.angle, *row.elongation, row.predicted, row.error))


def _write_json(path: Path, findings: list[Finding]) -> None:
    layers = [dataclasses.asdict(found) for found in findings]
    finite = [{key: None if value != value else value for key, value in layer.items()} for layer in layers]  # no nan
    with replacing(path) as partial:
        partial.write_text(json.dumps({"chance_deg": CHANCE, "layers": finite}, indent=1) + "\n")
