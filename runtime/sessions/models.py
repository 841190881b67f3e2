"""Models: which model file `--model` means on this machine, and the session that runs it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgedeblur import ExitCode, Failure
from runtime.sessions.engine_file import ENGINE_SUFFIXES, EngineFile
from runtime.sessions.gpu import find_gpu
from runtime.sessions.onnx_session import OnnxSession
from runtime.sessions.session import Session

WEIGHTS = Path(__file__).parents[1] / "weights"
SHIPPED = ("edge-n", "edge-s")
DEFORM_CONV_SINCE = (1, 25)  # the first ONNX Runtime whose CPU provider has DeformConv
Size = tuple[int, int]


@dataclass(frozen=True)
class ModelOptions:
    """What the user says of the model."""

    model: str = "auto"  # a file, the name of shipped weights, or auto
    threads: int = 0  # of ONNX Runtime; 0 lets it take all cores
    rebuild: str = "auto"  # for an engine that is not for this machine: auto or never


def open_session(options: ModelOptions, frame_size: Callable[[], Size]) -> tuple[Session, str]:
    """The session for `options`, warm, and why this model.

    frame_size: asked for the (height, width) of the frames only where the choice depends on it.
    Raises: Failure (MODEL) when there is no such model or it cannot be run here, (ENVIRONMENT) for an engine without
    GPU, PyCUDA or TensorRT.
    """
    model, path = options.model, Path(options.model)
    if path.suffix.lower() in ENGINE_SUFFIXES:
        return _engine_session(path, options.rebuild), "as asked"
    if model != "auto" and model not in SHIPPED:
        return OnnxSession(path, options.threads), "as asked"
    not_gpu = ""
    if model == "auto":
        session, not_gpu = _best_engine(frame_size)
        if session is not None:
            return session, f"the engine for this GPU; {not_gpu}"
    # auto: whatever the machine, edge-n is the one that a CPU may run in real time.
    path, why = shipped_weights("edge-n" if model == "auto" else model, _onnxruntime_version())
    return OnnxSession(path, options.threads), "; ".join(filter(None, [why, not_gpu]))


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


def _engine_session(path: Path, rebuild: str) -> Session:
    from runtime.sessions.engine_rebuild import usable_engine
    from runtime.sessions.tensorrt_session import TensorRTSession

    return TensorRTSession(usable_engine(path, rebuild, _say))


def _best_engine(frame_size: Callable[[], Size]) -> tuple[Session | None, str]:
    """The session of an engine that is there already, with what speaks for it, or why there is none.

    Nothing is built here: that takes minutes, and is asked for with `edgedeblur build`.
    """
    gpu = find_gpu()
    if gpu is None:
        return None, ""
    from runtime.sessions.engine_search import engines_for, fits, no_fit
    from runtime.sessions.tensorrt_session import TensorRTSession

    engines, why = engines_for(gpu, WEIGHTS, SHIPPED)
    if not engines:
        return None, why
    size = frame_size()
    fitting: list[EngineFile] = [engine for engine in engines if fits(engine, size)]
    if not fitting:
        return None, no_fit(engines, size)
    try:
        return TensorRTSession(fitting[0]), f"the newest of {len(fitting)} that fit"
    except Failure as failure:
        return None, f"the engine '{fitting[0].path}' was not taken: {failure}"


def _say(text: str) -> None:
    print(f"note: {text}", file=sys.stderr, flush=True)


def _onnxruntime_version() -> tuple[int, int]:
    import onnxruntime

    major, minor = onnxruntime.__version__.split(".")[:2]
    return int(major), int(minor)
