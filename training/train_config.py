"""TrainConfig: everything that makes one training run."""

from __future__ import annotations

import dataclasses

from training.config import ModelConfig
from training.quantisation_plan import QuantisationPlan


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """One run. Sides of the square crops are pixels; `patch` and `batch` are those of its last stage."""

    preset: str
    model: ModelConfig
    data: str  # identity of what is trained on
    steps: int  # not looked at where `minutes` is given
    batch: int
    patch: int
    lr: float
    seed: int
    workers: int  # of each process
    ema: float
    amp: str  # "bf16", "fp16" or "off"
    device: str
    validate_every: int  # steps
    validation_crops: int
    smaller_patches: tuple[int, ...] = ()  # the stages before the last, ascending
    minutes: float | None = None
    save_minutes: float = 10.0
    channels_last: bool = False
    compile: bool = False
    validation_data: str = ""  # identity of what is validated on
    name: str = ""  # as asked for; the folder may have got a number
    plan: QuantisationPlan | None = None  # of the INT8 layers that the weights are trained for
