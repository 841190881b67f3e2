"""The layers of an engine as TensorRT's inspector reports them, in one shape for every release, with their times.

Sources: NVIDIA's pages on the engine inspector and on migrating from 10.x to 11.x. TensorRT 10 writes a tensor's type
as `Format/Datatype`, a sentence or a word ("Row major linear FP16 format", "Half"); TensorRT 11 writes `Format` and
`DataType`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

TYPES = {
    "FP32": ("fp32", "float32", "float"),
    "FP16": ("fp16", "float16", "half"),
    "BF16": ("bf16", "bfloat16"),
    "FP8": ("fp8",),
    "INT8": ("int8",),
    "UINT8": ("uint8",),
    "INT64": ("int64",),
    "INT32": ("int32",),
    "BOOL": ("bool",),
}
WORDS = {word: name for name, words in TYPES.items() for word in words}


def layers_of_report(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Name, type, precision and output shape of each layer, in the order they run."""
    return [_layer(layer) for layer in report.get("Layers", [])]


def layers_of_sidecar(sidecar: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same, of the network before it was built; none where somebody wrote something else into the sidecar."""
    layers = sidecar.get("layers")
    return layers if isinstance(layers, list) and all(map(_is_layer, layers)) else []


def _is_layer(found: object) -> bool:
    fields = {"name", "type", "precision", "shape"}
    return isinstance(found, dict) and fields <= found.keys() and isinstance(found["shape"], list | None)


def with_times(layers: Sequence[Mapping[str, Any]], times: Mapping[str, float]) -> list[dict[str, Any]]:
    """`layers` with `ms` and `share` of all times; a name that only the profiler knows comes as a layer of its own."""
    total = sum(times.values())
    known = {layer["name"] for layer in layers}
    unknown = [{"name": name, "type": None, "precision": None, "shape": None} for name in times if name not in known]
    timed = []
    for layer in [*layers, *unknown]:
        ms = times.get(layer["name"])
        timed.append({**layer, "ms": ms, "share": None if ms is None or not total else ms / total})
    return timed


def type_of(text: str | None) -> str | None:
    """`FP16` of "Row major linear FP16 format", "Half" or "HALF"; the text itself where it names no type."""
    found = [WORDS[word] for word in re.findall(r"[a-z]+[0-9]*", (text or "").lower()) if word in WORDS]
    return found[-1] if found else text


def _layer(reported: Any) -> dict[str, Any]:
    if isinstance(reported, str):  # the engine was built without details
        return {"name": reported, "type": None, "precision": None, "shape": None}
    output: dict[str, Any] = next(iter(reported.get("Outputs", [])), {})
    said = output.get("DataType") or output.get("Datatype") or output.get("Format/Datatype")
    return {
        "name": reported.get("Name"),
        "type": reported.get("LayerType"),
        "precision": type_of(said),
        "shape": output.get("Dimensions"),
    }
