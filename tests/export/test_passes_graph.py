"""Fixing the size, renaming to the plugin's operator, and reading our ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edgedeblur import ExitCode, Failure
from export.passes import apply_passes, passes_for
from export.passes.fix_size import fix_size
from export.passes.model_file import load_model, model_bytes
from export.passes.rename_deform import PLUGIN_DOMAIN, PLUGIN_OP, rename_deform
from tests.engines.frame_graph import frame_graph

SIZES = [(64, 96), (61, 90), (17, 31)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize("deform", ["native", "gather"])
def test_fixed_graph_computes_the_same(deform: str, size: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    fixed = apply_passes(ir.from_proto(frame_graph()), passes_for(deform, "fp32", size))
    expected, found = (run(data, frame) for data in (frame_graph().SerializeToString(), model_bytes(fixed)))
    assert np.abs(expected.astype(int) - found).max() <= 1
    assert np.abs(expected.astype(int) - frame).mean() > 2, "the stand-in network must change the frame"


def run(data: bytes, frame: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"frame": frame})[0])


def test_fixed_graph_has_no_shape_arithmetic() -> None:
    model = apply_passes(ir.from_proto(frame_graph()), passes_for("gather", "fp32", (61, 90)))
    assert not {node.op_type for node in model.graph} & {"Shape", "Range", "Mod", "Neg", "ConstantOfShape"}
    assert all(value.shape is not None and value.shape.is_static() for node in model.graph for value in node.outputs)


def test_fixing_the_size_leaves_weights_alone() -> None:
    before = {tensor.name for tensor in frame_graph().graph.initializer if np.prod(tensor.dims) > 1024}
    model = fix_size(ir.from_proto(frame_graph()), (64, 96))
    assert before <= set(model.graph.initializers)


def test_plugin_nodes_say_what_the_parser_needs() -> None:
    """Name from the operator's type, version and namespace from attributes, the rest as plugin fields."""
    model = rename_deform(ir.from_proto(frame_graph()))
    nodes = [node for node in model.graph if node.op_type == PLUGIN_OP]
    fields = {name: attribute.value for name, attribute in nodes[0].attributes.items()}
    assert len(nodes) == 2
    assert (nodes[0].domain, len(nodes[0].inputs)) == (PLUGIN_DOMAIN, 5)
    assert (fields["plugin_version"], fields["plugin_namespace"]) == ("1", "edgedeblur")
    pairs = {name: tuple(fields[name]) for name in ("stride", "padding", "dilation")}
    assert pairs == {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1)}
    assert (fields["group"], fields["offset_group"]) == (1, 1)
    assert model.metadata_props["edgedeblur.deform"] == "plugin"
    model_bytes(model)  # the checker accepts it


def another_model() -> bytes:
    node = helper.make_node("Relu", ["x"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    return bytes(helper.make_model(helper.make_graph([node], "other", values[:1], values[1:])).SerializeToString())


def wrong_input() -> bytes:
    model = onnx.load_model_from_string(another_model())
    helper.set_model_props(model, {"edgedeblur.schema": "1"})
    return bytes(model.SerializeToString())


BAD = {
    "empty": (b"", "not a valid ONNX model"),
    "text": (b"this is not a model\n" * 40, "not a valid ONNX model"),
    "truncated": (frame_graph().SerializeToString()[:9000], "not a valid ONNX model"),
    "somebody else's": (another_model(), "not one that edgedeblur made"),
    "ours, wrong input": (wrong_input(), "expected one input 'frame'"),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_bad_files_are_model_failures(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(Failure, match=message) as caught:
        load_model(tmp_path / "m.onnx")
    assert caught.value.code == ExitCode.MODEL


def test_missing_files_are_model_failures(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "no.onnx", "does not exist"), (tmp_path, "is a folder")):
        with pytest.raises(Failure, match=message) as caught:
            load_model(path)
        assert caught.value.code == ExitCode.MODEL
