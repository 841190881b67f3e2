"""The ONNX Runtime session: what it runs and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgedeblur import ExitCode, Failure
from runtime.sessions.models import shipped_weights
from runtime.sessions.onnx_session import OnnxSession, load_failure
from runtime.sessions.session import check_size
from tests.runtime.stand_in import write_model


def test_a_model_runs_at_any_size(tmp_path: Path) -> None:
    session = OnnxSession(write_model(tmp_path / "half.onnx", gain=0.5), threads=1)

    @settings(max_examples=20, deadline=None)
    @given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 255))
    def check(height: int, width: int, value: int) -> None:
        frame = np.full((height, width, 3), value, np.uint8)
        sharp = session.infer(frame)
        assert sharp.shape == frame.shape
        assert sharp.dtype == np.uint8
        assert (sharp == round(value / 2)).all()

    check()
    assert session.min_size == (9, 9)
    assert "stand-in fp32" in session.describe()


def test_a_read_only_frame_is_taken_and_left_alone(model: Path) -> None:
    frame = np.arange(11 * 17 * 3, dtype=np.uint8).reshape(11, 17, 3)
    frame.flags.writeable = False
    assert (OnnxSession(model).infer(frame) == frame).all()


def other_model(path: Path, name: str = "frame", kind: int = TensorProto.UINT8, channels: int = 3) -> Path:
    ends = [helper.make_tensor_value_info(end, kind, ["h", "w", channels]) for end in (name, "sharp")]
    graph = helper.make_graph([helper.make_node("Identity", [name], ["sharp"])], "other", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), path)
    return path


@pytest.mark.parametrize(
    "wrong", [{"name": "image"}, {"kind": TensorProto.FLOAT}, {"channels": 1}], ids=["name", "type", "channels"]
)
def test_another_model_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(Failure, match=r"not one of ours: found .*expected one input 'frame'") as caught:
        OnnxSession(other_model(tmp_path / "other.onnx", **wrong))  # type: ignore[arg-type]
    assert caught.value.code == ExitCode.MODEL


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\x08\x09"], ids=["empty", "text", "header"])
def test_a_damaged_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(Failure, match="not a whole ONNX model") as caught:
        OnnxSession(path)
    assert caught.value.code == ExitCode.MODEL


def test_a_truncated_model_is_refused(tmp_path: Path, model: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(model.read_bytes()[:-150])
    with pytest.raises(Failure) as caught:
        OnnxSession(path)
    assert caught.value.code == ExitCode.MODEL


@pytest.mark.parametrize(("name", "advice"), [("m.pt", "edgedeblur export"), ("none.onnx", "does not exist")])
def test_other_files_get_their_own_advice(tmp_path: Path, name: str, advice: str) -> None:
    if name != "none.onnx":
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(Failure, match=advice) as caught:
        OnnxSession(tmp_path / name)
    assert caught.value.code == ExitCode.MODEL


def test_an_old_onnx_runtime_is_named() -> None:
    error = "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for DeformConv(19)"
    failure = load_failure("model 'edge-n.onnx'", RuntimeError(error), "1.20.1")
    assert failure.code == ExitCode.MODEL
    assert "1.20.1" in str(failure)
    assert ".gather.onnx" in str(failure)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("std::bad_alloc")])
def test_a_lack_of_memory_while_loading_has_its_own_code(error: Exception) -> None:
    assert load_failure("model 'edge-n.onnx'", error, "1.32.0").code == ExitCode.MEMORY


def test_a_graph_for_the_plugin_is_not_taken_for_the_standard_operator(tmp_path: Path) -> None:
    ends = [helper.make_tensor_value_info(end, TensorProto.UINT8, ["h", "w", 3]) for end in ("frame", "sharp")]
    node = helper.make_node("EdgeDeformConv2d", ["frame"], ["sharp"], domain="edgedeblur")
    graph = helper.make_graph([node], "plugin", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("edgedeblur", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "plugin.onnx")
    with pytest.raises(Failure, match=r"only in a TensorRT engine.*edgedeblur export") as caught:
        OnnxSession(tmp_path / "plugin.onnx")
    assert caught.value.code == ExitCode.MODEL


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="is a folder") as caught:
        OnnxSession(tmp_path)
    assert caught.value.code == ExitCode.MODEL


def test_a_fixed_size_model_names_its_size(tmp_path: Path, model: Path) -> None:
    proto = onnx.load(model)
    for end in (proto.graph.input[0], proto.graph.output[0]):
        for place, length in enumerate((20, 30)):
            end.type.tensor_type.shape.dim[place].dim_value = length
    onnx.save(proto, tmp_path / "fixed.onnx")
    session = OnnxSession(tmp_path / "fixed.onnx")
    assert session.infer(np.zeros((20, 30, 3), np.uint8)).shape == (20, 30, 3)
    with pytest.raises(Failure, match="frames of 30x20 only, these are 20x30"):
        session.infer(np.zeros((30, 20, 3), np.uint8))


def test_a_model_that_changes_the_shape_is_refused(tmp_path: Path) -> None:
    ends = [helper.make_tensor_value_info(end, TensorProto.UINT8, ["h", "w", 3]) for end in ("frame", "sharp")]
    node = helper.make_node("Concat", ["frame", "frame"], ["sharp"], axis=0)
    graph = helper.make_graph([node], "taller", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), tmp_path / "t.onnx")
    with pytest.raises(Failure) as caught:
        OnnxSession(tmp_path / "t.onnx").infer(np.zeros((10, 20, 3), np.uint8))
    assert caught.value.code == ExitCode.MODEL


def test_a_lack_of_memory_has_its_own_code(model: Path) -> None:
    class Starving:
        def run(self, *_: object) -> None:
            raise RuntimeError("bfc_arena.cc: Failed to allocate memory for requested buffer of size 4294967296")

    session = OnnxSession(model)
    session._session = Starving()
    with pytest.raises(Failure, match="out of memory on a frame of 17x11") as caught:
        session.infer(np.zeros((11, 17, 3), np.uint8))
    assert caught.value.code == ExitCode.MEMORY


@pytest.mark.parametrize(
    ("size", "words"),
    [((8, 40), "too small"), ((40, 8), "too small"), ((9, 20000), "too large"), ((16384, 16384), "GiB")],
)
def test_impossible_sizes_are_refused_before_inference(
    model: Path, size: tuple[int, int], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.sessions.session._free_bytes", lambda: 2**33)
    with pytest.raises(Failure, match=words) as caught:
        check_size(size, OnnxSession(model))
    assert caught.value.code == ExitCode.SOURCE


def test_auto_takes_the_best_form_this_machine_runs(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no shipped weights"):
        shipped_weights("edge-n", (1, 32), tmp_path)
    gather, native = tmp_path / "edge-n.gather.onnx", tmp_path / "edge-n.onnx"
    gather.touch()
    assert shipped_weights("edge-n", (1, 32), tmp_path)[0] == gather
    native.touch()
    assert shipped_weights("edge-n", (1, 32), tmp_path)[0] == native
    assert shipped_weights("edge-n", (1, 24), tmp_path)[0] == gather
    (tmp_path / "edge-s.onnx").touch()
    assert shipped_weights("edge-s", (1, 32), tmp_path)[0].name == "edge-s.onnx"
    with pytest.raises(Failure, match=r"no shipped weights 'edge-s' that ONNX Runtime 1\.24"):
        shipped_weights("edge-s", (1, 24), tmp_path)
