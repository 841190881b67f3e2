"""FP16 written out in FP32: it rounds and overflows as FP16 does, where ONNX Runtime on a CPU does neither."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.passes import apply_passes, passes_for
from export.passes.emulate_half import emulate_half
from export.passes.graph_tools import copied
from export.passes.model_file import load_model
from runtime.sessions.onnx_session import session_options

RNG = np.random.default_rng(3)
FIRST = RNG.normal(size=(6, 4, 3, 3)).astype(np.float16)
SECOND = RNG.normal(size=(5, 6, 1, 1)).astype(np.float16)
X = RNG.normal(size=(1, 4, 9, 14)).astype(np.float32)


def two_convolutions(factor: float) -> onnx.ModelProto:
    """Cast to FP16, times `factor`, two convolutions, divided by `factor`, cast back."""
    constants = {"f": np.float16(factor), "w1": FIRST, "w2": SECOND}
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=TensorProto.FLOAT16),
        helper.make_node("Mul", ["a", "f"], ["b"]),
        helper.make_node("Conv", ["b", "w1"], ["c"]),
        helper.make_node("Conv", ["c", "w2"], ["d"]),
        helper.make_node("Div", ["d", "f"], ["e"]),
        helper.make_node("Cast", ["e"], ["y"], to=TensorProto.FLOAT),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(X.shape))]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "half", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)


def run(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": X})[0])


def emulated(model: onnx.ModelProto) -> onnx.ModelProto:
    written = ir.serde.serialize_model(emulate_half(ir.serde.deserialize_model(model)))
    onnx.checker.check_model(written, full_check=True)
    return written


def by_hand(factor: float, rounded: bool) -> np.ndarray:
    """The same in float64, rounded to FP16 after every operator or not at all."""
    half: Callable[[np.ndarray], np.ndarray] = (
        (lambda value: value.astype(np.float16).astype(np.float64)) if rounded else lambda value: value
    )
    b = half(X.astype(np.float16).astype(np.float64) * float(np.float16(factor)))
    windows = np.lib.stride_tricks.sliding_window_view(b, (3, 3), axis=(2, 3))
    c = half(np.einsum("nchwij,ocij->nohw", windows, FIRST.astype(np.float64)))
    d = half(np.einsum("nchw,oc->nohw", c, SECOND[:, :, 0, 0].astype(np.float64)))
    return half(d / float(np.float16(factor)))


def test_it_rounds_where_onnx_runtime_alone_does_not() -> None:
    exact, rounded = by_hand(1.2345, rounded=False), by_hand(1.2345, rounded=True)
    cost = np.abs(rounded - exact).max()
    alone, written = run(two_convolutions(1.2345)), run(emulated(two_convolutions(1.2345)))
    # The trap: were this to fail, ONNX Runtime had learnt FP16 and the pass could go.
    assert np.abs(alone - rounded).max() > cost / 2
    # What remains is a sum in another order, which now and then rounds to the neighbour.
    assert np.mean(written == rounded) > 0.99
    assert np.abs(written - rounded).max() < cost


def test_it_overflows_where_onnx_runtime_alone_does_not() -> None:
    factor = 30000.0
    assert np.isfinite(run(two_convolutions(factor))).all()
    assert not np.isfinite(run(emulated(two_convolutions(factor)))).all()


def test_an_fp32_graph_is_left_as_it_is(exported: Callable[[str], Path]) -> None:
    model = load_model(exported("edge-n"))
    frame = np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    before, after = (sharp(each, frame) for each in (copied(model), emulate_half(model)))
    assert np.array_equal(before, after)


@pytest.mark.parametrize("deform", ["native", "gather"])
def test_a_preset_in_fp16_is_close_to_fp32_and_not_the_same(exported: Callable[[str], Path], deform: str) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    half = apply_passes(load_model(exported("edge-n")), passes_for(deform, "fp16"))
    difference = np.abs(sharp(emulate_half(half), frame) - sharp(load_model(exported("edge-n")), frame))
    assert 0 < difference.mean() < 0.1
    assert difference.max() <= 2


def test_making_it_half_twice_changes_nothing(exported: Callable[[str], Path]) -> None:
    once = apply_passes(load_model(exported("edge-n")), passes_for("gather", "fp16"))
    before = types_of(once)
    twice = apply_passes(copied(once), passes_for("gather", "fp16"))
    assert types_of(twice) == before


def types_of(model: ir.Model) -> list[tuple[str, list[ir.DataType | None]]]:
    return [(node.op_type, [value.dtype for value in (*node.inputs, *node.outputs) if value]) for node in model.graph]


def sharp(model: ir.Model, frame: np.ndarray) -> np.ndarray:
    data = ir.serde.serialize_model(model).SerializeToString()
    session = onnxruntime.InferenceSession(data, session_options(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"frame": frame})[0], dtype=int)
