"""What does not fit FP16 is found on the frames, kept in FP32, and the result is sound again."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from calibration.decide.plan import Choice, Plan
from calibration.frames.choose import Sample
from calibration.graph.compute import macs_by_precision
from calibration.graph.forms import Graphs
from calibration.graph.half_check import offenders
from calibration.measure.quality import decibels
from calibration.measure.sets import EvaluationSet, measured
from calibration.observers.watch import open_session
from export.passes.emulate_half import emulate_half
from tests.calibration.small_graphs import frame_model, frames, loaded, residual_graph, weights

FRAMES = frames(2)
FP32_BLOCK = {"block.first", "n_relu"}


def scaled(factor: float) -> onnx.ModelProto:
    """The same function with the block's inner activation `factor` times as large."""
    arrays = weights()
    for name in ("network.block.first.weight", "network.block.first.bias"):
        arrays[name] = arrays[name] * np.float32(factor)
    arrays["network.block.second.weight"] = arrays["network.block.second.weight"] / np.float32(factor)
    return residual_graph(arrays)


def sharp(model: ir.Model, frame: np.ndarray) -> np.ndarray:
    return np.asarray(open_session(model).run(["sharp"], {"frame": frame})[0])


def test_a_sound_graph_has_no_offenders() -> None:
    model, _ = Graphs(loaded(residual_graph()), "native").fp32()
    assert offenders(model, FRAMES) == []


@pytest.mark.parametrize(("factor", "words"), [(1e5, "FP16 ends at 65504"), (1e-5, "root mean square")])
def test_what_overflows_or_vanishes_is_named_and_kept(factor: float, words: str) -> None:
    graphs = Graphs(loaded(scaled(factor)), "native")
    model, _ = graphs.fp32()
    found = offenders(model, FRAMES)
    assert "block.first" in {offender.node for offender in found}
    assert any(words in offender.why for offender in found)
    exact = sharp(graphs.fp32()[0], FRAMES[0])
    plain = sharp(emulate_half(graphs.fp16()), FRAMES[0])
    kept = sharp(emulate_half(graphs.fp16(offender.node for offender in found)), FRAMES[0])
    assert decibels(kept, exact) > 55
    assert decibels(kept, exact) > decibels(plain, exact) + 3


def test_an_int8_layer_behind_what_overflows_is_sound() -> None:
    """Its Q reads FP32: FP16 would have ended at infinity before it is clipped."""
    graphs = Graphs(loaded(scaled(1e5)), "native")
    model, layers = graphs.fp32()
    nodes = tuple(offender.node for offender in offenders(model, FRAMES))
    second = next(layer for layer in layers if layer.name == "block.second")
    plan = Plan("small", "native", "mse", (Choice("block.second", "conv", "int8", range=3e5),), fp32_nodes=nodes)
    made = graphs.int8(plan)
    onnx.checker.check_model(ir.serde.serialize_model(made), full_check=True)
    quantiser = next(node for node in made.graph if node.op_type == "QuantizeLinear")
    assert quantiser.inputs[0] is not None
    assert quantiser.inputs[0].dtype == ir.DataType.FLOAT
    assert str(second.activation.name) in str(quantiser.name)
    assert macs_by_precision(made)["int8"] > 0, "it is still a quantised convolution"
    found = measured(made, "int8", [EvaluationSet("set", [Sample(FRAMES[0], "0")], [sharp(model, FRAMES[0])])])
    assert found[0].quality.psnr_to_fp32 > 35


def test_an_int8_layer_whose_result_overflows_gives_it_in_fp32() -> None:
    """Its operands are dequantised to FP32 for it alone: what shares its input stays FP16."""
    graphs = Graphs(loaded(scaled(1e5)), "native")
    model, _ = graphs.fp32()
    nodes = tuple(offender.node for offender in offenders(model, FRAMES))
    choices = tuple(Choice(name, "conv", "int8", range=3.0) for name in ("block.first", "side"))
    made = graphs.int8(Plan("small", "native", "mse", choices, fp32_nodes=nodes))
    onnx.checker.check_model(ir.serde.serialize_model(made), full_check=True)
    types = {node.name: node.outputs[0].dtype for node in made.graph}
    assert (types["block.first"], types["side"]) == (ir.DataType.FLOAT, ir.DataType.FLOAT16)
    counts = macs_by_precision(made)
    assert counts["int8"] == 720 * 1280 * (8 * 8 * 9 + 8 * 8)


def test_readers_of_what_vanishes_are_kept_too() -> None:
    """Casting a kept FP32 value to FP16 for its reader would lose it all the same."""
    tiny = np.array(1e-9, np.float32)
    nodes = [
        onnx.helper.make_node("Conv", ["image", "network.stem.weight", "network.stem.bias"], ["a"], pads=[1] * 4),
        onnx.helper.make_node("Mul", ["a", "tiny"], ["b"], name="shrink"),
        onnx.helper.make_node("Tanh", ["b"], ["c"], name="between"),
        onnx.helper.make_node("Div", ["c", "tiny"], ["d"], name="grow"),
        onnx.helper.make_node("Conv", ["d", "network.head.weight"], ["residual_image"], pads=[1] * 4),
    ]
    graphs = Graphs(loaded(frame_model(nodes, {**weights(), "tiny": tiny})), "native")
    model, _ = graphs.fp32()
    found = [offender.node for offender in offenders(model, FRAMES)]
    assert {"shrink", "between", "grow"} <= set(found)
    exact, kept = sharp(model, FRAMES[0]), sharp(emulate_half(graphs.fp16(found)), FRAMES[0])
    assert decibels(kept, exact) > 55
