"""Does every value fit FP16? Watched on the frames; nodes whose values do not are kept in FP32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from calibration.observers.watch import Activation, watch
from calibration.progress import Progress
from export.passes.graph_tools import COMPUTE_FP32, constant_array, infer_shapes
from export.passes.half import FP16_LARGEST
from export.passes.half_regions import fp32_nodes
from runtime.frame import Image

FLOAT = ir.DataType.FLOAT
HEADROOM = 2.0  # other frames may reach further than the ones watched
# Below FP16's smallest normal number its error is 2⁻²⁵ whatever the value. Against the 2⁻¹¹ of normal numbers that is
# worse once the root mean square is under this.
SMALLEST_RMS = 2.0**-14


@dataclass(frozen=True)
class Offender:
    """A node that must stay FP32."""

    node: str
    why: str


def offenders(
    model: ir.Model, frames: Sequence[Image], bytes_per_pixel: Mapping[str, float] | None = None
) -> list[Offender]:
    """Nodes of an FP32 graph whose results would overflow or vanish in FP16, and those that read them.

    bytes_per_pixel: as `watch` takes it.
    """
    infer_shapes(model)
    kept = fp32_nodes(model.graph)
    producers = {
        str(value.name): node
        for node in model.graph
        if node not in kept
        for value in node.outputs
        if value.dtype == FLOAT and value.uses()
    }
    largest, squares, counts = (dict.fromkeys(producers, 0.0) for _ in range(3))

    def seen(_: int, name: str, values: Activation) -> None:
        flat = values.ravel()
        largest[name] = max(largest[name], float(flat.max(initial=0.0)), -float(flat.min(initial=0.0)))
        squares[name] += float(np.dot(flat, flat))
        counts[name] += flat.size
        progress.step()

    progress = Progress("checking values against FP16", len(producers) * len(frames))
    watch(model, list(producers), frames, seen, bytes_per_pixel)
    progress.close()
    found = {node: why for node in model.graph if (why := _weight_overflows(node))}
    for name, node in producers.items():
        if why := _misfit(largest[name], (squares[name] / max(counts[name], 1)) ** 0.5):
            found[node] = why  # its own reason before that of reading another's
            for user in node.outputs[0].consumers():
                found.setdefault(user, f"reads {name}: {why}")
    return [Offender(str(node.name), why) for node, why in found.items() if node not in kept]


def _misfit(largest: float, rms: float) -> str:
    """Why values of that magnitude and root mean square do not fit FP16; nothing where they do."""
    if largest * HEADROOM > FP16_LARGEST:
        return f"reaches {largest:.3g}: FP16 ends at {FP16_LARGEST:.0f}"
    if 0 < rms < SMALLEST_RMS:
        return f"root mean square is {rms:.2g}: FP16 loses its digits below {SMALLEST_RMS:.2g}"
    return ""


def _weight_overflows(node: ir.Node) -> str:
    for value in node.inputs:
        array = constant_array(value) if value is not None and value.dtype == FLOAT else None
        reached = 0.0 if array is None else float(np.abs(array).max(initial=0.0))
        if FP16_LARGEST < reached < np.inf:
            return f"its weight reaches {reached:.3g}: FP16 ends at {FP16_LARGEST:.0f}"
    return ""


def keep_fp32(model: ir.Model, names: Iterable[str]) -> None:
    """Mark nodes, and the Q/DQ around them, so that the FP16 pass leaves them in FP32.

    What quantises a marked node's result reads FP32; what dequantises its operands gives FP32, so that an INT8
    convolution stays one. Names that the graph lacks are ignored.
    """
    wanted = set(names)
    for node in [node for node in model.graph if node.name in wanted]:
        node.metadata_props.update(COMPUTE_FP32)
        for user in [user for value in node.outputs for user in value.consumers()]:
            if user.op_type == "QuantizeLinear":
                user.metadata_props.update(COMPUTE_FP32)
        for index, value in enumerate(node.inputs):
            maker = None if value is None else value.producer()
            if maker is not None and maker.op_type == "DequantizeLinear":
                _own(model.graph, node, index, maker).metadata_props.update(COMPUTE_FP32)


def _own(graph: ir.Graph, node: ir.Node, index: int, dequantise: ir.Node) -> ir.Node:
    """The DequantizeLinear behind an input, one that no other node reads."""
    old = dequantise.outputs[0]
    if len(list(old.consumers())) == 1:
        return dequantise
    name = f"{dequantise.name}/{node.name}"
    own = ir.node("DequantizeLinear", dequantise.inputs, dict(dequantise.attributes), name=name)
    own.outputs[0].name, own.outputs[0].shape, own.outputs[0].type = f"{name}d", old.shape, ir.TensorType(FLOAT)
    graph.insert_before(node, own)
    node.replace_input_with(index, own.outputs[0])
    return own
