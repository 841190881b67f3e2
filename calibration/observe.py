"""Run a graph on frames and watch the activations that are to be quantised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from calibration.histogram import Histogram
from edgedeblur import ExitCode, Failure
from runtime.onnx_session import session_options

Image = NDArray[np.uint8]


def open_session(model: ir.Model, outputs: Sequence[str] = ()) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on the CPU; `outputs` names values that are returned beside the graph's own."""
    proto = ir.serde.serialize_model(model)
    for name in outputs:
        proto.graph.output.add().name = name
    data = proto.SerializeToString()
    return onnxruntime.InferenceSession(data, session_options(), providers=["CPUExecutionProvider"])


def observe(model: ir.Model, names: Sequence[str], frames: Iterable[Image]) -> dict[str, Histogram]:
    """A histogram of each named activation over all frames.

    Raises Failure (MODEL) when the network produces values that are not finite.
    """
    histograms = {name: Histogram() for name in names}
    session = open_session(model, names)
    for number, frame in enumerate(frames):
        for name, values in zip(names, session.run(list(names), {"frame": frame}), strict=True):
            try:
                histograms[name].add(values)
            except ValueError as error:
                raise Failure(f"on frame {number} the activation '{name}': {error}", ExitCode.MODEL) from error
    return histograms
