"""What ONNX Runtime does to INT8 graphs on CPUs without VNNI unless it is told not to."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from calibration.graph.layers import find_layers
from calibration.graph.quantise import quantise
from calibration.observers.watch import open_session
from runtime.onnx_session import session_options
from tests.calibration.small_graphs import loaded, residual_graph, weights

WHITE = np.full((16, 22, 3), 255, np.uint8)


def saturating() -> ir.Model:
    """Every product of `block.first` is 127 x 127: two of them, added in 16 bits as AVX2 does, are too many."""
    arrays = weights()
    arrays["network.stem.weight"] = np.zeros_like(arrays["network.stem.weight"])
    arrays["network.stem.bias"] = np.ones(8, np.float32)
    arrays["network.block.first.weight"] = np.ones((8, 8, 3, 3), np.float32)
    arrays["network.block.first.bias"] = np.zeros(8, np.float32)
    model = loaded(residual_graph(arrays))
    quantise(model, [layer for layer in find_layers(model) if layer.name == "block.first"], {"x0": 1.0})
    return model


def first_output(session: onnxruntime.InferenceSession, name: str) -> float:
    return float(session.run([name], {"frame": WHITE})[0][0, 0, 4, 4])


def test_int8_is_computed_as_it_is_written() -> None:
    model = saturating()
    name = str(next(node for node in model.graph if node.name == "block.first").outputs[0].name)
    found = first_output(open_session(model, [name]), name)
    scale = np.float32(np.float16(1 / 127)) * 127
    assert found == pytest.approx(72 * scale * scale, rel=1e-6)


def test_every_session_of_ours_asks_for_that() -> None:
    assert session_options().get_session_config_entry("session.disable_quant_qdq") == "1"
    root = Path(__file__).parents[2]
    stages = ("calibration", "engines", "runtime", "export", "training")
    sources = {path: path.read_text() for stage in stages for path in (root / stage).rglob("*.py")}
    makers = {path for path, text in sources.items() if "InferenceSession(" in text}
    careful = {path for path in makers if re.search(r"session_options\(|disable_quant_qdq", sources[path])}
    # The export's own check runs FP32 graphs only; the comparison of toolkits also shows what a user sees by default.
    assert {path.name for path in makers - careful} <= {"verify.py", "toolkit_figures.py"}
    assert len(careful) >= 4


def test_without_it_this_cpu_may_saturate() -> None:
    """Holds the trap where the CPU has it: AVX2 without VNNI. Elsewhere the default is right as well."""
    model = saturating()
    name = str(next(node for node in model.graph if node.name == "block.first").outputs[0].name)
    proto = ir.serde.serialize_model(model)
    proto.graph.output.add().name = name
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    exact, found = first_output(open_session(model, [name]), name), first_output(session, name)
    flags = Path("/proc/cpuinfo").read_text()
    if "avx2" in flags and "vnni" not in flags:
        assert found < 0.9 * exact
    else:
        assert found == pytest.approx(exact, rel=1e-3)
