"""The layers of a graph that can be INT8: what each is called, and whether it should be."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from export.passes.deform_node import OP_TYPE as DEFORM

CONV, CONV_TRANSPOSE, DEFORMED, SKIP = "conv", "conv_transpose", "deform", "skip"
# Where a linear layer holds its weight, and the axis of the weight that counts output channels.
LINEAR = {"Conv": (CONV, 0), "ConvTranspose": (CONV_TRANSPOSE, 1), "MatMul": (DEFORMED, 1), DEFORM: (DEFORMED, 0)}
FEWEST_CHANNELS = 8  # below it INT8 tensor cores are padded: nothing to gain
_DEFORM_POSITIONS = (2, 4)  # DeformConv's offset and mask inputs
_POINTWISE = ("Mul", "Reshape", "Transpose")

FIRST = "reads the frame's own pixels"
LAST = "writes the pixels that are added to the frame"
POSITIONS = "predicts sampling positions or weights, which amplify errors"
NARROW = f"has fewer than {FEWEST_CHANNELS} output channels: nothing to gain"
DEFORM_NATIVE = "DeformConv as one operator has no INT8 form; its Gather form has (--deform gather)"


@dataclass(frozen=True)
class Layer:
    """A convolution, the matrix product of a deformable one, or the skip input of a residual addition."""

    name: str  # of the weight's parameter, as in the checkpoint: `encoders.0.stages.0.0.first`
    kind: str  # CONV, CONV_TRANSPOSE, DEFORMED or SKIP
    node: ir.Node
    input_index: int = 0  # which of the node's inputs is quantised
    kept: str = ""  # why it stays in high precision by default; empty: INT8
    searched: bool = True  # whether the sensitivity search may make it INT8

    @property
    def activation(self) -> ir.Value:
        """The value that is quantised."""
        value = self.node.inputs[self.input_index]
        assert value is not None
        return value


def find_layers(model: ir.Model) -> list[Layer]:
    """All layers of a canonical graph (FP32, standard DeformConv), in its order; nodes are renamed after their layer.

    The names survive lowering and show up in an engine's layer list. Other nodes keep theirs, made unique: by them a
    plan tells which ones stay FP32. Convolutions whose weight is computed are left out. A skip is an addition right
    behind a convolution whose other operand another layer quantises already: INT8 engines add it in the convolution's
    epilogue.
    """
    linear = [node for node in model.graph if node.op_type in ("Conv", "ConvTranspose", DEFORM) and _constant(node)]
    convolutions = [node for node in linear if node.op_type != DEFORM]
    first = {node for node in convolutions if not _reaches(node, _producers)}
    last = {node for node in convolutions if not _reaches(node, _consumers)}
    layers = []
    for node, name in zip(linear, _names(linear), strict=True):
        node.name = name
        kept = _kept(node, first, last)
        layers.append(Layer(name, LINEAR[node.op_type][0], node, 0, kept, kept in ("", FIRST, LAST)))
    layers += _skips(layers)
    _make_names_unique(model.graph, {layer.node: layer.name for layer in layers})
    return layers


def refind_layers(model: ir.Model, layers: Iterable[Layer]) -> list[Layer]:
    """The same layers in another form of the graph; a DeformConv that was lowered is then a matrix product."""
    nodes = {node.name: node for node in model.graph}
    found = []
    for layer in layers:
        node = nodes[layer.name]
        lowered = layer.node.op_type == DEFORM and node.op_type != DEFORM
        kept, searched = ("", True) if lowered else (layer.kept, layer.searched)
        found.append(Layer(layer.name, layer.kind, node, layer.input_index, kept, searched))
    return found


def without_idle_skips(layers: Sequence[Layer], names: frozenset[str]) -> frozenset[str]:
    """`names` without skips whose operand no other of them quantises: those would add Q/DQ that nothing else uses."""
    shared = {layer.activation for layer in layers if layer.name in names and layer.kind != SKIP}
    idle = {layer.name for layer in layers if layer.kind == SKIP and layer.activation not in shared}
    return names - idle


def output_channels(node: ir.Node) -> int:
    """Of a convolution, or a lowered one, whose weight is constant."""
    value = node.inputs[1]
    assert value is not None
    assert value.const_value is not None
    groups = node.attributes.get_int("group", 1) if node.op_type == "ConvTranspose" else 1
    outputs: int = value.const_value.numpy().shape[LINEAR[node.op_type][1]]
    return outputs * groups


def _kept(node: ir.Node, first: set[ir.Node], last: set[ir.Node]) -> str:
    if node.op_type == DEFORM:
        return DEFORM_NATIVE
    if _feeds_positions(node):
        return POSITIONS
    if output_channels(node) < FEWEST_CHANNELS:
        return NARROW
    return FIRST if node in first else LAST if node in last else ""


def _names(nodes: list[ir.Node]) -> list[str]:
    """The weights' parameter names; a weight that several nodes share counts them."""
    names: list[str] = []
    for node in nodes:
        weight = node.inputs[1]
        name = str(weight.name if weight is not None else node.name).removeprefix("network.").removesuffix(".weight")
        names.append(_free(name, names))
    return names


def _make_names_unique(graph: ir.Graph, named: Mapping[ir.Node, str]) -> None:
    """Rename nodes that share a name or have none, which ONNX allows; the `named` ones have theirs."""
    taken = set(named.values())
    for node in graph:
        if node not in named:
            node.name = _free(node.name or node.outputs[0].name or node.op_type, taken)
            taken.add(node.name)


def _free(name: str, taken: Collection[str]) -> str:
    """`name`, or with the first number behind it that makes it one of its own."""
    numbered = (f"{name}#{count}" for count in itertools.count(2))
    return next(one for one in itertools.chain([name], numbered) if one not in taken)


def _skips(layers: Sequence[Layer]) -> list[Layer]:
    quantised = {layer.activation for layer in layers if layer.searched}
    taken = {layer.name for layer in layers}
    found = []
    for layer in layers:
        users = list(layer.node.outputs[0].uses())
        if layer.kind == DEFORMED or len(users) != 1 or users[0].node.op_type != "Add":
            continue
        node, index = users[0].node, 1 - users[0].idx
        operand = node.inputs[index]
        maker = operand.producer() if operand is not None else None
        # What no convolution made is the frame itself: the skip from input to output is never rounded to 8 bits.
        if operand in quantised and maker is not None and (_is_convolution(maker) or _reaches(maker, _producers)):
            node.name = _free(f"{layer.name}.skip", taken)
            taken.add(node.name)
            found.append(Layer(node.name, SKIP, node, index))
    return found


def _constant(node: ir.Node) -> bool:
    value = node.inputs[1]
    return value is not None and value.const_value is not None


def _is_convolution(node: ir.Node) -> bool:
    return node.op_type in ("Conv", "ConvTranspose", DEFORM)


def _producers(node: ir.Node) -> Iterable[ir.Node]:
    return [producer for value in node.inputs if value is not None and (producer := value.producer()) is not None]


def _consumers(node: ir.Node) -> Iterable[ir.Node]:
    return [consumer for value in node.outputs for consumer in value.consumers()]


def _reaches(start: ir.Node, neighbours: Callable[[ir.Node], Iterable[ir.Node]]) -> bool:
    """Whether another convolution lies behind `start` in that direction."""
    seen, waiting = {start}, list(neighbours(start))
    while waiting:
        node = waiting.pop()
        if _is_convolution(node):
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
                if usage.node.op_type == DEFORM and usage.idx in _DEFORM_POSITIONS:
                    return True
                if usage.node.op_type in ("Softmax", "Sigmoid"):
                    return True
                if usage.node.op_type in _POINTWISE:
                    waiting.append(usage.node)
    return False
