"""FP16 arithmetic written out in an FP32 graph, for runtimes that have no FP16 kernels of their own.

ONNX Runtime on a CPU computes most FP16 operators in FP32 and drops the rounding between them, so that a graph looks
better than it is on a GPU and never overflows. Here every FP16 result is cast to FP16 and back, which it keeps.
"""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as common

from export.passes.graph_tools import infer_shapes

FLOAT, HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16
# Their results are values they were given: rounding again changes nothing. DequantizeLinear is here because INT8
# convolutions multiply its integers, and scale afterwards in FP32.
EXACT = frozenset(
    [
        *("Reshape", "Transpose", "Slice", "Gather", "Concat", "Pad", "Split", "Squeeze", "Unsqueeze", "Expand"),
        *("Identity", "Relu", "Max", "Min", "Clip", "MaxPool", "DepthToSpace", "SpaceToDepth", "DequantizeLinear"),
    ]
)


def emulate_half(model: ir.Model) -> ir.Model:
    """Make `model`, which computes partly in FP16, an FP32 graph that rounds and overflows as FP16 does.

    Sums inside one operator (a convolution's) are FP32, as on tensor cores that accumulate in FP32.
    """
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    infer_shapes(model)
    for value in list(model.graph.initializers.values()):
        if value.dtype == HALF and value.const_value is not None:
            widened = ir.tensor(value.const_value.numpy().astype("float32"), name=value.name)
            value.const_value, value.dtype = widened, FLOAT
    for node in list(model.graph):
        _widen(model.graph, node)
    return model


def _widen(graph: ir.Graph, node: ir.Node) -> None:
    rounded = [value for value in node.outputs if value.dtype == HALF]
    for name, attribute in list(node.attributes.items()):
        if attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype == HALF:
            node.attributes[name] = ir.AttrTensor(name, ir.tensor(attribute.as_tensor().numpy().astype("float32")))
    if node.op_type == "Cast" and node.attributes.get_int("to", 0) == HALF:
        node.attributes["to"] = ir.AttrInt64("to", FLOAT)
    for value in rounded:
        value.dtype = FLOAT
        if node.op_type not in EXACT:
            _round(graph, node, value)


def _round(graph: ir.Graph, node: ir.Node, value: ir.Value) -> None:
    down = ir.node("Cast", [value], {"to": HALF}, name=f"{value.name}/round")
    up = ir.node("Cast", [down.outputs[0]], {"to": FLOAT}, name=f"{value.name}/rounded")
    for cast, dtype in ((down, HALF), (up, FLOAT)):
        cast.outputs[0].name, cast.outputs[0].shape, cast.outputs[0].dtype = cast.name, value.shape, dtype
    value.replace_all_uses_with(up.outputs[0])
    down.replace_input_with(0, value)
    graph.insert_after(node, [down, up])
