"""Explicit quantisation: Q/DQ before each chosen convolution's input, and INT8 weights with a DQ behind them.

Symmetric, zero-point 0, per tensor for activations and per output channel for weights: what TensorRT's explicit
quantisation takes. Nothing is put on a convolution's output, so that its epilogue (bias, add, relu) can be fused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from calibration.histogram import LEVELS
from export.passes.model_file import PRECISION_KEY

SMALLEST_SCALE = 6.1e-5  # the smallest normal FP16: scales may become FP16 later


def quantise(model: ir.Model, convolutions: Sequence[ir.Node], ranges: Mapping[str, float]) -> ir.Model:
    """Insert Q/DQ in place. `ranges`: name of an activation → largest magnitude that is represented.

    Raises KeyError when a convolution's input has no range.
    """
    shared: dict[ir.Value, ir.Value] = {}
    for node in convolutions:
        activation = node.inputs[0]
        assert activation is not None
        if activation not in shared:
            shared[activation] = _quantised_activation(model.graph, activation, ranges[str(activation.name)], node)
        node.replace_input_with(0, shared[activation])
        node.replace_input_with(1, _quantised_weight(model.graph, node))
    model.graph.sort()
    model.metadata_props[PRECISION_KEY] = "int8"
    return model


def _quantised_activation(graph: ir.Graph, value: ir.Value, largest: float, before: ir.Node) -> ir.Value:
    scale = _initializer(graph, f"{value.name}/scale", np.float32(max(largest / LEVELS, SMALLEST_SCALE)))
    zero = _initializer(graph, f"{value.name}/zero", np.int8(0))
    quantised = ir.node("QuantizeLinear", [value, scale, zero], name=f"{value.name}/quantise")
    restored = ir.node("DequantizeLinear", [quantised.outputs[0], scale, zero], name=f"{value.name}/dequantise")
    for node, kind in ((quantised, ir.DataType.INT8), (restored, ir.DataType.FLOAT)):
        _describe(node.outputs[0], f"{node.name}d", value.shape, kind)
    graph.insert_before(before, [quantised, restored])
    return restored.outputs[0]


def _quantised_weight(graph: ir.Graph, convolution: ir.Node) -> ir.Value:
    value = convolution.inputs[1]
    assert value is not None
    assert value.const_value is not None
    weight = value.const_value.numpy()  # (out channels, in channels / group, kh, kw)
    scales = np.maximum(np.abs(weight).reshape(len(weight), -1).max(axis=1) / LEVELS, SMALLEST_SCALE).astype(np.float32)
    levels = np.rint(weight / scales[:, None, None, None]).clip(-LEVELS, LEVELS).astype(np.int8)
    name = f"{value.name}/{convolution.name}"
    inputs = [
        _initializer(graph, f"{name}/int8", levels),
        _initializer(graph, f"{name}/scale", scales),
        _initializer(graph, f"{name}/zero", np.zeros(len(scales), np.int8)),
    ]
    node = ir.node("DequantizeLinear", inputs, {"axis": 0}, name=f"{name}/dequantise")
    _describe(node.outputs[0], f"{name}/dequantised", value.shape, ir.DataType.FLOAT)
    graph.insert_before(convolution, node)
    return node.outputs[0]


def _describe(value: ir.Value, name: str, shape: ir.Shape | None, dtype: ir.DataType) -> None:
    value.name, value.shape, value.dtype = name, shape, dtype


def _initializer(graph: ir.Graph, name: str, array: npt.ArrayLike) -> ir.Value:
    tensor = ir.tensor(np.asarray(array), name=name)
    shape = ir.Shape(np.shape(array))
    value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=shape, const_value=tensor)
    graph.register_initializer(value)
    return value
