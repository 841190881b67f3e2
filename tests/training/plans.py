"""Quantisation plans for the tiny network of these tests."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

# Of tests.training.tiny.MODEL: a convolution of every kind there is, and a block with its skip and its filter.
BLOCK = "encoders.0.stages.2.0"
FILTER = f"{BLOCK}.content_aware.filter.filter"
KINDS = {
    "encoders.0.stem": "conv",
    "encoders.0.downs.0": "conv",
    "encoders.0.stages.0.0.second": "conv",
    f"{BLOCK}.first": "conv",
    FILTER: "deform",
    f"{BLOCK}.second": "conv",
    f"{BLOCK}.second.skip": "skip",
    "decoders.0.ups.0.0": "conv",
    "decoders.0.head": "conv",
}


def layer(name: str, precision: str = "int8", **fields: Any) -> dict[str, Any]:
    """A line of a plan, its range too narrow for some of what a network computes."""
    about = {"kind": KINDS[name], "precision": precision, "range": 1.5, "macs": 7, "cost_db": 0.25, "why": "it may"}
    return {"name": name, **about, **fields}


PLAN: dict[str, Any] = {
    "schema": 1,
    "model_sha256": "0" * 64,
    "preset": "tiny",
    "deform": "gather",
    "method": "mse",
    "layers": [*map(layer, KINDS), {**layer("encoders.0.stem", "fp16", range=None), "name": "encoders.0.downs.1"}],
    "bias": {f"{BLOCK}.first": [0.25, -0.5, 0.125, 0.0, 0.25, 0.5, -0.25, 0.375]},
    "fp32_nodes": ["node_Softmax_12"],
}


def changed(*path: str | int, value: Any) -> dict[str, Any]:
    """PLAN with another value at this place."""
    plan: Any = copy.deepcopy(PLAN)
    inner = plan
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return dict(plan)


def write(path: Path, plan: dict[str, Any]) -> Path:
    """The plan as a file."""
    path.write_text(json.dumps(plan))
    return path
