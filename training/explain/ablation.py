"""Rows of an ablation: one network trained and measured each, kept in a file as soon as it is done."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from training.checkpoint import LAST, PREVIOUS, read_newest
from training.data.pairs import Pairs
from training.data.samples import Crop
from training.loop import Trainer
from training.run_folder import alone_in
from training.train_config import TrainConfig
from training.whole_files import replacing

SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class Row:
    """What one variant with one seed came to, on the validation crops: PSNR in dB, SSIM; both before, too."""

    variant: str
    seed: int
    psnr: float
    ssim: float
    psnr_blurred: float


def trained(name: str, config: TrainConfig, folder: Path, pairs: Pairs, crops: list[Crop]) -> Row:
    """Train one variant in its own folder, or go on where it was interrupted, and measure it after the last step."""
    folder.mkdir(parents=True, exist_ok=True)
    with alone_in(folder):
        begun = any((folder / file).exists() for file in (LAST, PREVIOUS))
        trainer = Trainer(config, folder, read_newest(folder / LAST) if begun else None)
        metrics = trainer.fit(pairs, crops)
    return Row(name, config.seed, metrics["psnr"], metrics["ssim"], metrics["psnr_blurred"])


def write_rows(path: Path, settings: dict[str, Any], rows: list[Row]) -> None:
    """Write atomically. `settings`, in plain types, is what all rows have in common. Raises Failure (ENVIRONMENT)."""
    content = {"schema": SCHEMA, "settings": settings, "rows": [dataclasses.asdict(row) for row in rows]}
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n")


def read_rows(path: Path, settings: dict[str, Any]) -> list[Row]:
    """The finished rows. Raises Failure: USAGE where they were made with other settings, SOURCE for a damaged file."""
    try:
        content = json.loads(path.read_text())
        before, rows = {**content["settings"]}, [Row(**row) for row in content["rows"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(f"{path} is damaged ({error}); start again with another -o", ExitCode.SOURCE) from error
    now = json.loads(json.dumps(settings))  # tuples are lists in a file
    differing = [f"{name} {before.get(name)}, now {value}" for name, value in now.items() if before.get(name) != value]
    if differing:
        raise Failure(f"the ablation to resume had {'; '.join(differing)}; give the same, or another -o")
    return rows


def missing_rows(rows: list[Row], variants: Collection[str], seeds: list[int]) -> list[tuple[str, int]]:
    """Variants and seeds that have no row yet, in the order in which they are trained."""
    finished = {(row.variant, row.seed) for row in rows}
    return [(name, seed) for seed in seeds for name in variants if (name, seed) not in finished]


def check_whole(missing: list[tuple[str, int]]) -> None:
    """Raises Failure (QUALITY) where variants diverged. missing: what has no row after all were trained."""
    if missing:
        diverged = "; ".join(f"{name}, seed {seed}" for name, seed in missing)
        raise Failure(
            f"the table is without {diverged}: the loss was not finite; expected every variant to be trained: "
            "start again with a smaller --lr and another -o",
            ExitCode.QUALITY,
        )
