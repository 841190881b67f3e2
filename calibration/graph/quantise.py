"""Explicit quantisation: Q/DQ before each chosen layer's input, and INT8 weights with a DQ behind them.

Symmetric, zero-point 0, per tensor for activations and per output channel for weights: what TensorRT's explicit
quantisation takes. Nothing is put on a convolution's output, so that its epilogue (bias, add, relu) can be fused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from calibration.graph.layers import LINEAR, SKIP, Layer
from export.passes.model_file import PRECISION_KEY

LEVELS = 127  # symmetric INT8: weights are -127 … 127
LOWEST = -128  # where QuantizeLinear clips an activation: it and TensorRT use all of INT8
# Scales end as FP16, whose smallest normal number this is; the weights are quantised with what is left of them there.
SMALLEST_SCALE = np.float16(2.0**-14)
LARGEST_SCALE = np.finfo(np.float16).max
Bias = Mapping[str, npt.NDArray[np.float32]]


def quantise(model: ir.Model, layers: Sequence[Layer], ranges: Mapping[str, float], bias: Bias | None = None) -> None:
    """Insert Q/DQ in place.

    layers: those to quantise, of `model`. ranges: name of an activation → largest magnitude that is represented.
    bias: name of a layer → (M,) float32 to add to its bias, unless that is computed. Raises KeyError when a layer's
    input has no range.
    """
    shared: dict[ir.Value, ir.Value] = {}
    for layer in layers:
        activation = layer.activation
        if activation not in shared:
            shared[activation] = _quantised_activation(model.graph, layer, ranges[str(activation.name)])
    for layer in layers:
        layer.node.replace_input_with(layer.input_index, shared[layer.activation])
        if layer.kind != SKIP:
            layer.node.replace_input_with(1, _quantised_weight(model.graph, layer.node))
            if bias and layer.name in bias:
                _add_to_bias(model.graph, layer.node, bias[layer.name])
    model.graph.sort()
    model.metadata_props[PRECISION_KEY] = "int8"


def scale_of(largest: npt.ArrayLike) -> npt.NDArray[np.float16]:
    """Scale(s) for magnitudes up to `largest`, rounded to FP16, of the same shape."""
    scale = np.minimum(np.asarray(largest, np.float64) / LEVELS, LARGEST_SCALE)
    return np.maximum(scale.astype(np.float16), SMALLEST_SCALE)


def levels_of(weight: npt.NDArray[np.float32], axis: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float16]]:
    """A weight of any shape as INT8 of that shape, and its scales per index of `axis`."""
    others = tuple(index for index in range(weight.ndim) if index != axis)
    scales = scale_of(np.abs(weight).max(axis=others, initial=0.0))
    levels = np.rint(weight / along(scales, weight.ndim, axis)).clip(-LEVELS, LEVELS).astype(np.int8)
    return levels, scales


def along(scales: npt.NDArray[np.float16], rank: int, axis: int) -> npt.NDArray[np.float32]:
    """Scales as float32, shaped to be multiplied along `axis` of an array of that rank."""
    return scales.astype(np.float32).reshape([-1 if index == axis else 1 for index in range(rank)])


def _quantised_activation(graph: ir.Graph, layer: Layer, largest: float) -> ir.Value:
    value = layer.activation
    scale = _initializer(graph, f"{value.name}/scale", scale_of(largest).astype(np.float32))
    zero = _initializer(graph, f"{value.name}/zero", np.int8(0))
    quantised = ir.node("QuantizeLinear", [value, scale, zero], name=f"{value.name}/quantise")
    restored = ir.node("DequantizeLinear", [quantised.outputs[0], scale, zero], name=f"{value.name}/dequantise")
    for node, kind in ((quantised, ir.DataType.INT8), (restored, ir.DataType.FLOAT)):
        _describe(node.outputs[0], f"{node.name}d", value.shape, kind)
    graph.insert_before(layer.node, [quantised, restored])
    return restored.outputs[0]


def _quantised_weight(graph: ir.Graph, node: ir.Node) -> ir.Value:
    axis = LINEAR[node.op_type][1]
    levels, scales = levels_of(_array(node, 1), axis)
    name = f"{node.name}/weight"
    inputs = [
        _initializer(graph, f"{name}/int8", levels),
        _initializer(graph, f"{name}/scale", scales.astype(np.float32)),
        _initializer(graph, f"{name}/zero", np.zeros(len(scales), np.int8)),
    ]
    restored = ir.node("DequantizeLinear", inputs, {"axis": axis}, name=f"{name}/dequantise")
    _describe(restored.outputs[0], f"{name}/dequantised", ir.Shape(levels.shape), ir.DataType.FLOAT)
    graph.insert_before(node, restored)
    return restored.outputs[0]


def bias_input(node: ir.Node) -> tuple[ir.Node, int] | None:
    """The node, and which of its inputs, that adds a layer's bias or may be given one; None where nothing constant can.

    A convolution's bias is its third input; that of a lowered deformable one is added behind its product.
    """
    holder, index = node, 2
    if node.op_type == "MatMul":
        users = list(node.outputs[0].consumers())
        if [user.op_type for user in users] != ["Add"]:
            return None
        holder, index = users[0], 1
    bias = _input(holder, index)
    return None if bias is not None and bias.const_value is None else (holder, index)


def _add_to_bias(graph: ir.Graph, node: ir.Node, correction: npt.NDArray[np.float32]) -> None:
    found = bias_input(node)
    if found is None:
        return
    holder, index = found
    total = correction if _input(holder, index) is None else correction + _array(holder, index)
    value = _initializer(graph, f"{node.name}/bias/corrected", total.astype(np.float32))
    if index >= len(holder.inputs):
        holder.resize_inputs(index + 1)
    holder.replace_input_with(index, value)


def _input(node: ir.Node, index: int) -> ir.Value | None:
    """One that may be left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def _array(node: ir.Node, index: int) -> npt.NDArray[np.float32]:
    value = node.inputs[index]
    assert value is not None
    assert value.const_value is not None
    return value.const_value.numpy()


def _describe(value: ir.Value, name: str, shape: ir.Shape | None, dtype: ir.DataType) -> None:
    value.name, value.shape, value.dtype = name, shape, dtype


def _initializer(graph: ir.Graph, name: str, array: npt.ArrayLike) -> ir.Value:
    tensor = ir.tensor(np.asarray(array), name=name)
    shape = ir.Shape(np.shape(array))
    value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=shape, const_value=tensor)
    graph.register_initializer(value)
    return value
