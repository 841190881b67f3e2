"""Which nodes of a graph keep FP32 when the rest becomes FP16, and why."""

from __future__ import annotations

import math
from collections.abc import Iterable

import onnx_ir as ir

from export.passes.deform_node import OP_TYPE as DEFORM
from export.passes.graph_tools import COMPUTE_KEY, constant_array

# Pixel arithmetic and layout: what stands between the frame and the network, and between its residual and the output.
PIXEL_OPS = frozenset(
    [
        *("Cast", "Clip", "Round", "Mul", "Div", "Add", "Sub", "Min", "Max"),
        *("Transpose", "Gather", "Slice", "Split", "Concat", "Squeeze", "Unsqueeze", "Reshape", "Pad", "Identity"),
    ]
)
LAYOUT_OPS = frozenset(["Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Cast"])
PRODUCTS = frozenset(["MatMul", "Gemm", "Einsum"])
SUMS = frozenset(
    [
        *("ReduceSum", "ReduceMean", "ReduceL2", "ReduceSumSquare"),
        *("GlobalAveragePool", "InstanceNormalization"),
    ]
)
SOFTMAX = frozenset(["Softmax", "LogSoftmax"])
# A sum over more terms than this stays FP32. FP16 has 11 bits and is only exact to 1/2048 near 1, and a softmax over
# the 57,600 positions of a 720p frame's coarse map gives shares near 1.7e-5, below FP16's smallest normal number
# (6.1e-5), where every bit less is accuracy lost.
LONGEST_FP16_SUM = 1024


def fp32_nodes(graph: ir.Graph) -> set[ir.Node]:
    """The nodes that must compute in FP32; types and shapes must have been inferred."""
    data = _data_nodes(graph)
    kept = {node for node in graph if node.metadata_props.get(COMPUTE_KEY) == "fp32"}
    kept |= {node for node in graph if node.op_type == DEFORM}  # its five inputs share a type, and one is positions
    kept |= _shape_arithmetic(graph, data)
    kept |= _long_sums(graph)
    return kept | _pixel_nodes(graph, data)


def _data_nodes(graph: ir.Graph) -> set[ir.Node]:
    """Nodes whose result depends on the pixels of the frame, not only on its size."""
    data: set[ir.Node] = set()
    for node in graph:
        if node.op_type not in ("Shape", "Size") and any(_is_data(value, data) for value in node.inputs):
            data.add(node)
    return data


def _is_data(value: ir.Value | None, data: set[ir.Node]) -> bool:
    return value is not None and (value.is_graph_input() or value.producer() in data)


def _shape_arithmetic(graph: ir.Graph, data: set[ir.Node]) -> set[ir.Node]:
    """Nodes that compute from sizes alone: FP16 cannot count past 2048."""
    found: set[ir.Node] = set()
    for node in graph:
        from_shape = any(value is not None and value.producer() in found for value in node.inputs)
        if node not in data and (node.op_type in ("Shape", "Size") or from_shape):
            found.add(node)
    return found


def _long_sums(graph: ir.Graph) -> set[ir.Node]:
    """Softmax and sums over many positions, and the matrix products that sum over a softmax's positions."""
    found: set[ir.Node] = set()
    for node in graph:
        if node.op_type in SUMS | SOFTMAX and _terms(node) > LONGEST_FP16_SUM:
            found.add(node)
            if node.op_type in SOFTMAX:
                found |= _through_layout_to_product(node)
    return found


def _terms(node: ir.Node) -> float:
    """How many terms the node adds up; infinite when the size is dynamic."""
    value = node.inputs[0]
    if value is None or value.shape is None:
        return math.inf
    rank = len(value.shape)
    sizes = [value.shape[axis % rank] for axis in _reduced_axes(node, rank)]
    return math.prod(size if isinstance(size, int) else math.inf for size in sizes)


def _reduced_axes(node: ir.Node, rank: int) -> Iterable[int]:
    if node.op_type in SOFTMAX:
        return [node.attributes.get_int("axis", -1)]
    if node.op_type in ("GlobalAveragePool", "InstanceNormalization"):
        return range(2, rank)
    axes = constant_array(node.inputs[1]) if len(node.inputs) > 1 else None
    listed = axes.tolist() if axes is not None else node.attributes.get_ints("axes")
    return listed if listed else range(rank)


def _through_layout_to_product(node: ir.Node) -> set[ir.Node]:
    found: set[ir.Node] = set()
    for user in node.outputs[0].consumers():
        if user.op_type in PRODUCTS:
            found.add(user)
        elif user.op_type in LAYOUT_OPS and (beyond := _through_layout_to_product(user)):
            found |= {user} | beyond
    return found


def _pixel_nodes(graph: ir.Graph, data: set[ir.Node]) -> set[ir.Node]:
    """From uint8 to the padded frame, and from the cropped residual and its addition to the frame to uint8.

    Half precision steps by 1/2048 near 1, an eighth of a grey level per rounding: the frame itself never takes them.
    """
    frame_side = _pixel_prefix(graph, data)
    padded = [value for node in frame_side if node.op_type == "Pad" for value in node.outputs]
    after: set[ir.Node] = set()
    value: ir.Value | None = graph.outputs[0]
    while value is not None and (node := value.producer()) is not None and node.op_type in PIXEL_OPS:
        after.add(node)
        inputs = [item for item in node.inputs if item is not None and _is_data(item, data)]
        skip = [item for item in inputs if item.is_graph_input() or item.producer() in frame_side]
        if skip and len(inputs) > 1:
            return after | _crops(inputs) | _ancestors([*skip, *padded], data)
        value = inputs[0] if len(inputs) == 1 else None
    # No global skip: the network's own output is what is scaled, and its input is the frame after conversion.
    return after | frame_side


def _crops(values: Iterable[ir.Value]) -> set[ir.Node]:
    """The Slices that `values` come straight out of."""
    found: set[ir.Node] = set()
    for value in values:
        node: ir.Node | None = value.producer()
        while node is not None and node.op_type == "Slice" and node.inputs[0] is not None:
            found.add(node)
            node = node.inputs[0].producer()
    return found


def _pixel_prefix(graph: ir.Graph, data: set[ir.Node]) -> set[ir.Node]:
    """Nodes that only convert, scale, lay out and pad the frame."""
    found: set[ir.Node] = set()
    for node in graph:
        inputs = [item for item in node.inputs if item is not None and _is_data(item, data)]
        if inputs and node.op_type in PIXEL_OPS and all(i.is_graph_input() or i.producer() in found for i in inputs):
            found.add(node)
    return found


def _ancestors(values: Iterable[ir.Value], data: set[ir.Node]) -> set[ir.Node]:
    """Nodes that `values` are computed from, the frame's pixels included, its size not."""
    found: set[ir.Node] = set()
    waiting = [value.producer() for value in values]
    while waiting:
        node = waiting.pop()
        if node is not None and node in data and node not in found:
            found.add(node)
            waiting.extend(value.producer() for value in node.inputs if value is not None)
    return found
