"""Run a graph on frames and watch its activations, a bounded number of them at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure
from runtime.frame import Image
from runtime.sessions.onnx_session import load_failure, run_failure, session_options

GRAPH = "the model's graph"  # in errors: as calibration changed it, it is no file
MEMORY = 512 * 2**20  # bytes of activations fetched in one run
# Bytes per pixel of an activation whose size is not known: what vanishes when sizes are counted, because the size they
# are counted at needs no padding. That is the frame in FP32.
VANISHED = 3 * 4
Activation = NDArray[np.float32]


def open_session(model: ir.Model, outputs: Sequence[str] = ()) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on the CPU; `outputs` names values that are returned beside the graph's own.

    Raises Failure: MODEL when ONNX Runtime cannot load the graph, MEMORY when memory runs out.
    """
    proto = ir.serde.serialize_model(model)
    for name in outputs:
        proto.graph.output.add().name = name
    data = proto.SerializeToString()
    try:
        return onnxruntime.InferenceSession(data, session_options(), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises many private types
        raise load_failure(GRAPH, error, onnxruntime.__version__) from error


def results(session: onnxruntime.InferenceSession, names: Sequence[str], frame: Image) -> list[NDArray[Any]]:
    """The named outputs for one frame (H, W, 3) uint8 BGR. Raises Failure: MODEL, MEMORY when memory runs out."""
    try:
        found: list[NDArray[Any]] = session.run(names, {"frame": frame})
    except Exception as error:  # ONNX Runtime raises many private types
        raise run_failure(GRAPH, frame, error) from error
    return found


def watch(
    model: ir.Model,
    names: Sequence[str],
    frames: Sequence[Image],
    seen: Callable[[int, str, Activation], None],
    bytes_per_pixel: Mapping[str, float] | None = None,
) -> None:
    """Call `seen(frame number, name, values)` for each named activation of each frame.

    bytes_per_pixel: of activations, to fetch no more than MEMORY at once; None: all are small.
    Raises Failure: MODEL when the network produces values that are not finite, or as `open_session` and `results` do.
    """
    pixels = max(math.prod(frame.shape[:2]) for frame in frames)
    needed = {name: bytes_per_pixel.get(name, VANISHED) * pixels for name in names} if bytes_per_pixel else {}
    for some in _in_parts(names, needed):
        session = open_session(model, some)
        for number, frame in enumerate(frames):
            for name, values in zip(some, results(session, some, frame), strict=True):
                if not np.isfinite(values).all():
                    raise Failure(
                        f"on frame {number} the activation '{name}' is infinite or not a number; expected finite ones: "
                        "check the model with edgedeblur run",
                        ExitCode.MODEL,
                    )
                seen(number, name, values)


def _in_parts(names: Sequence[str], needed: Mapping[str, float]) -> Iterator[list[str]]:
    """The names, as many at a time as fit into MEMORY; what alone does not goes alone."""
    part: list[str] = []
    used = 0.0
    for name in names:
        if part and used + needed.get(name, 0.0) > MEMORY:
            yield part
            part, used = [], 0.0
        part.append(name)
        used += needed.get(name, 0.0)
    if part:
        yield part
