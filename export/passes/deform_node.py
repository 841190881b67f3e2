"""What a DeformConv node says: its inputs and its sizes, all (h, w). Source: the ONNX operator, opset 19."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgedeblur import ExitCode, Failure
from export.passes.graph_tools import constant_array

OP_TYPE = "DeformConv"


@dataclass(frozen=True)
class Deform:
    """One deformable convolution: feature (N, C, H, W), offset (N, 2·G·K, OH, OW), y before x, mask (N, G·K, OH, OW).

    G is `offset_group` and K the number of taps. Only the padding before the first row and column moves positions;
    the padding after the last ones is already in the offset's size.
    """

    weight: npt.NDArray[np.float32]  # (M, C / group, kernel height, kernel width)
    bias: npt.NDArray[np.float32] | None  # (M,)
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]  # top, left, bottom, right
    dilation: tuple[int, int]
    group: int
    offset_group: int

    @property
    def channels(self) -> int:
        return self.weight.shape[1] * self.group

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weight.shape[2], self.weight.shape[3]


def deform_nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Every standard DeformConv node of the main graph; the graph may be changed while iterating."""
    return iter([node for node in model.graph if node.op_type == OP_TYPE and node.domain == ""])


def deform_from_node(node: ir.Node) -> Deform:
    """Read `node`. Raises Failure (MODEL) when its weights are not constants."""
    weight, bias = constant_array(node.inputs[1]), constant_array(_optional(node, 3))
    if weight is None or (bias is None and _optional(node, 3) is not None):
        raise Failure(
            f"the weights of DeformConv '{node.name}' are computed in the graph; expected constants: "
            "export the checkpoint again with edgedeblur export",
            ExitCode.MODEL,
        )
    attributes = node.attributes
    stride, dilation = attributes.get_ints("strides", (1, 1)), attributes.get_ints("dilations", (1, 1))
    padding = attributes.get_ints("pads", (0, 0, 0, 0))
    return Deform(
        weight=weight,
        bias=bias,
        stride=(stride[0], stride[1]),
        padding=(padding[0], padding[1], padding[2], padding[3]),
        dilation=(dilation[0], dilation[1]),
        group=attributes.get_int("group", 1),
        offset_group=attributes.get_int("offset_group", 1),
    )


def mask_of(node: ir.Node) -> ir.Value | None:
    """The modulation input, which is optional."""
    return _optional(node, 4)


def _optional(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None
