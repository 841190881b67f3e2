"""Which convolutions become INT8, and which stay as they are because their error would be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import onnx_ir as ir

_DEFORM_POSITIONS = (2, 4)  # DeformConv's offset and mask inputs


def quantisable_convolutions(graph: ir.Graph) -> list[ir.Node]:
    """Convolutions with constant weights, less these: the first and the last one (they meet the frame's own pixels),
    and the ones that predict sampling positions, masks and other maps of a few channels (σ and softmax amplify errors).
    """
    convolutions = [node for node in graph if node.op_type == "Conv" and _weight(node) is not None]
    first = {node for node in convolutions if not _reaches(node, _producers)}
    last = {node for node in convolutions if not _reaches(node, _consumers)}
    positions = {node for node in convolutions if _feeds_positions(node)}
    excluded = first | last | positions
    return [node for node in convolutions if node not in excluded and _channels(node) >= 8]


def _weight(node: ir.Node) -> ir.TensorProtocol | None:
    value = node.inputs[1]
    return None if value is None else value.const_value


def _channels(node: ir.Node) -> int:
    weight = _weight(node)
    return 0 if weight is None else len(weight.numpy())


def _producers(node: ir.Node) -> Iterable[ir.Node]:
    return [producer for value in node.inputs if value is not None and (producer := value.producer()) is not None]


def _consumers(node: ir.Node) -> Iterable[ir.Node]:
    return [consumer for value in node.outputs for consumer in value.consumers()]


def _reaches(start: ir.Node, neighbours: Callable[[ir.Node], Iterable[ir.Node]]) -> bool:
    """Whether another convolution lies behind `start` in that direction."""
    seen, waiting = {start}, list(neighbours(start))
    while waiting:
        node = waiting.pop()
        if node.op_type == "Conv":
            return True
        if node not in seen:
            seen.add(node)
            waiting.extend(neighbours(node))
    return False


def _feeds_positions(node: ir.Node) -> bool:
    """Whether a convolution's result ends, through pointwise operations, in offsets, masks or attention weights."""
    waiting = [node]
    while waiting:
        for value in waiting.pop().outputs:
            for usage in value.uses():
                if usage.node.op_type == "DeformConv" and usage.idx in _DEFORM_POSITIONS:
                    return True
                if usage.node.op_type in ("Softmax", "Sigmoid"):
                    return True
                if usage.node.op_type in ("Mul", "Reshape", "Transpose"):
                    waiting.append(usage.node)
    return False
