"""Calibration: histograms against direct computation, Q/DQ as TensorRT wants it, and the gate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgedeblur
from calibration.frames import calibration_frames
from calibration.histogram import LEVELS, Histogram

Paths = Callable[[str], Path]
SOURCE = "test://96x64"
WEIGHTS = Path(edgedeblur.__file__).parent / "runtime" / "weights"


@pytest.fixture(scope="module")
def quantised(exported: Paths, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """edge-n with random weights as INT8."""
    output = tmp_path_factory.mktemp("int8") / "edge-n.int8.onnx"
    words = ["calibrate", str(exported("edge-n")), "--data", SOURCE, "--frames", "3", "-o", str(output)]
    assert edgedeblur.main([*words, "--min-psnr", "25"]) == 0
    return output


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=200), st.integers(1, 5))
def test_histogram_keeps_every_value_in_bounded_memory(values: list[float], parts: int) -> None:
    array = np.array(values, np.float32)
    histogram = Histogram()
    for part in np.array_split(array, parts):
        histogram.add(part)
    largest = float(np.abs(array).max())
    assert histogram.minmax() == largest
    if largest > 0:
        nonzero_from = next(i for i, p in enumerate(np.array_split(array, parts)) if np.abs(p).max(initial=0) > 0)
        counted = np.concatenate(np.array_split(array, parts)[nonzero_from:]).size
        assert counted <= histogram.counts.sum() <= array.size
        assert histogram.percentile(1.0) == pytest.approx(largest, rel=2e-3)
        assert 0 < histogram.mse() <= largest * (1 + 1e-6)


def test_mse_clips_an_outlier_that_minmax_keeps() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate((rng.normal(0, 1, 100_000), [60.0])).astype(np.float32)
    histogram = Histogram()
    histogram.add(values)

    def error(largest: float) -> float:
        step = largest / LEVELS
        restored = np.clip(np.rint(values / step), -LEVELS, LEVELS) * step
        return float(np.mean((restored - values) ** 2))

    direct = min(60.0 * np.linspace(0.15, 1, 64), key=error)
    assert error(histogram.mse()) <= 1.1 * error(direct)
    assert error(histogram.mse()) < error(histogram.minmax())


def test_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not a number"):
        Histogram().add(np.array([1.0, np.nan], np.float32))


def test_the_graph_is_what_tensorrt_takes(quantised: Path) -> None:
    model = onnx.load(quantised)
    onnx.checker.check_model(model, full_check=True)
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    scaled = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(scaled) > 20
    for node in scaled:
        assert constants[node.input[2]].dtype == np.int8
        assert not constants[node.input[2]].any(), "TensorRT takes zero-point 0 only"
        assert (constants[node.input[1]] > 0).all()
    makers = {name: node for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    int8 = [node for node in convolutions if makers.get(node.input[1]) is not None]
    assert all(makers[node.input[0]].op_type == "DequantizeLinear" for node in int8)
    assert 0 < len(int8) < len(convolutions)
    # Weights are restored to within half a step of each channel's scale.
    assert {item.key: item.value for item in model.metadata_props}["edgedeblur.precision"] == "int8"


def test_positions_first_and_last_layers_stay_fp32(quantised: Path) -> None:
    model = onnx.load(quantised)
    makers = {name: node for node in model.graph.node for name in node.output}
    for deform in (node for node in model.graph.node if node.op_type == "DeformConv"):
        offset = makers[deform.input[2]]
        assert offset.op_type == "Conv"
        assert offset.input[1] not in makers, "the offsets' convolution has FP32 weights"
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert convolutions[0].input[1] not in makers
    assert convolutions[-1].input[1] not in makers


def test_int8_is_close_and_not_the_same(quantised: Path, exported: Paths) -> None:
    frame = calibration_frames(SOURCE, 1)[0]
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    int8, fp32 = (
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, {"frame": frame})[0]
        for path in (quantised, exported("edge-n"))
    )
    difference = np.abs(int8.astype(int) - fp32)
    assert 0 < difference.mean() < 3


def test_frames_are_spread_over_the_data(tmp_path: Path) -> None:
    for index in range(23):
        cv2.imwrite(str(tmp_path / f"{index:02}.png"), np.full((20, 30, 3), index * 10, np.uint8))
    chosen = [int(frame[0, 0, 0]) // 10 for frame in calibration_frames(str(tmp_path), 4)]
    assert chosen[0] == 0
    assert chosen[-1] >= 16
    assert len(chosen) == 4


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["{model}", "--data", SOURCE, "--frames", "1", "--min-psnr", "90"], 6, "was not written"),
        (["{model}", "--data", SOURCE, "--min-psnr", "nan"], 2, "--min-psnr is nan"),
        (["{model}", "--data", SOURCE, "-o", "{model}"], 2, "{model}"),
        (["{model}", "--data", SOURCE, "-o", "{int8}"], 2, "--force"),
        (["{model}", "--data", SOURCE, "-o", "{tmp}/best.pt"], 2, ".onnx"),
        (["{gather}", "--data", SOURCE], 5, "deform gather; expected"),
        (["{model}", "--data", "{tmp}/tiny"], 4, "tiny.png of"),
        (["{model}", "--data", "test://640x360", "--frames", "100000"], 2, "too many to hold"),
        (["{int8}", "--data", SOURCE], 5, "is precision int8, deform native; expected"),
        (["{tmp}/none.onnx", "--data", SOURCE], 5, "does not exist"),
        (["{model}", "--data", "{tmp}"], 4, "picture"),
        (["{model}", "--data", SOURCE, "--frames", "0"], 2, "--frames is 0"),
        (
            ["{model}", "--data", SOURCE, "--frames", "1", "--min-psnr", "0", "-o", "/proc/x.onnx"],
            3,
            "cannot be written",
        ),
    ],
)
def test_mistakes(
    words: list[str],
    code: int,
    message: str,
    exported: Paths,
    quantised: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out" / "m.onnx"
    (tmp_path / "tiny").mkdir()
    cv2.imwrite(str(tmp_path / "tiny" / "tiny.png"), np.zeros((5, 9, 3), np.uint8))
    names = {"model": exported("edge-n"), "int8": quantised, "tmp": tmp_path, "gather": WEIGHTS / "edge-n.gather.onnx"}
    kept = {name: names[name].read_bytes() for name in ("model", "int8")}
    filled = [word.format(**names) for word in words]
    assert edgedeblur.main(["calibrate", "-o", str(output), *filled]) == code
    assert message.format(**names) in capsys.readouterr().err
    assert not output.exists()
    assert all(names[name].read_bytes() == data for name, data in kept.items())
