"""Engines on a GPU: built by whichever TensorRT is here, compared with ONNX Runtime, timed layer by layer.

Every engine is a process of its own (engine_case.py): TensorRT ending or hanging one must not cost the other checks.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.gpu.machine import Measured, SkipCheck, imported, torch_on_gpu

ROOT = Path(__file__).parents[2]
CASE = Path(__file__).with_name("engine_case.py")
WEIGHTS = ROOT / "runtime" / "weights"
SIZE = ("--size", "360x640")
RANGE = ("--min-size", "180x320", "--opt-size", "360x640", "--max-size", "368x656")
PRESETS = ("edge-n", "edge-s")
ENVIRONMENT = 3  # edgedeblur's exit code for what this machine lacks
LONGEST_S = {"tensorrt": 400, "tensorrt_rtx": 120}  # of one engine


def check_engines_of_tensorrt_in_fp32() -> Measured:
    """With our plugin and without, as far as it is to be had; edge-n and edge-s."""
    return _engines("tensorrt", "fp32", ("plugin", "gather"))


def check_engines_of_tensorrt_in_fp16() -> Measured:
    return _engines("tensorrt", "fp16", ("plugin", "gather"))


def check_engines_of_tensorrt_in_int8() -> Measured:
    return _engines("tensorrt", "int8", ("plugin", "gather"))


def check_engines_of_tensorrt_rtx_in_fp32() -> Measured:
    return _engines("tensorrt_rtx", "fp32", ("gather",))


def check_engines_of_tensorrt_rtx_in_fp16() -> Measured:
    return _engines("tensorrt_rtx", "fp16", ("gather",))


def check_engines_of_tensorrt_rtx_in_int8() -> Measured:
    return _engines("tensorrt_rtx", "int8", ("gather",))


def check_plugin_alone_in_an_engine() -> Measured:
    """The builder's probe as any file: one deformable convolution with offsets that reach far, FP32 and FP16."""
    _prepared("tensorrt")
    from engines.plugin_probe import NAME, SIZE, probe_bytes
    from engines.sizes import text_of

    onnx = Path(tempfile.mkdtemp(prefix="edgedeblur-gpu-")) / NAME
    onnx.write_bytes(probe_bytes())
    words = ("--size", text_of(SIZE), "--deform", "plugin", "--precision")
    return _verdict({precision: _case("tensorrt", onnx, *words, precision) for precision in ("fp32", "fp16")})


def check_engine_for_a_range_of_sizes() -> Measured:
    """One engine of edge-n for three sizes, by each toolkit that is here."""
    _prepared("onnxruntime")
    measured: Measured = {}
    for toolkit in LONGEST_S:
        try:
            imported(toolkit)
        except SkipCheck as reason:
            measured[toolkit] = str(reason)
        else:
            measured[toolkit] = _case(toolkit, WEIGHTS / "edge-n.onnx", *RANGE)
    return _verdict(measured)


def check_portable_engine_runs_here() -> Measured:
    """An engine that TensorRT-RTX builds for no GPU in particular. What a GPU that it does not list says is kept."""
    torch = torch_on_gpu()
    _prepared("tensorrt_rtx")
    from engines.toolkit import find_toolkit

    case = _case("tensorrt_rtx", WEIGHTS / "edge-n.onnx", *SIZE, "--compute-capability", "portable")
    sm = "{}{}".format(*torch.cuda.get_device_capability())
    listed = find_toolkit("tensorrt_rtx").capabilities
    if "failed" in case and sm not in listed:
        raise SkipCheck(f"TensorRT-RTX is for sm {', '.join(listed)}; tried on sm {sm}: {case['failed']}")
    return _verdict({"edge-n": case})


def _engines(toolkit: str, precision: str, forms: tuple[str, ...]) -> Measured:
    _prepared(toolkit)
    measured: Measured = {}
    for preset in PRESETS:
        onnx = WEIGHTS / f"{preset}.onnx" if precision != "int8" else _calibrated(preset)
        for form in forms:
            words = (*SIZE, "--precision", precision, "--deform", form)
            measured[f"{preset} {form}"] = _case(toolkit, onnx, *words)
    return _verdict(measured)


def _prepared(toolkit: str) -> None:
    torch_on_gpu()
    for name in (toolkit, "onnx", "onnx_ir", "onnxruntime", "tqdm"):
        imported(name)


@functools.cache
def _calibrated(preset: str) -> Path:
    """The preset in INT8, on frames of the moving scene. Raises SkipCheck when it cannot be made."""
    folder = Path(tempfile.mkdtemp(prefix="edgedeblur-gpu-"))
    output = folder / f"{preset}.int8.onnx"
    words = ["--data", "test://640x360", "--frames", "16", "--evaluations", "0", "--max-psnr-drop", "100"]
    command = [sys.executable, "-m", "edgedeblur", "calibrate", str(WEIGHTS / f"{preset}.onnx"), *words]
    done = subprocess.run([*command, "-o", str(output)], cwd=ROOT, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise SkipCheck(f"calibrate did not make an INT8 file: {_last(done.stderr)}")
    return output


def _case(toolkit: str, onnx: Path, *words: str) -> Measured:
    """What engine_case.py measured, or why it did not: `lacking` for what this machine has not, `failed` otherwise."""
    command = [sys.executable, str(CASE), toolkit, str(onnx), *words]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S[toolkit])
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {LONGEST_S[toolkit]} s"}
    if done.returncode:
        return {"failed": f"the process ended with {done.returncode}: {done.stderr[-1500:]}"}
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    if measured["reached"] == "done":
        return measured
    said = _last(done.stderr)
    return {"lacking": said} if measured["code"] == ENVIRONMENT else {"failed": said, **measured}


def _last(stderr: str) -> str:
    return (stderr.strip().splitlines() or ["nothing was said"])[-1]


def _verdict(measured: Measured) -> Measured:
    """`measured` when all went well. Raises AssertionError when one failed, SkipCheck when none could be made."""
    cases = {name: case for name, case in measured.items() if isinstance(case, dict)}
    failed = {name: case for name, case in cases.items() if "failed" in case}
    assert not failed, json.dumps(measured, indent=2)
    if all("lacking" in case for case in cases.values()):
        raise SkipCheck("; ".join(f"{name}: {case['lacking']}" for name, case in cases.items()) or str(measured))
    return measured
