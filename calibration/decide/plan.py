"""The plan: which layer gets which precision, and why. A JSON file that people edit, reuse and fine-tune with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from calibration.decide.plan_checks import SCHEMA, check_plan
from calibration.graph.layers import Layer
from calibration.graph.quantise import Bias
from edgedeblur import Failure

INT8, FP16 = "int8", "fp16"


@dataclass(frozen=True)
class Choice:
    """One layer's line in the plan."""

    name: str
    kind: str
    precision: str  # int8, fp16 or fp32
    range: float | None = None  # largest magnitude of its input that is represented; None: to be observed
    macs: int = 0  # multiply-accumulates for a 720x1280 frame
    cost_db: float | None = None  # PSNR it costs alone in INT8; None: not measured
    why: str = ""


@dataclass(frozen=True)
class Plan:
    """What calibration decided; `quantisation_plan.py` of the training stage reads the same file."""

    preset: str
    deform: str  # native or gather: the form of the graph the ranges were observed in
    method: str
    layers: tuple[Choice, ...]
    model_sha256: str | None = None  # of the FP32 file; None: the ranges belong to the plan, as after fine-tuning
    bias: Mapping[str, Sequence[float]] = field(default_factory=dict)  # layer → correction of its bias
    fp32_nodes: tuple[str, ...] = ()

    def int8(self) -> frozenset[str]:
        """Names of the layers that are INT8."""
        return frozenset(choice.name for choice in self.layers if choice.precision == INT8)

    def corrections(self) -> Bias:
        """Layer → (M,) float32 to add to its bias."""
        return {name: np.asarray(values, np.float32) for name, values in self.bias.items()}

    def to_bytes(self) -> bytes:
        content = {"schema": SCHEMA, **asdict(self), "layers": [asdict(choice) for choice in self.layers]}
        return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def default_choices(layers: Sequence[Layer], macs: Mapping[str, int]) -> tuple[Choice, ...]:
    """Every layer in INT8 that has no reason against it."""
    return tuple(
        Choice(layer.name, layer.kind, FP16 if layer.kept else INT8, macs=macs.get(layer.name, 0), why=layer.kept)
        for layer in layers
    )


def with_ranges(plan: Plan, ranges: Mapping[str, float]) -> Plan:
    """The plan with other ranges (layer → magnitude); a layer that is not among them gets none."""
    return replace(plan, layers=tuple(replace(choice, range=ranges.get(choice.name)) for choice in plan.layers))


def with_int8(plan: Plan, names: frozenset[str], why: str) -> Plan:
    """The plan with exactly `names` in INT8; `why` is noted where that takes a layer out."""
    return replace(plan, layers=tuple(_switched(choice, choice.name in names, why) for choice in plan.layers))


def _switched(choice: Choice, int8: bool, why: str) -> Choice:
    if int8 == (choice.precision == INT8):
        return choice
    return replace(choice, precision=INT8 if int8 else FP16, why="" if int8 else why)


def read_plan(path: Path, layers: Sequence[Layer]) -> Plan:
    """Read a plan for a graph whose layers these are.

    Raises Failure (USAGE), naming the field, when the file is missing, is no plan or does not fit the graph.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        raise Failure(
            f"the plan {path} cannot be read: {reason}; expected what calibrate writes beside its output"
        ) from error
    try:
        check_plan(content, layers)
    except (ValueError, RecursionError) as error:
        raise Failure(f"the plan {path}: {error}") from error
    return _plan(content)


def _plan(content: Mapping[str, Any]) -> Plan:
    choices = tuple(Choice(**line) for line in content["layers"])
    rest = {key: content[key] for key in ("preset", "deform", "method", "model_sha256", "bias") if key in content}
    return Plan(layers=choices, fp32_nodes=tuple(content.get("fp32_nodes", ())), **rest)
