"""Lower DeformConv to Gather and MatMul, for TensorRT-RTX and for TensorRT without our plugin.

Each output pixel and tap reads the four pixels around a position in FP32 pixels (row, column), weights them bilinearly
and by the mask, and one matrix product applies the kernel. GridSample is not used: it divides positions by the frame's
width, which costs accuracy on wide frames, and several TensorRT releases compute it wrongly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from export.passes.deform_node import Deform, deform_from_node, deform_nodes, mask_of
from export.passes.fold_shapes import fold_shapes
from export.passes.graph_tools import Emitter, infer_shapes, tidy
from export.passes.model_file import DEFORM_KEY

# Layout of everything per position: (N, OH, OW, G, K), so that gathered pixels arrive in the order MatMul wants.
Corner = tuple[ir.Value, ir.Value]  # an index inside the frame (int32), and its share of the pixel (float32)


def lower_deform(model: ir.Model) -> ir.Model:
    """Replace every DeformConv by standard operators; equal to it to 1e-5 in FP32, also for dynamic frame sizes.

    Groups become one block-diagonal matrix: exact, and wasteful only for many groups.
    Raises Failure (MODEL) when a kernel is not constant.
    """
    infer_shapes(model)
    for node in deform_nodes(model):
        _lower_node(node)
    model.metadata_props[DEFORM_KEY] = "gather"
    return tidy(fold_shapes(model))


@dataclass(frozen=True)
class _Length:
    """One side of the feature map in the three forms the arithmetic needs; scalars."""

    count: ir.Value  # int32
    last: ir.Value  # int32: the index of the last pixel
    limit: ir.Value  # float32: the first position that reads nothing


def _lower_node(node: ir.Node) -> None:
    deform, emit = deform_from_node(node), Emitter(node)
    feature = node.inputs[0]
    assert feature is not None
    height, width = _length(emit, feature, 2), _length(emit, feature, 3)
    row, column = _positions(emit, node, deform)
    rows = _corners(emit, row, height)
    columns = _corners(emit, column, width)
    mask = mask_of(node)
    if mask is not None:
        taps = _per_position(emit, mask, deform)
        rows = [(index, emit.fp32("Mul", share, taps)) for index, share in rows]
    base = _row_base(emit, feature, deform, (height, width))
    emit.replace(_apply_kernel(emit, _sample(emit, feature, deform, (rows, columns), (width, base)), node, deform))


def _positions(emit: Emitter, node: ir.Node, deform: Deform) -> tuple[ir.Value, ir.Value]:
    """Row and column read by every tap, in pixels: each (N, OH, OW, G, K) float32."""
    offset = node.inputs[2]
    assert offset is not None
    taps = deform.kernel[0] * deform.kernel[1]
    last = emit.op("Transpose", offset, perm=[0, 2, 3, 1])
    shape = emit.constant([0, 0, 0, deform.offset_group, taps, 2], np.int64)  # 0 keeps the dimension
    pairs = emit.op("Reshape", last, shape)  # (N, OH, OW, G, K, 2)
    tap_row, tap_column = np.divmod(np.arange(taps), deform.kernel[1])
    moved = []
    for axis, tap in ((0, tap_row), (1, tap_column)):
        first = tap * deform.dilation[axis] - deform.padding[axis]
        grid = _grid(emit, offset, 2 + axis, deform.stride[axis], first)
        delta = emit.fp32("Gather", pairs, emit.constant(axis, np.int64), axis=5)
        moved.append(emit.fp32("Add", delta, grid))
    return moved[0], moved[1]


def _grid(emit: Emitter, offset: ir.Value, axis: int, stride: int, first: npt.NDArray[np.int64]) -> ir.Value:
    """Where the taps of a rigid kernel lie along one side: (1, OH, 1, 1, K) for axis 2, (1, 1, OW, 1, K) for 3."""
    shape = [1, 1, 1, 1, 1]
    shape[axis - 1] = -1
    size = offset.shape[axis] if offset.shape is not None else None
    if isinstance(size, int):
        grid = np.arange(size)[:, None] * stride + first
        shape[4] = first.size
        return emit.constant(grid.reshape(shape), np.float32)
    count = emit.fp32("Cast", _dimension(emit, offset, axis), to=ir.DataType.FLOAT)
    steps = emit.fp32("Range", emit.constant(0, np.float32), count, emit.constant(1, np.float32))
    column = emit.fp32("Reshape", steps, emit.constant(shape, np.int64))
    scaled = emit.fp32("Mul", column, emit.constant(stride, np.float32))
    return emit.fp32("Add", scaled, emit.constant(first, np.float32))


def _corners(emit: Emitter, position: ir.Value, length: _Length) -> list[Corner]:
    """The pixels before and after `position` along one side. Outside the frame the share is 0 and the index harmless.

    The position is clipped before it becomes an integer, which an offset of 1e6 pixels would overflow; the index is
    clipped after, because a NaN passes through the first clip and must still not read outside the frame.
    """
    near = emit.fp32("Min", emit.fp32("Max", position, emit.constant(-1, np.float32)), length.limit)
    floor = emit.fp32("Floor", near)
    after = emit.fp32("Sub", near, floor)
    before = emit.fp32("Sub", emit.constant(1, np.float32), after)
    first = emit.fp32("Cast", floor, to=ir.DataType.INT32)
    second = emit.fp32("Add", first, emit.constant(1, np.int32))
    corners = []
    for index, share in ((first, before), (second, after)):
        inside = emit.fp32("Min", emit.fp32("Max", index, emit.constant(0, np.int32)), length.last)
        valid = emit.fp32("Cast", emit.fp32("Equal", inside, index), to=ir.DataType.FLOAT)
        corners.append((inside, emit.fp32("Mul", share, valid)))
    return corners


def _sample(
    emit: Emitter,
    feature: ir.Value,
    deform: Deform,
    corners: tuple[Sequence[Corner], Sequence[Corner]],
    rows_of: tuple[_Length, ir.Value | None],
) -> ir.Value:
    """Bilinear samples (N, OH, OW, G, K, C / G) of `feature`'s rows, a row being one pixel's channels of one group."""
    width, base = rows_of
    per_group = deform.channels // deform.offset_group
    last = emit.op("Transpose", feature, perm=[0, 2, 3, 1])  # (N, H, W, C)
    table = emit.op("Reshape", last, emit.constant([-1, per_group], np.int64))  # (N·H·W·G, C / G)
    groups = emit.constant(deform.offset_group, np.int32)
    total = None
    for row, row_share in corners[0]:
        for column, column_share in corners[1]:
            index = emit.op("Add", emit.op("Mul", row, width.count), column)
            if base is not None:
                index = emit.op("Add", emit.op("Mul", index, groups), base)
            share = emit.fp32("Mul", row_share, column_share)
            share = emit.op("Unsqueeze", share, emit.constant([-1], np.int64))
            term = emit.op("Mul", emit.op("Gather", table, index, axis=0), share)
            total = term if total is None else emit.op("Add", total, term)
    assert total is not None
    return total


def _row_base(emit: Emitter, feature: ir.Value, deform: Deform, lengths: tuple[_Length, _Length]) -> ir.Value | None:
    """What image and offset group add to a row's index: (N, 1, 1, G, 1) int32, or None when both are 1."""
    batch = feature.shape[0] if feature.shape is not None else None
    groups = np.arange(deform.offset_group, dtype=np.int32).reshape(1, 1, 1, -1, 1)
    if batch == 1:
        return emit.constant(groups, np.int32) if deform.offset_group > 1 else None
    count = emit.op("Cast", _dimension(emit, feature, 0), to=ir.DataType.INT32)
    images = emit.op("Range", emit.constant(0, np.int32), count, emit.constant(1, np.int32))
    images = emit.op("Reshape", images, emit.constant([-1, 1, 1, 1, 1], np.int64))
    pixels = emit.op("Mul", lengths[0].count, lengths[1].count)
    rows = emit.op("Mul", pixels, emit.constant(deform.offset_group, np.int32))
    return emit.op("Add", emit.op("Mul", images, rows), emit.constant(groups, np.int32))


def _apply_kernel(emit: Emitter, samples: ir.Value, node: ir.Node, deform: Deform) -> ir.Value:
    """Samples (N, OH, OW, G, K, C / G) times the kernel: (N, M, OH, OW)."""
    matrix = _kernel_matrix(deform)
    flat = emit.op("Reshape", samples, emit.constant([-1, matrix.shape[0]], np.int64))
    result = emit.op("MatMul", flat, emit.constant(matrix, np.float32))  # (N·OH·OW, M)
    product = result.producer()
    assert product is not None
    product.name = node.name  # calibration and engine reports call it what the layer was called
    if deform.bias is not None:
        result = emit.op("Add", result, emit.constant(deform.bias, np.float32))
    offset = node.inputs[2]
    assert offset is not None
    one = emit.constant([1], np.int64)
    sides = [emit.op("Reshape", _dimension(emit, offset, axis), one) for axis in (0, 2, 3)]
    shape = emit.op("Concat", *sides, emit.constant([matrix.shape[1]], np.int64), axis=0)
    return emit.op("Transpose", emit.op("Reshape", result, shape), perm=[0, 3, 1, 2])


def _kernel_matrix(deform: Deform) -> npt.NDArray[np.float32]:
    """The kernel as (G·K·C/G, M) float32, zero where a group does not see a channel."""
    outputs, per_group, height, width = deform.weight.shape
    dense = np.zeros((deform.group, outputs // deform.group, deform.group, per_group, height * width), np.float32)
    blocks = deform.weight.reshape(deform.group, -1, per_group, height * width)
    for group, block in enumerate(blocks):
        dense[group, :, group] = block
    by_offset_group = dense.reshape(outputs, deform.offset_group, -1, height * width)
    return np.ascontiguousarray(by_offset_group.transpose(1, 3, 2, 0).reshape(-1, outputs))


def _per_position(emit: Emitter, mask: ir.Value, deform: Deform) -> ir.Value:
    """(N, G·K, OH, OW) as (N, OH, OW, G, K)."""
    shape = emit.constant([0, 0, 0, deform.offset_group, deform.kernel[0] * deform.kernel[1]], np.int64)
    return emit.op("Reshape", emit.op("Transpose", mask, perm=[0, 2, 3, 1]), shape)


def _length(emit: Emitter, value: ir.Value, axis: int) -> _Length:
    size = value.shape[axis] if value.shape is not None else None
    if isinstance(size, int):
        return _Length(
            emit.constant(size, np.int32), emit.constant(size - 1, np.int32), emit.constant(size, np.float32)
        )
    count = emit.op("Cast", _dimension(emit, value, axis), to=ir.DataType.INT32)
    last = emit.op("Sub", count, emit.constant(1, np.int32))
    return _Length(count, last, emit.fp32("Cast", count, to=ir.DataType.FLOAT))


def _dimension(emit: Emitter, value: ir.Value, axis: int) -> ir.Value:
    """One dimension as a scalar int64: a constant when it is known."""
    size = value.shape[axis] if value.shape is not None else None
    if isinstance(size, int):
        return emit.constant(size, np.int64)
    return emit.op("Gather", emit.op("Shape", value), emit.constant(axis, np.int64), axis=0)
