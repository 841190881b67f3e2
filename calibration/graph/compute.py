"""How many multiply-accumulates of a graph run in INT8, FP16 and FP32."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from export.passes.deform_node import OP_TYPE as DEFORM
from export.passes.fix_size import fix_size
from export.passes.graph_tools import copied, static_shape

SIZE = (720, 1280)  # (height, width) that is counted: the share of each layer hardly depends on it
PRODUCTS = ("Conv", "ConvTranspose", "MatMul", DEFORM)


def macs_by_precision(model: ir.Model, size: tuple[int, int] = SIZE) -> dict[str, int]:
    """{"int8": …, "fp16": …, "fp32": …} of convolutions and matrix products, for one frame of (height, width).

    INT8 is what reads both operands from DequantizeLinear. The sampling of deformable convolutions is not counted.
    """
    fixed = fix_size(copied(model), size)
    counts = {"int8": 0, "fp16": 0, "fp32": 0}
    for node in fixed.graph:
        if node.op_type in PRODUCTS:
            counts[_precision(node)] += macs_of(node)
    return counts


@dataclass(frozen=True)
class Sizes:
    """What a graph costs, counted once: fixing the frame's size takes seconds."""

    macs: Mapping[str, int]  # name of a node → multiply-accumulates for a frame of SIZE
    bytes_per_pixel: Mapping[str, float]  # name of an activation → bytes in FP32 for each pixel of the frame


def sizes_of(model: ir.Model) -> Sizes:
    """Count at SIZE."""
    fixed = fix_size(copied(model), SIZE)
    macs = {str(node.name): macs_of(node) for node in fixed.graph if node.op_type in PRODUCTS}
    shapes = {str(value.name): static_shape(value) for node in fixed.graph for value in node.outputs}
    pixels = math.prod(SIZE)
    return Sizes(macs, {name: 4 * math.prod(shape) / pixels for name, shape in shapes.items() if shape is not None})


def macs_of(node: ir.Node) -> int:
    """Multiply-accumulates of one node whose shapes are known; 0 where they are not."""
    first, second = (static_shape(value) for value in node.inputs[:2])
    output = static_shape(node.outputs[0])
    if first is None or second is None or output is None:
        return 0
    if node.op_type == "MatMul":
        return math.prod(output) * first[-1]
    # A weight is (M, C / group, kh, kw), or (C, M / group, kh, kw) for ConvTranspose, which spreads its input.
    positions = first if node.op_type == "ConvTranspose" else output
    return math.prod(positions[2:]) * positions[0] * math.prod(second)


def _precision(node: ir.Node) -> str:
    dequantised = [
        value is not None and (maker := value.producer()) is not None and maker.op_type == "DequantizeLinear"
        for value in node.inputs[:2]
    ]
    if all(dequantised):
        return "int8"
    return "fp16" if node.outputs[0].dtype == ir.DataType.FLOAT16 else "fp32"
