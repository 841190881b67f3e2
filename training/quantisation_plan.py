"""The plan that calibration wrote (plan.json), as training reads it: which layers are INT8, and over which ranges."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgedeblur import Failure
from training.blocks import PixelDependentFilter, ResidualBlock
from training.config import PRESETS, ModelConfig
from training.network import SAPHNet
from training.whole_files import replacing

SCHEMA = 1
PLAN = "plan.json"  # in a run's folder
CONV, DEFORM, SKIP = "conv", "deform", "skip"
SKIP_OF_BLOCK = ".second.skip"  # behind a residual block's name: its input, where it is added to `second`
_PRECISIONS = ("int8", "fp16", "fp32")
_LARGEST = torch.finfo(torch.float32).max


@dataclasses.dataclass(frozen=True)
class QuantisedLayer:
    """A layer in INT8: a convolution, a deformable one (by its filter), or the skip of a residual block."""

    name: str  # as `SAPHNet.get_submodule` takes it; of a skip: the block's, with SKIP_OF_BLOCK
    kind: str
    range: float  # largest magnitude of its input that is represented


@dataclasses.dataclass(frozen=True)
class QuantisationPlan:
    """A plan that was checked. content: the whole file; what training has no use for is handed on as it is."""

    content: dict[str, Any]

    @property
    def int8(self) -> tuple[QuantisedLayer, ...]:
        """The layers to compute in INT8."""
        chosen = (layer for layer in self.content["layers"] if layer["precision"] == "int8")
        return tuple(QuantisedLayer(layer["name"], layer["kind"], float(layer["range"])) for layer in chosen)

    @property
    def bias(self) -> dict[str, list[float]]:
        """Convolution → what calibration adds to its bias, a number for each output channel."""
        return dict(self.content.get("bias", {}))

    def for_trained_weights(self) -> QuantisationPlan:
        """The plan that fits the weights a run ends with.

        They hold the corrections, are of no ONNX file yet, and what layers cost was measured with others.
        """
        kept = {name: value for name, value in self.content.items() if name != "bias"}
        layers = [{**layer, "cost_db": None} for layer in self.content["layers"]]
        return QuantisationPlan({**kept, "model_sha256": None, "layers": layers})


def read_plan(path: Path, preset: str) -> QuantisationPlan:
    """Raises Failure (USAGE), naming the field, where a plan is missing, damaged or not for this preset's network."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Failure(f"--qat {path} cannot be read: {reason}; expected a plan of `edgedeblur calibrate`") from error
    try:
        _check(content, preset)
    except ValueError as error:
        raise Failure(f"--qat {path}: {error}") from error
    return QuantisationPlan(content)


def write_plan(path: Path, plan: QuantisationPlan) -> None:
    """Write it whole or not at all. Raises Failure (ENVIRONMENT)."""
    with replacing(path) as partial, partial.open("w") as file:
        file.write(json.dumps(plan.content, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _check(content: Any, preset: str) -> None:
    """Raises ValueError for the first field that is wrong."""
    _expect(isinstance(content, dict), "the plan", content, "an object")
    _expect(content.get("schema") == SCHEMA, "schema", content.get("schema"), f"{SCHEMA}")
    found = content.get("preset")
    _expect(found == preset, "preset", found, f"{json.dumps(preset)}, as --preset says")
    layers = content.get("layers")
    _expect(isinstance(layers, list) and len(layers) > 0, "layers", layers, "a list of layers")
    kinds, channels = _layers_of(PRESETS[preset])
    for index, layer in enumerate(layers):
        _check_layer(f"layers[{index}]", layer, kinds)
    names = [layer["name"] for layer in layers]
    for index, name in enumerate(names):
        _expect(name not in names[:index], f"layers[{index}].name", name, "each layer once")
    ranges = {layer["name"]: layer["range"] for layer in layers if layer["precision"] == "int8"}
    _expect(len(ranges) > 0, "layers", names, "int8 as the precision of one at least")
    _check_skips(ranges)
    _check_bias(content.get("bias", {}), channels)


def _layers_of(config: ModelConfig) -> tuple[dict[str, str], dict[str, int]]:
    """Kinds of all layers that training can quantise, and output channels of the convolutions, both by name."""
    with torch.device("meta"):
        modules = dict(SAPHNet(config).named_modules())
    channels = {name: module.out_channels for name, module in modules.items() if isinstance(module, nn.Conv2d)}
    kinds = dict.fromkeys(channels, CONV)
    for name, module in modules.items():
        if isinstance(module, PixelDependentFilter) and module.is_deformable:
            kinds[f"{name}.filter"] = DEFORM
        if isinstance(module, ResidualBlock):
            kinds[name + SKIP_OF_BLOCK] = SKIP
    return kinds, channels


def _check_layer(field: str, layer: Any, kinds: dict[str, str]) -> None:
    _expect(isinstance(layer, dict), field, layer, "an object")
    name, kind, precision = (layer.get(key) for key in ("name", "kind", "precision"))
    _expect(isinstance(name, str), f"{field}.name", name, "text")
    _expect(precision in _PRECISIONS, f"precision of '{name}'", precision, f"one of {', '.join(_PRECISIONS)}")
    if kind == SKIP and name not in kinds and name.removesuffix(".skip") in kinds:
        expected = f"fp16: of all skips, training quantises those of residual blocks (…{SKIP_OF_BLOCK})"
        _expect(precision != "int8", f"precision of '{name}'", precision, expected)
    else:
        _expect_one_of(kinds, f"{field}.name", name)
        _expect(kind == kinds[name], f"kind of '{name}'", kind, f"'{kinds[name]}'")
    largest = layer.get("range")
    unobserved = largest is None and precision != "int8"
    known = _is_number(largest) and largest >= 0
    _expect(unobserved or known, f"range of '{name}'", largest, "a number from 0 up, as calibrate writes it")


def _check_skips(ranges: dict[str, float]) -> None:
    """A block's skip and its first convolution are given the same INT8 tensor."""
    for name, largest in ranges.items():
        first = name.removesuffix(SKIP_OF_BLOCK) + ".first"
        if name.endswith(SKIP_OF_BLOCK) and first in ranges:
            expected = f"{ranges[first]}, as that of '{first}', whose input it is"
            _expect(largest == ranges[first], f"range of '{name}'", largest, expected)


def _check_bias(bias: Any, channels: dict[str, int]) -> None:
    _expect(isinstance(bias, dict), "bias", bias, "an object")
    for name, values in bias.items():
        _expect_one_of(channels, "a name in bias", name)
        right = isinstance(values, list) and len(values) == channels[name] and all(map(_is_number, values))
        _expect(right, f"bias of '{name}'", values, f"{channels[name]} numbers, one for each output channel")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _expect_one_of(names: Collection[str], field: str, found: str) -> None:
    if found not in names:
        near = difflib.get_close_matches(found, names) or list(names)[:3]
        _expect(False, field, found, f"a layer of the network, such as {', '.join(near)}")


def _expect(right: bool, field: str, found: Any, expected: str) -> None:
    if not right:
        shown = json.dumps(found)
        raise ValueError(f"{field} is {shown if len(shown) <= 80 else shown[:77] + '…'}, expected {expected}")
