"""The ablation as a table: means over seeds, the spread between them, and the difference to the full model."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.config import ModelConfig
from training.cost import macs, parameters
from training.explain.ablation import Row
from training.explain.switches import FULL
from training.whole_files import replacing


class Estimate(NamedTuple):
    """Mean and sample standard deviation over seeds; nan where there are too few."""

    mean: float
    std: float


@dataclasses.dataclass(frozen=True)
class Line:
    """One variant; `delta_…` is its difference to the full model, for PSNR and SSIM seed by seed.

    PSNR in dB; multiply-accumulates of a 1280x720 frame.
    """

    variant: str
    seeds: int
    psnr: Estimate
    delta_psnr: Estimate
    ssim: Estimate
    delta_ssim: Estimate
    parameters: int
    delta_parameters: int
    macs: int
    delta_macs: int


def table(rows: list[Row], models: dict[str, ModelConfig]) -> list[Line]:
    """A line for each variant that has rows, in the order of `models`."""
    full = {row.seed: row for row in rows if row.variant == FULL}
    size, work = parameters(models[FULL]), macs(models[FULL])
    lines = []
    for name, model in models.items():
        chosen = [row for row in rows if row.variant == name]
        both = [(row, full[row.seed]) for row in chosen if row.seed in full]
        if chosen:
            lines.append(
                Line(
                    name,
                    len(chosen),
                    estimate([row.psnr for row in chosen]),
                    estimate([row.psnr - whole.psnr for row, whole in both]),
                    estimate([row.ssim for row in chosen]),
                    estimate([row.ssim - whole.ssim for row, whole in both]),
                    parameters(model),
                    parameters(model) - size,
                    macs(model),
                    macs(model) - work,
                )
            )
    return lines


def estimate(values: list[float]) -> Estimate:
    """Of one figure over seeds."""
    mean = float(np.mean(values)) if values else float("nan")
    return Estimate(mean, float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"))


def as_text(lines: list[Line]) -> str:
    """Aligned columns for a terminal."""
    cells = _cells(lines)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    aligned = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in cells]
    return "\n".join("  ".join(row) for row in aligned)


def as_markdown(lines: list[Line]) -> str:
    """The same as a Markdown table."""
    head, *body = _cells(lines)
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *body))


def write_csv(path: Path, lines: list[Line]) -> None:
    """All of each `Line`, unrounded; an estimate is two columns. Raises Failure (ENVIRONMENT)."""
    columns: list[str] = []
    for field in dataclasses.fields(Line):
        columns += [field.name, f"{field.name}_std"] if field.type == "Estimate" else [field.name]
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for line in lines:
            values = (getattr(line, field.name) for field in dataclasses.fields(Line))
            writer.writerow([cell for value in values for cell in (value if isinstance(value, Estimate) else (value,))])


def _cells(lines: list[Line]) -> list[list[str]]:
    head = ["variant", "seeds", "PSNR dB", "to full", "SSIM", "to full", "parameters", "to full", "GMACs", "to full"]
    return [head, *(_row(line) for line in lines)]


def _row(line: Line) -> list[str]:
    cells = [
        line.variant,
        str(line.seeds),
        _number(line.psnr, ".3f"),
        _number(line.delta_psnr, "+.3f"),
        _number(line.ssim, ".4f"),
        _number(line.delta_ssim, "+.4f"),
        f"{line.parameters / 1e6:.3f} M",
        f"{line.delta_parameters / 1e6:+.3f} M",
        f"{line.macs / 1e9:.2f}",
        f"{line.delta_macs / 1e9:+.2f}",
    ]
    if line.variant == FULL:  # which differs from itself in nothing
        cells[3::2] = [""] * 4
    return cells


def _number(value: Estimate, form: str) -> str:
    if np.isnan(value.mean):
        return "-"
    spread = "" if np.isnan(value.std) else f" ± {value.std:{form.lstrip('+')}}"
    return f"{value.mean:{form}}{spread}"
