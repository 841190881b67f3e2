"""A small ONNX model that keeps the contract: stands in for the trained weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

METADATA = {
    "edgedeblur.schema": "1",
    "edgedeblur.preset": "stand-in",
    "edgedeblur.precision": "fp32",
    "edgedeblur.deform": "native",
    "edgedeblur.min_size": "9x9",
}


def write_model(path: Path, gain: float = 1.0, rounds: int = 0, **metadata: str) -> Path:
    """A model `sharp = clip(round(gain · frame))` in `path`. rounds: blur-and-back steps that only cost time."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, ["height", "width", 3]) for name in ("frame", "sharp")
    ]
    nodes = [helper.make_node("Cast", ["frame"], ["x"], to=TensorProto.FLOAT)]
    nodes += [helper.make_node("Sin" if i % 2 else "Asinh", [f"c{i}"], [f"c{i + 1}"]) for i in range(rounds)]
    nodes += _kept_cost(rounds) if rounds else [helper.make_node("Mul", ["x", "gain"], ["y"])]
    if rounds:
        nodes.insert(1, helper.make_node("Identity", ["x"], ["c0"]))
    nodes += [
        helper.make_node("Round", ["y"], ["r"]),
        helper.make_node("Clip", ["r", "low", "high"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["sharp"], to=TensorProto.UINT8),
    ]
    values = {"gain": gain, "low": 0.0, "high": 255.0, "zero": 0.0}
    constants = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "stand_in", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    helper.set_model_props(model, {**METADATA, **{f"edgedeblur.{key}": value for key, value in metadata.items()}})
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def _kept_cost(rounds: int) -> list[onnx.NodeProto]:
    """Add the costly chain times zero, so that it is computed and changes nothing."""
    return [
        helper.make_node("Mul", [f"c{rounds}", "zero"], ["nothing"]),
        helper.make_node("Mul", ["x", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "nothing"], ["y"]),
    ]
