"""Models: which model file `--model` means on this machine."""

from __future__ import annotations

from pathlib import Path

from edgedeblur import ExitCode, Failure
from runtime.onnx_session import OnnxSession

WEIGHTS = Path(__file__).parent / "weights"
SHIPPED = ("edge-n", "edge-s")
DEFORM_CONV_SINCE = (1, 25)  # the first ONNX Runtime whose CPU provider has DeformConv


def open_session(model: str, threads: int = 0) -> tuple[OnnxSession, str]:
    """The session for `--model`, a file, the name of shipped weights or `auto`, and why this model.

    Raises: Failure (MODEL) when there is no such model or it cannot be run here.
    """
    if model != "auto" and model not in SHIPPED:
        return OnnxSession(Path(model), threads), "as asked"
    # auto: whatever the machine, edge-n is the one that a CPU may run in real time.
    path, why = shipped_weights("edge-n" if model == "auto" else model, _onnxruntime_version())
    return OnnxSession(path, threads), why


def shipped_weights(name: str, version: tuple[int, int], weights: Path = WEIGHTS) -> tuple[Path, str]:
    """The form of the shipped weights `name` that ONNX Runtime `version` (major, minor) can run, and why."""
    native, gather = weights / f"{name}.onnx", weights / f"{name}.gather.onnx"
    text = ".".join(map(str, version))
    if version >= DEFORM_CONV_SINCE and native.is_file():
        return native, f"shipped weights; ONNX Runtime {text} has DeformConv"
    if gather.is_file():
        return gather, f"shipped weights in the form of standard operations, which ONNX Runtime {text} can run"
    raise Failure(
        f"no shipped weights '{name}' that ONNX Runtime {text} can run in '{weights}'; expected "
        f"{'.'.join(map(str, DEFORM_CONV_SINCE))} or newer for those, or give --model MODEL.onnx",
        ExitCode.MODEL,
    )


def _onnxruntime_version() -> tuple[int, int]:
    import onnxruntime

    major, minor = onnxruntime.__version__.split(".")[:2]
    return int(major), int(minor)
