"""Q/DQ as TensorRT wants it, on graphs of every kind; and what it costs in value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from onnx import helper

from calibration.graph.bias import corrections
from calibration.graph.compute import macs_by_precision
from calibration.graph.layers import Layer, find_layers
from calibration.graph.quantise import LEVELS, SMALLEST_SCALE, along, bias_input, levels_of, quantise, scale_of
from calibration.observers.watch import open_session, watch
from export.passes.half import to_half
from tests.calibration.small_graphs import frames, loaded, residual_graph, weights

SIZE = (24, 34)


def largest(model: ir.Model, layers: Sequence[Layer]) -> dict[str, float]:
    """Name of an activation → its largest magnitude on the frames."""
    found: dict[str, float] = {}

    def seen(_: int, name: str, values: np.ndarray) -> None:
        found[name] = max(found.get(name, 0.0), float(np.abs(values).max()))

    watch(model, sorted({str(layer.activation.name) for layer in layers}), frames(), seen)
    return found


def quantised(names: Sequence[str], proto: onnx.ModelProto | None = None) -> ir.Model:
    model = loaded(proto or residual_graph())
    layers = [layer for layer in find_layers(model) if layer.name in names]
    quantise(model, layers, largest(model, layers))
    onnx.checker.check_model(ir.serde.serialize_model(model), full_check=True)
    return model


def node(model: ir.Model, name: str) -> ir.Node:
    return next(node for node in model.graph if node.name == name)


def maker(value: ir.Value | None) -> ir.Node:
    assert value is not None
    found = value.producer()
    assert found is not None
    return found


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    arrays_of.arrays(np.float32, st.integers(1, 60), elements=st.floats(-1e3, 1e3, width=32)),
    st.floats(1e-6, 1e3),
)
def test_restored_values_are_within_half_a_scale(values: np.ndarray, range_: float) -> None:
    scale = np.float32(scale_of(range_))
    restored = np.clip(np.rint(values / scale), -LEVELS, LEVELS) * scale
    inside = np.abs(values) <= LEVELS * scale
    assert (np.abs(restored - values)[inside] <= scale / 2 * (1 + 1e-5)).all()
    assert (np.abs(restored) <= LEVELS * scale).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    arrays_of.arrays(np.float32, st.tuples(*[st.integers(1, 5)] * 4), elements=st.floats(-30, 30, width=32)),
    st.integers(0, 1),
)
def test_weights_are_within_half_a_scale_of_their_own_channel(weight: np.ndarray, axis: int) -> None:
    levels, scales = levels_of(weight, axis)
    assert levels.dtype == np.int8
    assert scales.dtype == np.float16
    assert scales.shape == (weight.shape[axis],)
    assert levels.min(initial=0) >= -LEVELS
    step = along(scales, weight.ndim, axis)
    # A scale that was rounded down clips the channel's largest weight by up to 127 times FP16's half unit.
    assert (np.abs(levels * step - weight) <= step * (0.5 + LEVELS * 2.0**-11 + 1e-5)).all()


@pytest.mark.parametrize(
    ("range_", "scale"),
    [(0.0, float(SMALLEST_SCALE)), (1.0, float(np.float16(1 / 127))), (1e9, 65504.0), (127e-9, float(SMALLEST_SCALE))],
)
def test_scales_are_normal_finite_halves(range_: float, scale: float) -> None:
    assert float(scale_of(range_)) == scale


def test_a_shared_input_is_quantised_once() -> None:
    model = quantised(["block.first", "side", "block.second.skip"])
    sources = {
        maker(node(model, "block.first").inputs[0]),
        maker(node(model, "side").inputs[0]),
        maker(node(model, "block.second.skip").inputs[0]),
    }
    assert [source.op_type for source in sources] == ["DequantizeLinear"]
    assert sum(one.op_type == "QuantizeLinear" for one in model.graph) == 1


def test_other_readers_keep_what_they_read() -> None:
    model = quantised(["block.first"])
    assert maker(node(model, "side").inputs[0]).op_type == "Conv"
    assert maker(node(model, "block.second.skip").inputs[0]).op_type == "Conv", "a skip that was not asked for"


def test_a_transposed_convolution_has_scales_per_output_channel() -> None:
    model = quantised(["up"])
    restore = maker(node(model, "up").inputs[1])
    assert restore.attributes.get_int("axis") == 1
    assert restore.inputs[1] is not None
    assert restore.inputs[1].const_value is not None
    assert restore.inputs[1].const_value.numpy().shape == (8,)


def test_outputs_have_no_q_dq_and_zero_points_are_zero() -> None:
    model = quantised(["block.first", "block.second", "side", "down", "up"])
    for one in model.graph:
        if one.op_type == "QuantizeLinear":
            assert maker(one.inputs[0]).op_type in ("Relu", "Conv", "Add")
            assert [user.op_type for user in one.outputs[0].consumers()] == ["DequantizeLinear"]
        if one.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = one.inputs[2]
            assert zero is not None
            assert zero.const_value is not None
            assert not zero.const_value.numpy().any()
    assert all(user.op_type == "Relu" for user in node(model, "block.first").outputs[0].consumers())


def test_the_fp16_body_is_strongly_typed_and_counted() -> None:
    model = to_half(quantised(["block.first", "block.second", "side", "down", "up"]))
    onnx.checker.check_model(ir.serde.serialize_model(model), full_check=True)
    assert node(model, "block.first").outputs[0].dtype == ir.DataType.FLOAT16
    counts = macs_by_precision(model, SIZE)
    assert counts["int8"] == 24 * 34 * (8 * 8 * 9 * 2 + 8 * 8) + 12 * 17 * 12 * 8 * 4 * 2
    assert counts["fp16"] > 0
    assert counts["fp32"] == 0


def test_int8_is_close_and_not_the_same() -> None:
    found, exact = (
        open_session(model).run(["sharp"], {"frame": frames(1)[0]})[0].astype(int)
        for model in (quantised(["block.first", "block.second", "side", "down", "up"]), loaded(residual_graph()))
    )
    assert 0 < np.abs(found - exact).mean() < 3


def test_a_bias_correction_moves_the_output_by_itself() -> None:
    def output(correction: np.ndarray | None) -> np.ndarray:
        model = loaded(residual_graph())
        layers = [layer for layer in find_layers(model) if layer.name == "side"]
        quantise(model, layers, largest(model, layers), None if correction is None else {"side": correction})
        name = str(node(model, "side").outputs[0].name)
        return np.asarray(open_session(model, [name]).run([name], {"frame": frames(1)[0]})[0])

    shift = np.linspace(-1, 1, 8, dtype=np.float32)
    assert np.allclose(output(shift) - output(None), shift[None, :, None, None], atol=1e-5)


def test_a_correction_of_a_convolution_without_bias_becomes_one() -> None:
    arrays = weights()
    proto = residual_graph(arrays)
    side = next(one for one in proto.graph.node if one.name == "n_side")
    del side.input[2]
    model = loaded(proto)
    layers = [layer for layer in find_layers(model) if layer.name == "side"]
    quantise(model, layers, largest(model, layers), {"side": np.full(8, 0.5, np.float32)})
    onnx.checker.check_model(ir.serde.serialize_model(model), full_check=True)
    assert len(node(model, "side").inputs) == 3


def test_a_computed_bias_is_left_as_it_is() -> None:
    """Nothing constant can be added to it, and no correction is found for it."""
    proto = residual_graph()
    side = next(one for one in proto.graph.node if one.name == "n_side")
    proto.graph.node.insert(0, helper.make_node("Neg", [side.input[2]], ["computed"]))
    side.input[2] = "computed"
    onnx.checker.check_model(proto, full_check=True)
    model = loaded(proto)
    layers = [layer for layer in find_layers(model) if layer.name in ("side", "down")]
    ranges = largest(model, layers)
    assert sorted(corrections(model, layers, ranges, frames())) == ["down"]
    quantise(model, layers, ranges, {"side": np.full(8, 0.5, np.float32)})
    assert maker(node(model, "side").inputs[2]).op_type == "Neg"


def test_a_product_without_a_bias_is_left_without_one() -> None:
    """Of a lowered deformable convolution: what reads it is no addition, and must not be given a second input."""
    inputs = ["planes", "network.up.weight"]
    product = ir.node("MatMul", [ir.Value(name=name) for name in inputs], name="filter")
    ir.node("Transpose", [product.outputs[0]])
    assert bias_input(product) is None
    ir.node("Add", [product.outputs[0], product.outputs[0]])
    assert bias_input(product) is None


def test_a_layer_without_a_range_is_an_error_of_the_caller() -> None:
    model = loaded(residual_graph())
    with pytest.raises(KeyError):
        quantise(model, find_layers(model)[:1], {})
