"""Small ONNX models that keep the contract and fail as networks do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.runtime.stand_in import METADATA

# From `x`, the frame in floats, to `y`: (operator, inputs, output).
Step = tuple[str, list[str], str]
FAULTS: dict[str, list[Step]] = {
    "NaN": [("Div", ["zero", "zero"], "n"), ("Add", ["x", "n"], "y")],
    "NaN where it is bright": [
        ("Sub", ["limit", "x"], "d"),
        ("Sqrt", ["d"], "r"),
        ("Mul", ["r", "zero"], "n"),
        ("Add", ["x", "n"], "y"),
    ],
    "infinity": [("Exp", ["x"], "e"), ("Exp", ["e"], "y")],
    "minus infinity": [("Exp", ["x"], "e"), ("Exp", ["e"], "f"), ("Neg", ["f"], "y")],
    "blow-up": [("Sub", ["x", "middle"], "d"), ("Mul", ["d", "many"], "m"), ("Add", ["m", "x"], "y")],
    "mosaic": [("Mul", ["x", "many"], "m"), ("Sin", ["m"], "s"), ("Mul", ["s", "many"], "t"), ("Add", ["t", "x"], "y")],
    "garbage": [("Mul", ["x", "seed"], "m"), ("Mod", ["m", "modulus"], "y")],
    "colour cast": [("Add", ["x", "cast"], "y")],
    "darkening": [("Mul", ["x", "dim"], "y")],
}
CONSTANTS: dict[str, float | list[float]] = {
    "zero": 0.0,
    "low": 0.0,
    "high": 255.0,
    "limit": 100.0,
    "middle": 128.0,
    "many": 1000.0,
    "seed": 7919.0,
    "modulus": 256.0,
    "cast": [12.0, 0.0, -12.0],
    "dim": 0.85,
}


def write_bad_model(path: Path, fault: str) -> Path:
    """A model with one of FAULTS in `path`; out come bytes, as from every model of ours."""
    nodes = [helper.make_node("Cast", ["frame"], ["x"], to=TensorProto.FLOAT)]
    for operator, inputs, output in FAULTS[fault]:
        nodes.append(helper.make_node(operator, inputs, [output]))
        if operator == "Mod":
            nodes[-1].attribute.append(helper.make_attribute("fmod", 1))
    nodes += [
        helper.make_node("Round", ["y"], ["r_"]),
        helper.make_node("Clip", ["r_", "low", "high"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["sharp"], to=TensorProto.UINT8),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, ["height", "width", 3]) for name in ("frame", "sharp")
    ]
    constants = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in CONSTANTS.items()]
    graph = helper.make_graph(nodes, "bad", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    helper.set_model_props(model, METADATA)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
