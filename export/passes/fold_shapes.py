"""Fold shape arithmetic into constants. Once the frame size is known, all of it is; weights and Q/DQ are left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common
from onnx.reference import ReferenceEvaluator

from export.passes.graph_tools import constant_array, infer_shapes, static_shape

# Shape arithmetic is small. Anything larger is a table or a weight, which folding would only copy.
LARGEST = 1024
# What shape arithmetic consists of. Q/DQ is not among it: folding that would turn quantised weights back into floats.
FOLDED = frozenset(
    [
        *(
            "Shape",
            "Size",
            "Gather",
            "Concat",
            "Slice",
            "Split",
            "Squeeze",
            "Unsqueeze",
            "Reshape",
            "Transpose",
            "Expand",
        ),
        *("ConstantOfShape", "Range", "Cast", "Identity", "Where", "Equal", "Less", "Greater", "Not", "And", "Or"),
        *(
            "Add",
            "Sub",
            "Mul",
            "Div",
            "Mod",
            "Neg",
            "Abs",
            "Min",
            "Max",
            "Floor",
            "Ceil",
            "Round",
            "Sqrt",
            "ReduceProd",
        ),
    ]
)


def fold_shapes(model: ir.Model) -> ir.Model:
    """Replace each small computation on constants and known shapes by its value, until nothing changes.

    Shape inference and folding take turns: a folded Pad or Reshape argument makes the next shape known.
    """
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    while True:
        infer_shapes(model)
        folded = [node for node in model.graph if _fold(model, node)]
        model.graph.remove(folded, safe=True)
        if not folded:
            break
    common.RemoveUnusedNodesPass()(model)
    return model


def _fold(model: ir.Model, node: ir.Node) -> bool:
    """Give every user of `node` its value as a constant; False when it has none yet."""
    if len(node.outputs) != 1 or node.outputs[0].is_graph_output() or node.domain or node.op_type not in FOLDED:
        return False
    value = _shape_of(node) if node.op_type == "Shape" else _evaluate(node, model.opset_imports[""])
    if value is None or value.size > LARGEST:
        return False
    name = f"{node.outputs[0].name}/folded"
    constant = ir.Value(
        name=name,
        type=ir.TensorType(ir.DataType.from_numpy(value.dtype)),
        shape=ir.Shape(value.shape),
        const_value=ir.tensor(value, name=name),
    )
    model.graph.register_initializer(constant)
    node.outputs[0].replace_all_uses_with(constant)
    return True


def _shape_of(node: ir.Node) -> npt.NDArray[np.int64] | None:
    shape = static_shape(node.inputs[0])
    if shape is None:
        return None
    start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", len(shape))
    return np.array(shape[start:end], dtype=np.int64)


def _evaluate(node: ir.Node, opset: int) -> npt.NDArray[np.generic] | None:
    """The node's value when its inputs are small constants; a node without inputs (Constant) was lifted before."""
    inputs = [value for value in node.inputs if value is not None]
    arrays = {str(value.name): constant_array(value) for value in inputs}
    if not arrays or any(array is None or array.size > LARGEST for array in arrays.values()):
        return None
    if any(
        attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for attribute in node.attributes.values()
    ):
        return None
    output = static_shape(node.outputs[0])
    if output is None or np.prod(output) > LARGEST:  # do not compute a large table only to throw it away
        return None
    proto: onnx.NodeProto = ir.serde.serialize_node(node)
    results: Any = ReferenceEvaluator(proto, opsets={"": opset}).run(None, arrays)
    return np.asarray(results[0])
