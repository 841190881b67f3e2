"""FP16 body with FP32 where it counts: sampling positions, pixels, long sums (see `half_regions.py`).

The types are in the graph, Casts included, and networks are built strongly typed: this is the one way that every
TensorRT from 10.3 on understands. All inputs of a Conv, Add or MatMul then have one type.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnx_ir.passes.common as common

from edgedeblur import ExitCode, Failure
from export.passes.graph_tools import infer_shapes
from export.passes.half_regions import fp32_nodes
from export.passes.model_file import PRECISION_KEY
from export.passes.rename_deform import OFFSET_INPUT, PLUGIN_OP

FP16_LARGEST = 65504.0
FLOAT, HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16
# Inputs that ONNX, or our plugin, wants in FP32 whatever the type of the data.
FP32_INPUTS = {"Resize": (1, 2), PLUGIN_OP: (OFFSET_INPUT,)}


def to_half(model: ir.Model) -> ir.Model:
    """Make `model` compute in FP16 with FP32 islands; uint8 in and out as before. Opset and inputs do not change.

    Q/DQ nodes get FP16 scales, which opset 19 allows and TensorRT wants where the convolution is FP16.
    Raises Failure (MODEL) when a weight is too large for FP16.
    """
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    infer_shapes(model)
    kept = fp32_nodes(model.graph)
    types = {value: FLOAT if node in kept else HALF for node in model.graph for value in node.outputs if _floats(value)}
    casts = _Casts(model.graph, types)
    for node in list(model.graph):
        _convert_node(node, FLOAT if node in kept else HALF, casts)
    for value, dtype in types.items():
        value.dtype = dtype
    if model.metadata_props.get(PRECISION_KEY, "fp32") == "fp32":  # an INT8 graph stays one: only the rest is FP16
        model.metadata_props[PRECISION_KEY] = "fp16"
    common.RemoveUnusedNodesPass()(model)
    _drop_idle_casts(model.graph)
    return model


def _floats(value: ir.Value | None) -> bool:
    return value is not None and value.dtype in (FLOAT, HALF)


def _convert_node(node: ir.Node, dtype: ir.DataType, casts: _Casts) -> None:
    if dtype is HALF:
        _convert_attributes(node)
    for index, value in enumerate(node.inputs):
        if value is not None and _floats(value):
            wanted = FLOAT if index in FP32_INPUTS.get(node.op_type, ()) else dtype
            node.replace_input_with(index, casts.as_type(value, wanted, node))


def _convert_attributes(node: ir.Node) -> None:
    """Cast to float becomes Cast to half; a tensor attribute (ConstantOfShape) becomes half."""
    if node.op_type == "Cast" and node.attributes.get_int("to") == FLOAT:
        node.attributes["to"] = ir.AttrInt64("to", HALF)
    for name, attribute in list(node.attributes.items()):
        if attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype == FLOAT:
            node.attributes[name] = ir.AttrTensor(name, ir.tensor(_halved(attribute.as_tensor().numpy(), name)))


class _Casts:
    """Gives each value in the type a node wants: the value itself, a converted constant, or one shared Cast."""

    def __init__(self, graph: ir.Graph, types: dict[ir.Value, ir.DataType]) -> None:
        self._graph, self._types = graph, types
        self._made: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}

    def as_type(self, value: ir.Value, dtype: ir.DataType, user: ir.Node) -> ir.Value:
        if self._types.get(value, value.dtype) == dtype:
            return value
        if (value, dtype) not in self._made:
            self._made[value, dtype] = self._constant(value) if value.is_initializer() else self._cast(value, dtype)
        return self._made[value, dtype]

    def _constant(self, value: ir.Value) -> ir.Value:
        assert value.const_value is not None
        name = f"{value.name}/fp16"
        tensor = ir.tensor(_halved(value.const_value.numpy(), str(value.name)), name=name)
        half = ir.Value(name=name, type=ir.TensorType(HALF), shape=value.shape, const_value=tensor)
        self._graph.register_initializer(half)
        return half

    def _cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        name = f"{value.name}/{'fp16' if dtype is HALF else 'fp32'}"
        node = ir.node("Cast", [value], {"to": dtype}, name=name)
        node.outputs[0].name, node.outputs[0].shape = name, value.shape
        node.outputs[0].dtype = dtype
        producer = value.producer()
        assert producer is not None  # graph inputs are uint8, initializers are converted
        self._graph.insert_after(producer, node)
        return node.outputs[0]


def _halved(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.float16]:
    largest = float(np.abs(array).max(initial=0.0))
    if np.isfinite(largest) and largest > FP16_LARGEST:
        raise Failure(
            f"the weight '{name}' reaches {largest:.3g}, more than FP16's {FP16_LARGEST:.0f}; use --precision fp32",
            ExitCode.MODEL,
        )
    return array.astype(np.float16)


def _drop_idle_casts(graph: ir.Graph) -> None:
    """Remove Casts that change nothing: those the FP32 graph had, whose two sides are now of one type."""
    for node in list(graph):
        if node.op_type != "Cast" or node.outputs[0].is_graph_output() or node.inputs[0] is None:
            continue
        if node.inputs[0].dtype == node.outputs[0].dtype:
            node.outputs[0].replace_all_uses_with(node.inputs[0])
            graph.remove(node, safe=True)
