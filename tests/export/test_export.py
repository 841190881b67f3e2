"""The exported file: what it contains, that it computes what PyTorch does at any size, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import edgedeblur
from edgedeblur import ExitCode, Failure
from export.verify import compare, verification_frames
from training.checkpoint import load_network
from training.config import PRESETS
from training.evaluation.evaluate import torch_model
from training.synthesis.deadleaves import dead_leaves

Paths = Callable[[str], Path]


@pytest.mark.parametrize("preset", ["edge-n", "edge-s", "edge-m"])
def test_the_canonical_file(preset: str, exported: Paths) -> None:
    model = onnx.load(exported(preset))
    onnx.checker.check_model(model, full_check=True)
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 19)]
    readers = [node.op_type for node in model.graph.node if "frame" in node.input]
    assert readers == ["Cast"], "TensorRT takes no other operation on uint8"
    operators = {node.op_type for node in model.graph.node}
    assert "DeformConv" in operators
    assert "GridSample" not in operators
    properties = {item.key: item.value for item in model.metadata_props}
    assert properties["edgedeblur.schema"] == "1"
    assert properties["edgedeblur.preset"] == preset
    assert properties["edgedeblur.multiple_of"] == "{}x{}".format(*PRESETS[preset].multiple_of)
    assert properties["edgedeblur.val_psnr"] == "25.0000"
    assert b"site-packages" not in exported(preset).read_bytes(), "paths of the machine that exported it"


@pytest.mark.parametrize("size", [(17, 31), (16, 16), (33, 97), (270, 481), (1080, 1920)])
def test_any_size_runs_and_equals_pytorch(size: tuple[int, int], exported: Paths, checkpoint: Paths) -> None:
    session = onnxruntime.InferenceSession(exported("edge-n"), providers=["CPUExecutionProvider"])
    frame = dead_leaves(np.random.default_rng(1), size, leaves=100)
    sharp = session.run(None, {"frame": frame})[0]
    expected = torch_model(load_network(checkpoint("edge-n"))[0], "cpu")(frame)
    assert sharp.dtype == np.uint8
    assert np.abs(sharp.astype(int) - expected).max() <= 1
    assert np.abs(sharp.astype(int) - frame).mean() > 1, "random weights must change the frame"


def test_edges_are_not_darkened_by_padding(exported: Paths) -> None:
    # 33 x 49 pads by 15 and 15: the deblurred flat frame must stay nearly flat up to its borders.
    session = onnxruntime.InferenceSession(exported("edge-n"), providers=["CPUExecutionProvider"])
    flat = np.full((33, 49, 3), 130, np.uint8)
    assert session.run(None, {"frame": flat})[0].shape == flat.shape


def test_gather_form_has_standard_operators_only_and_agrees(checkpoint: Paths, tmp_path: Path) -> None:
    output = tmp_path / "gather.onnx"
    assert edgedeblur.main(["export", str(checkpoint("edge-n")), "--deform", "gather", "-o", str(output)]) == 0
    model = onnx.load(output)
    assert "DeformConv" not in {node.op_type for node in model.graph.node}
    assert {item.key: item.value for item in model.metadata_props}["edgedeblur.deform"] == "gather"


def test_a_graph_that_computes_something_else_is_refused(exported: Paths, checkpoint: Paths) -> None:
    network, _ = load_network(checkpoint("edge-n"))
    with torch.no_grad():
        network.decoders[0].head.bias += 0.02  # type: ignore[union-attr, operator]
    frames = verification_frames(None, network.config.min_size)
    with pytest.raises(Failure, match="nothing was written") as failure:
        compare(network, onnx.load(exported("edge-n")), frames)
    assert failure.value.code == ExitCode.QUALITY


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{}/none.pt"], 5, "does not exist"),
        (["{}/text.pt"], 5, "damaged or not a checkpoint"),
        (["{good}", "-o", "{}/m.engine"], 2, ".onnx"),
        (["{good}", "-o", "{}/there.onnx"], 2, "--force"),
        (["{good}", "-o", "{}/new.onnx", "--data", "{}/none"], 4, "not a folder"),
        (["{good}", "-o", "{}/new.onnx", "--data", "{}"], 4, "tiny.png is 5x9; expected at least 9x9"),
        (["{good}", "-o", "{}/text.pt/m.onnx"], 3, "cannot be written"),
    ],
)
def test_mistakes(
    arguments: list[str],
    code: int,
    message: str,
    checkpoint: Paths,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "there.onnx").write_text("not to be lost")
    cv2.imwrite(str(tmp_path / "tiny.png"), np.zeros((5, 9, 3), np.uint8))
    words = [word.format(tmp_path, good=checkpoint("edge-n")) for word in arguments]
    assert edgedeblur.main(["export", *words]) == code
    assert message in capsys.readouterr().err
    assert (tmp_path / "there.onnx").read_text() == "not to be lost"
