"""What build refuses: each with a message that says what to do, its exit code, and no traceback."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import onnx
import onnx_ir as ir
import pytest
from onnx import helper

import edgedeblur
from edgedeblur import ExitCode, Failure
from engines import toolkit
from engines.build_command import _capabilities
from engines.errors import build_failure
from engines.sizes import check_sizes, parse_sizes
from engines.toolkit import Toolkit, find_toolkit
from export.passes import apply_passes, passes_for
from export.passes.model_file import model_bytes
from runtime.sessions.gpu import Gpu
from runtime.sessions.size_range import fixed_size
from tests.engines.frame_graph import frame_graph

ORIN = Gpu("Orin", 87, True)


def code_of(*arguments: object) -> int:
    return edgedeblur.main(["build", *map(str, arguments)])


def test_files_that_are_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.onnx").write_text("not a model\n" * 100)
    (tmp_path / "empty.onnx").write_bytes(b"")
    for name, message in (("text", "not a valid"), ("empty", "not a valid"), ("none", "does not exist")):
        assert code_of(tmp_path / f"{name}.onnx", "--size", "64x96") == ExitCode.MODEL
        error = capsys.readouterr().err
        assert message in error
        assert "edgedeblur export" in error
        assert "Traceback" not in error


def test_model_of_another_precision(onnx_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = frame_graph()
    for found, asked in (("bf16", ()), ("fp16", ("--fp32",)), ("fp16", ("--int8",)), ("int8", ("--fp16",))):
        helper.set_model_props(model, {"edgedeblur.schema": "1", "edgedeblur.precision": found})
        onnx.save(model, onnx_file)
        assert code_of(onnx_file, "--size", "64x96", *asked) == ExitCode.MODEL
        assert f"is {found}" in capsys.readouterr().err


def test_int8_of_a_graph_that_was_not_calibrated(onnx_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(onnx_file, "--size", "64x96", "--int8") == ExitCode.MODEL
    assert "edgedeblur calibrate" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["4x96", "64x4", "100000x100000", "64", "64,96", "0x0", "-64x96", "64x96x3", "axb"])
def test_sizes(onnx_file: Path, size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(onnx_file, f"--size={size}") == ExitCode.USAGE
    assert "--size is" in capsys.readouterr().err


def test_size_is_height_by_width() -> None:
    assert parse_sizes("720x1280", None, None, None) == fixed_size((720, 1280))
    with pytest.raises(Failure, match="9x17"):
        check_sizes(fixed_size((17, 9)), {"edgedeblur.min_size": "9x17"})
    check_sizes(fixed_size((9, 17)), {"edgedeblur.min_size": "9x17"})


@pytest.mark.parametrize("option", ["--workspace", "--min-psnr"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_numbers_that_are_not_finite(
    onnx_file: Path, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(onnx_file, "--size", "64x96", f"{option}={value}") == ExitCode.USAGE
    assert f"{option} is {value}" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["-1", "0", "1025", "1e30"])
def test_workspace(onnx_file: Path, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(onnx_file, "--size", "64x96", f"--workspace={value}") == ExitCode.USAGE
    assert "at most 1024" in capsys.readouterr().err


def test_a_timing_cache_is_never_written_over_something_else(
    onnx_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = onnx_file.read_bytes()
    assert code_of(onnx_file, "--size", "64x96", f"--timing-cache={onnx_file}") == ExitCode.USAGE
    assert "ending in .timing" in capsys.readouterr().err
    assert onnx_file.read_bytes() == before


def test_calibration_that_is_not_json(rtx: None, onnx_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = frame_graph()
    helper.set_model_props(model, {"edgedeblur.schema": "1", "edgedeblur.calibration": "mse, 32 frames"})
    onnx.save(model, onnx_file)
    assert code_of(onnx_file, "--size", "64x96", "--toolkit", "tensorrt_rtx") == ExitCode.MODEL
    assert "make it with edgedeblur calibrate" in capsys.readouterr().err


def test_compute_capability(rtx: None, onnx_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--size", "64x96", "--toolkit", "tensorrt_rtx", "--compute-capability")
    assert code_of(onnx_file, *options, "90") == ExitCode.USAGE
    assert "takes one or more of" in capsys.readouterr().err


def test_turing_in_fp32(rtx: None, onnx_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--size", "64x96", "--fp32", "--toolkit", "tensorrt_rtx", "--compute-capability", "75")
    assert code_of(onnx_file, *options) == ExitCode.MODEL
    assert "leave 75 out" in capsys.readouterr().err
    assert [path.name for path in onnx_file.parent.rglob("*") if path.is_file()] == ["m.onnx"]


def test_unwritable_folder(rtx: None, onnx_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    options = ("--size", "64x96", "--toolkit", "tensorrt_rtx", "--engine-dir", tmp_path / "file")
    assert code_of(onnx_file, *options, "--compute-capability", "portable") == ExitCode.ENVIRONMENT
    assert "choose another place" in capsys.readouterr().err


def test_plugin_operator_without_a_toolkit_for_it(
    rtx: None, onnx_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A graph that has our plugin's operator already, given to TensorRT-RTX: what to give instead."""
    model = apply_passes(ir.from_proto(frame_graph()), passes_for("plugin", "fp32"))
    onnx_file.write_bytes(model_bytes(model))
    assert code_of(onnx_file, "--size", "64x96", "--toolkit", "tensorrt_rtx") == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "tensorrt_rtx takes no plugins" in said
    assert "give build the file that export wrote" in said


@pytest.mark.parametrize(
    ("said", "meaning", "code"),
    [
        ("[optimizer.cpp] Could not find any implementation for node conv_7", "usually memory", ExitCode.MEMORY),
        ("[defaultAllocator] Cuda out of memory", "memory ran out", ExitCode.MEMORY),
        ("Version tag does not match. Note: Current Version: 239", "another TensorRT", ExitCode.MODEL),
        ("Plugin not found, are the plugin name, version", "plugin is not loaded", ExitCode.MODEL),
        ("something never seen before", "something never seen before", ExitCode.MODEL),
    ],
)
def test_messages_are_translated(said: str, meaning: str, code: ExitCode) -> None:
    failure = build_failure("building the engine", [said])
    assert meaning in str(failure)
    assert said.split("]")[-1].strip() in str(failure), "TensorRT's own words stay"
    assert failure.code == code


def installed(monkeypatch: pytest.MonkeyPatch, names: set[str], gpu: Gpu | None) -> None:
    """Pretend that these toolkits and this GPU are here."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in names else None)
    module = SimpleNamespace(__version__="10.3.0")
    monkeypatch.setattr(importlib, "import_module", lambda name: module)
    monkeypatch.setattr(toolkit, "find_gpu", lambda: gpu)


def test_toolkit_is_chosen_by_what_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, {"tensorrt", "tensorrt_rtx"}, ORIN)
    assert find_toolkit().name == "tensorrt"
    installed(monkeypatch, {"tensorrt", "tensorrt_rtx"}, None)
    assert find_toolkit().name == "tensorrt_rtx", "tensorrt cannot build without a GPU"


@pytest.mark.parametrize(
    ("names", "asked", "message"),
    [
        (set(), "auto", "neither tensorrt nor tensorrt_rtx"),
        ({"tensorrt"}, "auto", "no GPU"),
        ({"tensorrt"}, "tensorrt_rtx", "'tensorrt_rtx' is not installed"),
        ({"tensorrt"}, "tensorrt", "this machine has none"),
    ],
)
def test_toolkit_that_is_not_here(names: set[str], asked: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, names, None)
    with pytest.raises(Failure, match=message) as caught:
        find_toolkit(asked)
    assert caught.value.code == ExitCode.ENVIRONMENT


def fake_toolkit(gpu: Gpu | None, *capabilities: str) -> Toolkit:
    enum = SimpleNamespace(__members__=dict.fromkeys((*capabilities, "CURRENT", "NONE")))
    module = SimpleNamespace(ComputeCapability=enum) if capabilities else SimpleNamespace()
    return Toolkit(module, "tensorrt_rtx" if capabilities else "tensorrt", "1.7", gpu)


def test_compute_capabilities() -> None:
    """By default this machine's GPU; without one all but Turing; tensorrt only ever builds for its own."""
    ada = Gpu("RTX 4090", 89, False)
    assert _capabilities("auto", fake_toolkit(ada, "SM75", "SM89", "SM120")) == ("89",)
    assert _capabilities("auto", fake_toolkit(None, "SM75", "SM120", "SM89")) == ("89", "120")
    assert _capabilities("120,89,89", fake_toolkit(ada, "SM89", "SM120")) == ("89", "120")
    assert _capabilities("auto", fake_toolkit(ORIN)) == ()
    with pytest.raises(Failure, match="does not build for Orin"):
        _capabilities("auto", fake_toolkit(ORIN, "SM86", "SM89"))
    with pytest.raises(Failure, match="own GPU"):
        _capabilities("86", fake_toolkit(ORIN))
