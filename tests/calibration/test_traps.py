"""What ONNX Runtime does to INT8 graphs on CPUs without VNNI unless it is told not to."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from calibration.graph.layers import find_layers
from calibration.graph.quantise import quantise
from calibration.observers.watch import open_session
from runtime.sessions.onnx_session import session_options
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


def careless_sessions(source: str) -> list[int]:
    """Lines that open an InferenceSession with options that do not visibly ask for that.

    They must be session_options(…) itself, or a name that the same function was given it for or that it configures.
    """
    tree = ast.parse(source)
    scopes = [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))]
    found = []
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and called(call) == "InferenceSession":
            innermost = [scope for scope in scopes if call in ast.walk(scope)][-1]
            options = next((word.value for word in call.keywords if word.arg == "sess_options"), None)
            options = call.args[1] if len(call.args) > 1 else options
            is_ours = isinstance(options, ast.Call) and called(options) == "session_options"
            if not is_ours and not (isinstance(options, ast.Name) and options.id in careful_names(innermost)):
                found.append(call.lineno)
    return found


def called(call: ast.Call) -> str:
    """The last part of the name that is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def careful_names(scope: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(scope):
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and called(node.value) == "session_options"
        ):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            words = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            if node.func.attr == "add_session_config_entry" and words == ["session.disable_quant_qdq", "1"]:
                names.add(node.func.value.id)
    return names


@pytest.mark.parametrize(
    ("line", "careless"),
    [
        ("ort.InferenceSession(data, session_options(), providers=[])", False),
        ("InferenceSession(data, sess_options=session.session_options(2))", False),
        ("options = session_options(); InferenceSession(data, options)", False),
        ("options.add_session_config_entry('session.disable_quant_qdq', '1'); InferenceSession(data, options)", False),
        ("options.add_session_config_entry('session.disable_quant_qdq', '0'); InferenceSession(data, options)", True),
        ("other = session_options(); InferenceSession(data, options)", True),
        ("options = SessionOptions(); InferenceSession(data, options)", True),
        ("InferenceSession(data, providers=[])", True),
        ("session_options(); InferenceSession(data)", True),
        ("options = session_options()\n    lambda: InferenceSession(data, options)", False),
        ("options = session_options()\n    def inner(): InferenceSession(data, options)", True),
    ],
)
def test_careless_sessions_are_seen(line: str, careless: bool) -> None:
    assert careless_sessions(f"def outer(data, options):\n    {line}\noptions = session_options()") == [
        *[2 + line.count("\n")] * careless
    ]


def test_every_session_of_ours_asks_for_that() -> None:
    assert session_options().get_session_config_entry("session.disable_quant_qdq") == "1"
    root = Path(__file__).parents[2]
    stages = ("calibration", "engines", "runtime", "export", "training")
    sources = {path.relative_to(root): path.read_text() for stage in stages for path in (root / stage).rglob("*.py")}
    careless = {str(path): len(lines) for path, text in sources.items() if (lines := careless_sessions(text))}
    # The export's own check runs FP32 graphs only; the comparison of toolkits also shows what a user sees by default.
    assert careless == {"export/verify.py": 1, "calibration/toolkit_figures.py": 1}
    assert sum("InferenceSession(" in text for text in sources.values()) >= 6


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
