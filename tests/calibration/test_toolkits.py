"""The side-by-side benchmark: what it measures, and the one toolkit that comes with ONNX Runtime."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from calibration.frames.choose import Sample
from calibration.graph.forms import Graphs
from calibration.measure.sets import EvaluationSet, evaluation_set
from calibration.toolkit_figures import HEADS, SET_HEADS, checked, figures, one_line
from calibration.toolkits import Placement, Reader, frames_of_one_size, int8_bytes, variants
from edgedeblur import ExitCode, Failure
from export.passes.model_file import load_model, model_bytes

Paths = Callable[[str], Path]


@pytest.fixture(scope="module")
def graphs(exported: Paths) -> Graphs:
    return Graphs(load_model(exported("edge-n")), "gather")


@pytest.fixture(scope="module")
def pairs(graphs: Graphs) -> EvaluationSet:
    """Three lopsided pairs of noise, the sharp frame a bit off the blurred one."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (48, 80, 3), np.uint8) for _ in range(3)]
    samples = [Sample(image, str(place), image ^ np.uint8(8)) for place, image in enumerate(images)]
    return evaluation_set("noise", samples, graphs.fp32()[0])


def measured(data: bytes, pairs: EvaluationSet) -> dict[str, str]:
    return dict(zip((*HEADS, *SET_HEADS), figures(data, [pairs]), strict=True))


def test_fp32_loses_nothing(graphs: Graphs, pairs: EvaluationSet) -> None:
    found = measured(model_bytes(graphs.fp32()[0]), pairs)
    assert found.pop("TensorRT-RTX") in ("builds", "not installed")
    assert list(found.values()) == ["0%", "FP32", "valid", "0.00 / 0.00", "100.0", "0.00"]


@pytest.mark.parametrize("method", ["MinMax", "Percentile"])
def test_a_real_toolkit_is_measured(method: str, graphs: Graphs, pairs: EvaluationSet) -> None:
    ours = next(placement for _, _, placement in variants(graphs.layers) if placement.only)
    frames = [sample.image for sample in pairs.samples]
    seconds, data = int8_bytes("onnxruntime", method, ours, model_bytes(graphs.fp32()[0]), frames)
    found = measured(data, pairs)
    assert seconds > 0
    assert 60 < int(found["INT8 MACs"].rstrip("%")) < 90
    assert (found["body"], found["onnx.checker"]) == ("FP32", "valid")
    assert found["TensorRT-RTX"] in ("builds", "not installed")
    mean, worst = (float(part) for part in found["drop mean / worst"].split(" / "))
    assert mean <= worst
    assert 20 < float(found["to FP32"]) < 80


def test_placements_part_the_layers(graphs: Graphs) -> None:
    placements = [placement for _, _, placement in variants(graphs.layers)]
    excluded = {name for placement in placements for name in placement.exclude}
    only = {name for placement in placements for name in placement.only}
    weighted = {str(node.name) for node in graphs.fp32()[0].graph if node.op_type == "Conv"}
    assert weighted < excluded | only, "the matrix products of deformable convolutions come on top"
    assert not excluded & only


def test_a_toolkit_that_is_not_there_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modelopt", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        int8_bytes("modelopt", "max", Placement("default"), b"", [np.zeros((8, 9, 3), np.uint8)])
    assert one_line(caught.value).startswith("ModuleNotFoundError: ")


def test_the_checker_is_heard(graphs: Graphs) -> None:
    model = onnx.load_model_from_string(model_bytes(graphs.fp32()[0]))
    next(node for node in model.graph.node if node.op_type == "Conv").input[0] = "nobody"
    assert "nobody" in checked(model.SerializeToString())


def test_the_reader_starts_again() -> None:
    frames = [np.full((2, 3, 3), value, np.uint8) for value in (1, 2)]
    reader = Reader(frames)
    for _ in range(2):
        assert [feed["frame"][0, 0, 0] for feed in iter(reader.get_next, None)] == [1, 2]
        reader.rewind()


def test_frames_of_two_sizes_are_refused(tmp_path: Path) -> None:
    for name, width in (("a.png", 30), ("b.png", 40)):
        cv2.imwrite(str(tmp_path / name), np.zeros((20, width, 3), np.uint8))
    with pytest.raises(Failure, match="2 sizes") as caught:
        frames_of_one_size(str(tmp_path))
    assert caught.value.code == ExitCode.SOURCE
