"""The Gather form of DeformConv equals ONNX Runtime's own operator, on deliberately lopsided cases."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgedeblur import ExitCode, Failure
from export.passes.lower_deform import lower_deform

Feed = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Case:
    """One DeformConv; every pair is (h, w) and padding is top, left, bottom, right."""

    batch: int = 1
    size: tuple[int, int] = (13, 17)
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (1, 1, 1, 1)
    dilation: tuple[int, int] = (1, 1)
    group: int = 1
    offset_group: int = 1
    per_group: int = 2  # channels for each of group · offset_group
    outputs_per_group: int = 3
    mask: bool = True
    bias: bool = True
    dynamic: bool = False
    reach: float = 3.0  # pixels, standard deviation of the offsets
    seed: int = 0

    @property
    def channels(self) -> int:
        return self.per_group * self.group * self.offset_group

    @property
    def out_size(self) -> tuple[int, int]:
        height, width = (
            (
                self.size[axis]
                + self.padding[axis]
                + self.padding[axis + 2]
                - self.dilation[axis] * (self.kernel[axis] - 1)
                - 1
            )
            // self.stride[axis]
            + 1
            for axis in (0, 1)
        )
        return height, width


LOPSIDED = {
    "plain": Case(),
    "stride 1x2, padding 2x1": Case(stride=(1, 2), padding=(2, 1, 2, 1)),
    "kernel 3x1": Case(kernel=(3, 1), padding=(1, 0, 1, 0)),
    "kernel 1x5, dilation 1x2": Case(kernel=(1, 5), dilation=(1, 2), padding=(0, 4, 0, 4)),
    "asymmetric padding": Case(padding=(0, 2, 3, 1), stride=(2, 1)),
    "batch 2, groups 2, offset groups 3": Case(batch=2, group=2, offset_group=3),
    "groups 4": Case(group=4, outputs_per_group=1),
    "no mask, no bias": Case(mask=False, bias=False),
    "wide": Case(size=(4, 1280), reach=40.0),
    "off every edge": Case(reach=60.0),
    "a million pixels away": Case(reach=1e6),
    "no offset": Case(reach=0.0),
}


def graph_of(case: Case) -> onnx.ModelProto:
    """`x`, `offset` and `mask` in, `y` out; weights inside."""
    random = np.random.default_rng(case.seed)
    outputs = case.outputs_per_group * case.group
    weight = random.normal(size=(outputs, case.channels // case.group, *case.kernel)).astype(np.float32)
    bias = random.normal(size=outputs).astype(np.float32)
    inputs = ["x", "weight", "offset", "bias" if case.bias else "", "mask" if case.mask else ""]
    node = helper.make_node(
        "DeformConv",
        inputs,
        ["y"],
        strides=case.stride,
        pads=case.padding,
        dilations=case.dilation,
        group=case.group,
        offset_group=case.offset_group,
    )
    shapes = {name: list(array.shape) for name, array in feed_of(case).items()}
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4 if case.dynamic else shape)
        for name, shape in shapes.items()
    ]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)
    constants = [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")]
    graph = helper.make_graph([node], "deform", values, [result], constants if case.bias else constants[:1])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def feed_of(case: Case) -> Feed:
    random = np.random.default_rng(case.seed + 1)
    taps = case.kernel[0] * case.kernel[1] * case.offset_group
    feed = {
        "x": random.normal(size=(case.batch, case.channels, *case.size)),
        "offset": random.normal(size=(case.batch, 2 * taps, *case.out_size)) * case.reach,
        "mask": random.random(size=(case.batch, taps, *case.out_size)) * 2,
    }
    kept = feed if case.mask else {name: feed[name] for name in ("x", "offset")}
    return {name: array.astype(np.float32) for name, array in kept.items()}


def run_graph(model: onnx.ModelProto, feed: Feed) -> npt.NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, feed)[0])


def lowered(model: onnx.ModelProto) -> onnx.ModelProto:
    proto = ir.to_proto(lower_deform(ir.from_proto(model)))
    assert isinstance(proto, onnx.ModelProto)
    onnx.checker.check_model(proto, full_check=True)
    assert not [node for node in proto.graph.node if node.op_type == "DeformConv"]
    return proto


def assert_equal(case: Case) -> None:
    model, feed = graph_of(case), feed_of(case)
    expected = run_graph(model, feed)
    np.testing.assert_allclose(run_graph(lowered(model), feed), expected, atol=1e-5 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("case", LOPSIDED.values(), ids=LOPSIDED)
def test_equals_native(case: Case, dynamic: bool) -> None:
    assert_equal(replace(case, dynamic=dynamic))


PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
CASES = st.builds(
    Case,
    batch=st.integers(1, 3),
    size=st.tuples(st.integers(7, 14), st.integers(7, 14)),
    kernel=PAIRS,
    stride=PAIRS,
    padding=st.tuples(*[st.integers(0, 3)] * 4),
    dilation=PAIRS,
    group=st.integers(1, 3),
    offset_group=st.integers(1, 3),
    mask=st.booleans(),
    bias=st.booleans(),
    dynamic=st.booleans(),
    reach=st.sampled_from([0.0, 0.3, 4.0, 30.0]),
    seed=st.integers(0, 5),
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(CASES)
def test_equals_native_whatever_the_sizes(case: Case) -> None:
    assert_equal(case)


def test_positions_that_are_no_numbers_read_nothing_outside() -> None:
    """A NaN offset spoils its own pixel and no other; it never indexes outside the feature map."""
    case = Case(dynamic=True)
    feed, clean = feed_of(case), feed_of(case)
    feed["offset"][0, :, 4, 5] = np.nan
    feed["offset"][0, :, 6, 7] = np.inf
    feed["offset"][0, :, 8, 9] = -np.inf
    model = lowered(graph_of(case))
    found, expected = run_graph(model, feed), run_graph(model, clean)
    touched = np.zeros(case.out_size, dtype=bool)
    touched[[4, 6, 8], [5, 7, 9]] = True
    np.testing.assert_array_equal(found[..., ~touched], expected[..., ~touched])
    assert np.isnan(found[0, :, 4, 5]).all()
    assert np.isfinite(found[0, :, 6, 7]).all(), "an infinite offset is outside the frame, where pixels are 0"


def test_layers_of_one_size_share_their_grid() -> None:
    """Two DeformConvs of one shape hold one row grid and one column grid between them."""
    model = graph_of(Case())
    twin = onnx.NodeProto()
    twin.CopyFrom(model.graph.node[0])
    twin.output[0] = "twin"
    model.graph.node.append(twin)
    model.graph.output.append(helper.make_tensor_value_info("twin", TensorProto.FLOAT, [None] * 4))
    grids = [tensor for tensor in lowered(model).graph.initializer if len(tensor.dims) == 5]
    assert sorted(tuple(tensor.dims) for tensor in grids) == [(1, 1, 17, 1, 9), (1, 13, 1, 1, 9)]


def test_computed_kernels_are_refused() -> None:
    model = graph_of(Case(bias=False))
    model.graph.node.insert(0, helper.make_node("Relu", ["weight"], ["positive"]))
    model.graph.node[1].input[1] = "positive"
    with pytest.raises(Failure, match="expected constants") as caught:
        lower_deform(ir.from_proto(model))
    assert caught.value.code == ExitCode.MODEL
