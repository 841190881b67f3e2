"""Is what a plan file holds right for a graph? The first field that is not is named."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from calibration.graph.layers import DEFORMED, SKIP, Layer, output_channels
from calibration.observers.ranges import METHODS
from export.passes.deform_node import OP_TYPE as DEFORM

SCHEMA = 1
PRECISIONS = ("int8", "fp16", "fp32")
_FIELDS = ("schema", "preset", "deform", "method", "layers", "model_sha256", "bias", "fp32_nodes")
_LAYER_FIELDS = ("name", "kind", "precision", "range", "macs", "cost_db", "why")
_LARGEST = float(np.finfo(np.float32).max)


def check_plan(content: Any, layers: Sequence[Layer]) -> None:
    """content: what the file's JSON says. Raises ValueError: which field, what was found, what was expected."""
    _expect_object("the plan", content, _FIELDS)
    _expect(content.get("schema") == SCHEMA, "schema", content.get("schema"), f"{SCHEMA}")
    _expect(isinstance(content.get("preset"), str), "preset", content.get("preset"), "text")
    _expect_one_of(("native", "gather"), "deform", content.get("deform"))
    _expect_one_of(sorted(METHODS), "method", content.get("method"))
    digest = content.get("model_sha256")
    right = isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest) is not None
    _expect(digest is None or right, "model_sha256", digest, "64 hexadecimal digits, or null")
    known = {layer.name: layer for layer in layers}
    _check_layers(content.get("layers"), known)
    _check_ranges({line["name"]: line.get("range") for line in content["layers"]}, layers)
    _check_bias(content.get("bias", {}), known)
    _check_nodes(content.get("fp32_nodes", []), content["deform"], layers)


def _check_layers(lines: Any, known: Mapping[str, Layer]) -> None:
    _expect(isinstance(lines, list), "layers", lines, "a list of layers")
    names: set[str] = set()
    for index, line in enumerate(lines):
        _check_layer(f"layers[{index}]", line, known)
        _expect(line["name"] not in names, f"layers[{index}].name", line["name"], "each layer once")
        names.add(line["name"])
    missing = [name for name in known if name not in names]
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise ValueError(f"layers lacks '{missing[0]}'{more}, expected all layers of the model: it is of another one")


def _check_layer(field: str, line: Any, known: Mapping[str, Layer]) -> None:
    _expect_object(field, line, _LAYER_FIELDS)
    name = line.get("name")
    _expect_layer(known, f"{field}.name", name)
    _expect(line.get("kind") == known[name].kind, f"kind of '{name}'", line.get("kind"), f"'{known[name].kind}'")
    _expect_one_of(PRECISIONS, f"precision of '{name}'", line.get("precision"))
    largest, macs, cost = line.get("range"), line.get("macs", 0), line.get("cost_db")
    _expect(largest is None or (_is_number(largest) and largest >= 0), f"range of '{name}'", largest, "0 up, or null")
    whole = isinstance(macs, int) and not isinstance(macs, bool) and macs >= 0
    _expect(whole, f"macs of '{name}'", macs, "a whole number from 0 up")
    _expect(cost is None or _is_number(cost), f"cost_db of '{name}'", cost, "a number, or null")
    _expect(isinstance(line.get("why", ""), str), f"why of '{name}'", line.get("why"), "text")


def _check_ranges(ranges: Mapping[str, float | None], layers: Iterable[Layer]) -> None:
    """What several layers read is quantised once: the first convolution of a residual block and its skip, say."""
    readers: dict[Any, str] = {}
    for layer in layers:
        largest = ranges[layer.name]
        if largest is not None:
            first = readers.setdefault(layer.activation, layer.name)
            expected = f"{ranges[first]}, as that of '{first}', which reads the same activation"
            _expect(largest == ranges[first], f"range of '{layer.name}'", largest, expected)


def _check_bias(bias: Any, known: Mapping[str, Layer]) -> None:
    channels = {name: output_channels(layer.node) for name, layer in known.items() if layer.kind != SKIP}
    _expect(isinstance(bias, dict), "bias", bias, "an object")
    for name, values in bias.items():
        _expect_layer(channels, "a name in bias", name)
        right = isinstance(values, list) and len(values) == channels[name] and all(map(_is_number, values))
        _expect(right, f"bias of '{name}'", values, f"{channels[name]} numbers, one for each output channel")


def _check_nodes(names: Any, deform: str, layers: Sequence[Layer]) -> None:
    right = isinstance(names, list) and all(isinstance(name, str) for name in names)
    _expect(right, "fp32_nodes", names, "a list of nodes' names")
    if any((layer.node.op_type == DEFORM) != (deform == "native") for layer in layers if layer.kind == DEFORMED):
        return  # of the other form of the graph, which has other nodes
    graph = layers[0].node.graph if layers else None
    known = [str(node.name) for node in graph or ()]
    for name in names:
        _expect(name in known, "a name in fp32_nodes", name, f"a node of the model{_near(name, known)}")


def _is_number(value: Any) -> bool:
    """Whether it is one that float32 holds: neither NaN nor infinite, nor 10**400, which no float holds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _expect_object(field: str, found: Any, keys: Collection[str]) -> None:
    _expect(isinstance(found, dict), field, found, "an object")
    for key in found:
        _expect(key in keys, f"a field of {field}", key, f"one of {', '.join(keys)}")


def _expect_layer(names: Collection[str], field: str, found: Any) -> None:
    _expect(isinstance(found, str), field, found, "text")
    _expect(found in names, field, found, f"a layer of the model{_near(found, names)}")


def _expect_one_of(choices: Collection[str], field: str, found: Any) -> None:
    _expect(isinstance(found, str) and found in choices, field, found, f"one of {', '.join(choices)}")


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f": did you mean '{near[0]}'?" if near else ""


def _expect(right: bool, field: str, found: Any, expected: str) -> None:
    if not right:
        shown = json.dumps(found)
        raise ValueError(f"{field} is {shown if len(shown) <= 80 else shown[:77] + '…'}, expected {expected}")
