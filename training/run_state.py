"""How far a run has come, and whether a checkpoint is of that run."""

from __future__ import annotations

import dataclasses
from typing import Any

from edgedeblur import Failure
from training.meter import Meter
from training.train_config import TrainConfig

# Steps, rate, precision and device may change; what decides the samples and how runs compare may not.
_FIXED = ("preset", "data", "batch", "patch", "smaller_patches", "seed", "ema", "validation_crops", "validation_data")


@dataclasses.dataclass
class RunState:
    """What a checkpoint holds of a run beside its learner, in plain types."""

    step: int = 0
    seen: int = 0  # samples taken; the next one has this number
    elapsed_s: float = 0.0
    validated: int = -1  # step of the last validation
    closing_s: float = 0.0  # how long that took, which a time budget sets aside for the last one
    best: float = float("-inf")
    skipped: int = 0  # steps left out
    meter: Meter = dataclasses.field(default_factory=Meter)  # since the last validation

    @classmethod
    def from_checkpoint(cls, state: dict[str, Any]) -> RunState:
        """Undo `asdict`. Raises KeyError or TypeError where something else is in the checkpoint."""
        values = {field.name: state[field.name] for field in dataclasses.fields(cls)}
        return cls(**{**values, "meter": Meter(**state["meter"])})


def check_same_run(run: dict[str, Any], config: TrainConfig) -> None:
    """run: a TrainConfig as a dictionary. Raises Failure (USAGE) where its samples or figures are other ones."""
    now = dataclasses.asdict(config)
    before = {**now, **run}  # what older versions did not keep cannot be compared
    differing = [f"{name} {before[name]}, now {now[name]}" for name in _FIXED if before[name] != now[name]]
    if differing:
        raise Failure(f"the run to resume had {'; '.join(differing)}; give the same, or start a new run")
