"""Renaming DeformConv to the plugin's operator: the weight's layout, what is optional, and FP16 files."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgedeblur import ExitCode, Failure
from export.passes import apply_passes, passes_for
from export.passes.graph_tools import constant_array
from export.passes.rename_deform import PLUGIN_OP, rename_deform
from tests.engines.frame_graph import frame_graph

WEIGHT = np.random.default_rng(0).normal(size=(6, 2, 3, 1)).astype(np.float32)  # (M, C / group, kernel h, kernel w)
BIAS = np.arange(6, dtype=np.float32)
SHAPES = {"x": (2, 4, 5, 9), "offset": (2, 12, 2, 4), "mask": (2, 6, 2, 4), "out": (2, 6, 2, 4)}


def renamed(bias: bool = True, mask: bool = True, constant: bool = True) -> ir.Node:
    """One DeformConv with every attribute lopsided, after the pass."""
    inputs = ["x", "weight", "offset", "bias" if bias else "", "mask" if mask else ""]
    while not inputs[-1]:
        inputs.pop()
    node = helper.make_node(
        "DeformConv",
        inputs,
        ["out"],
        kernel_shape=[3, 1],
        strides=[2, 3],
        pads=[1, 2, 0, 1],
        dilations=[1, 2],
        group=2,
        offset_group=2,
    )
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in SHAPES.items()}
    out = values.pop("out")
    if not constant:
        values["weight"] = helper.make_tensor_value_info("weight", TensorProto.FLOAT, WEIGHT.shape)
    weights = [numpy_helper.from_array(BIAS, "bias")]
    weights += [numpy_helper.from_array(WEIGHT, "weight")] if constant else []
    graph = helper.make_graph([node], "g", list(values.values()), [out], weights)
    model = rename_deform(ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])))
    assert "weight" not in model.graph.initializers
    (found,) = model.graph
    assert found.op_type == PLUGIN_OP
    return found


def array(value: ir.Value | None) -> npt.NDArray[np.float32]:
    found = constant_array(value)
    assert found is not None
    return found


def test_weight_is_channels_last_and_attributes_are_pairs() -> None:
    node = renamed()
    assert array(node.inputs[1]).shape == (6, 3, 1, 2)
    np.testing.assert_array_equal(array(node.inputs[1])[4, 2, 0, 1], WEIGHT[4, 1, 2, 0])
    np.testing.assert_array_equal(array(node.inputs[3]), BIAS)
    fields = {name: attribute.value for name, attribute in node.attributes.items() if not name.startswith("plugin_")}
    assert {name: list(value) if isinstance(value, (list, tuple)) else value for name, value in fields.items()} == {
        "stride": [2, 3],
        "padding": [1, 2, 0, 1],
        "dilation": [1, 2],
        "group": 2,
        "offset_group": 2,
        "activation": 0,
    }


def test_missing_bias_is_zeros_and_missing_mask_is_left_out() -> None:
    node = renamed(bias=False)
    np.testing.assert_array_equal(array(node.inputs[3]), np.zeros(6, np.float32))
    assert len(node.inputs) == 5
    assert len(renamed(mask=False).inputs) == 4
    assert len(renamed(bias=False, mask=False).inputs) == 4


def test_computed_kernels_are_refused() -> None:
    with pytest.raises(Failure, match="computed in the graph") as failure:
        renamed(constant=False)
    assert failure.value.code == ExitCode.MODEL


def test_fp16_file_with_the_standard_operator_is_renamed_too() -> None:
    """In an FP16 file DeformConv is an FP32 island; the plugin's inputs lose their Casts, but for the positions."""
    half = apply_passes(ir.from_proto(frame_graph()), passes_for("native", "fp16", (64, 96)))
    model = apply_passes(
        ir.from_proto(onnx.load_model_from_string(ir.to_proto(half).SerializeToString())), passes_for("plugin", "fp16")
    )
    nodes = [node for node in model.graph if node.op_type == PLUGIN_OP]
    assert len(nodes) == 2
    for node in nodes:
        kinds = [value.dtype.name for value in node.inputs if value is not None and value.dtype is not None]
        assert kinds == ["FLOAT16", "FLOAT16", "FLOAT", "FLOAT16", "FLOAT16"]
        assert all(value is not None and not came_from_cast(value) for value in (node.inputs[0], node.inputs[4]))


def came_from_cast(value: ir.Value) -> bool:
    producer = value.producer()
    return producer is not None and producer.op_type == "Cast"
