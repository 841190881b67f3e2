"""The FP16 body: what stays FP32, that types fit everywhere, and that the error is no more than FP16 costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgedeblur import Failure
from export.passes import apply_passes, half, half_regions, passes_for
from export.passes.graph_tools import COMPUTE_KEY
from export.passes.half import to_half
from export.passes.half_regions import LONGEST_FP16_SUM
from export.passes.model_file import model_bytes
from export.passes.rename_deform import PLUGIN_OP
from tests.engines.frame_graph import frame_graph

SIZE = (48, 72)  # of the coarse map's 12x18 = 216 positions, fewer than make a long sum
WIDE = (32, 1280)


@pytest.fixture(scope="module")
def frame() -> npt.NDArray[np.uint8]:
    return smooth_frame(SIZE)


def smooth_frame(size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Smooth like a photograph: noise would make every sampling error look alike."""
    coarse = np.random.default_rng(3).random((size[0] // 8 + 1, size[1] // 8 + 1, 3))
    fine = np.kron(coarse, np.ones((8, 8, 1)))[: size[0], : size[1]]
    for axis in (0, 1):
        fine = np.mean([np.roll(fine, shift, axis) for shift in range(-4, 5)], axis=0)
    return (fine * 255).astype(np.uint8)


def converted(deform: str, precision: str, size: tuple[int, int] | None = None) -> onnx.ModelProto:
    model = apply_passes(ir.from_proto(frame_graph()), passes_for(deform, precision, size))
    return onnx.load_model_from_string(model_bytes(model))


def pixels(model: onnx.ModelProto, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The output before rounding, in grey levels: rounding to uint8 would hide the error measured here."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    before = next(node.input[0] for node in model.graph.node if node.op_type == "Round")
    probe.graph.output.append(helper.make_tensor_value_info(before, TensorProto.FLOAT, [None] * 3))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of Casts it adds where the CPU has no FP16 kernel
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run([before], {"frame": frame})[0], dtype=np.float32)


def rms(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(found - expected))))


def with_rounded_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """FP32 arithmetic on weights that FP16 can hold: the least that FP16 costs."""
    rounded = onnx.ModelProto()
    rounded.CopyFrom(model)
    for tensor in rounded.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            array = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return rounded


def nodes_of(model: onnx.ModelProto, op_type: str) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == op_type]


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model)
    found = {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    found |= {value.name: value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    return found | {tensor.name: tensor.data_type for tensor in model.graph.initializer}


@pytest.mark.parametrize("deform", ["native", "gather"])
@pytest.mark.parametrize("size", [None, SIZE], ids=["dynamic", "fixed"])
def test_error_is_what_fp16_costs(deform: str, size: tuple[int, int] | None, frame: npt.NDArray[np.uint8]) -> None:
    exact = pixels(frame_graph(), frame)
    cost = rms(pixels(with_rounded_weights(frame_graph()), frame), exact)
    error = rms(pixels(converted(deform, "fp16", size), frame), exact)
    assert 0 < error <= 3 * cost, f"{error:.4f} grey levels; rounding the weights alone costs {cost:.4f}"


def test_positions_in_fp16_would_cost_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason for FP32 positions: on a wide frame FP16 ones are off by up to half a pixel."""
    wide = smooth_frame(WIDE)
    exact = pixels(frame_graph(), wide)
    ours = rms(pixels(converted("gather", "fp16", WIDE), wide), exact)
    forget_marks(monkeypatch)
    naive = rms(pixels(converted("gather", "fp16", WIDE), wide), exact)
    assert ours < naive / 3


def forget_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: Callable[[ir.Graph], set[ir.Node]] = half_regions.fp32_nodes

    def without_marks(graph: ir.Graph) -> set[ir.Node]:
        return {node for node in chosen(graph) if COMPUTE_KEY not in node.metadata_props}

    monkeypatch.setattr(half, "fp32_nodes", without_marks)


def test_everything_that_is_heavy_is_half() -> None:
    model = converted("gather", "fp16", SIZE)
    types = types_of(model)
    heavy = [node for op_type in ("Conv", "MatMul", "Relu", "Resize") for node in nodes_of(model, op_type)]
    assert {types[node.output[0]] for node in heavy} == {TensorProto.FLOAT16}
    tables = [node for node in nodes_of(model, "Gather") if types[node.output[0]] == TensorProto.FLOAT16]
    assert len(tables) == 8, "two deformable convolutions read four corners each, in FP16"


def test_floors_and_pixels_are_fp32() -> None:
    model = converted("gather", "fp16", SIZE)
    types = types_of(model)
    for op_type in ("Floor", "Round", "Clip", "Div", "Slice"):
        assert {types[node.output[0]] for node in nodes_of(model, op_type)} == {TensorProto.FLOAT}, op_type
    scales = [node.input[2] for node in nodes_of(model, "Resize")]
    assert {types[name] for name in scales} == {TensorProto.FLOAT}


@pytest.mark.parametrize(("size", "kept"), [(SIZE, False), ((192, 256), True), (None, True)])
def test_long_sums_are_fp32(size: tuple[int, int] | None, kept: bool) -> None:
    """Softmax over positions, and the product that sums over them: FP32 when there are, or may be, many."""
    model = converted("native", "fp16", size)
    types = types_of(model)
    long = [node for node in nodes_of(model, "Softmax") if helper.get_node_attr_value(node, "axis") == 2]
    short = [node for node in nodes_of(model, "Softmax") if helper.get_node_attr_value(node, "axis") == 1]
    assert {types[node.output[0]] for node in long} == {TensorProto.FLOAT if kept else TensorProto.FLOAT16}
    assert {types[node.output[0]] for node in short} == {TensorProto.FLOAT16}
    products = [types[node.output[0]] for node in nodes_of(model, "MatMul")]
    assert products.count(TensorProto.FLOAT) == (2 if kept else 0)
    assert SIZE[0] * SIZE[1] // 16 < LONGEST_FP16_SUM < 192 * 256 // 16


def test_native_deform_is_an_fp32_island() -> None:
    model = converted("native", "fp16")
    types = types_of(model)
    for node in nodes_of(model, "DeformConv"):
        assert {types[name] for name in node.input} == {TensorProto.FLOAT}


def test_plugin_takes_fp32_offsets_and_fp16_features() -> None:
    model = ir.from_proto(frame_graph())
    model = apply_passes(model, passes_for("plugin", "fp16", SIZE))
    plugins = [node for node in model.graph if node.op_type == PLUGIN_OP]
    half_type, float_type = ir.DataType.FLOAT16, ir.DataType.FLOAT
    for node in plugins:
        kinds = [value.dtype for value in node.inputs if value is not None]
        assert kinds == [half_type, half_type, float_type, half_type, half_type]
        assert node.outputs[0].dtype == half_type
    assert len(plugins) == 2


def test_contract_does_not_change() -> None:
    model = converted("gather", "fp16")
    shapes = [
        (value.name, value.type.tensor_type.elem_type, [dim.dim_param or dim.dim_value for dim in dims(value)])
        for value in (*model.graph.input, *model.graph.output)
    ]
    frame_shape: list[Any] = ["height", "width", 3]
    assert shapes == [("frame", TensorProto.UINT8, frame_shape), ("sharp", TensorProto.UINT8, frame_shape)]
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == 19
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert (metadata["edgedeblur.precision"], metadata["edgedeblur.deform"]) == ("fp16", "gather")
    assert nodes_of(model, "Cast")[0].input[0] == "frame"


def dims(value: onnx.ValueInfoProto) -> Any:
    return value.type.tensor_type.shape.dim


def test_weights_too_large_for_fp16_are_refused() -> None:
    model = frame_graph()
    tensor = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    tensor.CopyFrom(numpy_helper.from_array(np.full(tensor.dims, 1e5, np.float32), tensor.name))
    with pytest.raises(Failure, match="65504"):
        to_half(ir.from_proto(model))
