"""Bias correction: take the mean error that quantisation causes in each output channel out of the layer's bias.

Rounding and clipping are not zero on average; the shift of a channel's mean is a constant, which the bias can hold for
nothing. Source: Nagel et al., "Data-Free Quantization through Weight Equalization and Bias Correction" (ICCV 2019),
section 4.2, with means observed on frames and activations' own error included.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from calibration.graph.layers import LINEAR, SKIP, Layer
from calibration.graph.quantise import LEVELS, LOWEST, along, bias_input, levels_of, scale_of
from calibration.observers.watch import Activation, watch
from calibration.progress import Progress
from export.passes.deform_node import OP_TYPE as DEFORM
from runtime.frame import Image

Means = NDArray[np.float64]  # (C,): of one activation's channels


def corrections(
    model: ir.Model,
    layers: Sequence[Layer],
    ranges: Mapping[str, float],
    frames: Sequence[Image],
    bytes_per_pixel: Mapping[str, float] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Layer → (M,) float32 to add to its bias when it is quantised; `model` is the FP32 graph, `layers` are its.

    bytes_per_pixel: as `watch` takes it.

    Each layer is corrected for its own error alone, with the FP32 graph's activations. Also chasing what arrives from
    the layers before it, all at once, diverges.
    """
    linear = [layer for layer in layers if layer.kind != SKIP and _correctable(layer)]
    exact: dict[str, Means] = {}
    rounded: dict[str, Means] = {}

    def seen(_: int, name: str, values: Activation) -> None:
        exact[name] = exact.get(name, 0.0) + _channel_means(values)
        rounded[name] = rounded.get(name, 0.0) + _channel_means(_rounded(values, ranges[name]))
        progress.step()

    names = sorted({str(layer.activation.name) for layer in linear})
    progress = Progress("correcting biases", len(names) * len(frames))
    watch(model, names, frames, seen, bytes_per_pixel)
    progress.close()
    count = len(frames)
    return {
        layer.name: _shift(layer.node, exact[name] / count, rounded[name] / count)
        for layer in linear
        if (name := str(layer.activation.name)) in exact
    }


def _correctable(layer: Layer) -> bool:
    """DeformConv as one operator is never INT8; grouped convolutions are rare."""
    ungrouped = layer.node.attributes.get_int("group", 1) == 1
    return layer.node.op_type != DEFORM and ungrouped and bias_input(layer.node) is not None


def _rounded(values: Activation, largest: float) -> Activation:
    scale = np.float32(scale_of(largest))
    rounded: Activation = np.clip(np.rint(values / scale), LOWEST, LEVELS) * scale
    return rounded


def _channel_means(values: Activation) -> Means:
    """Means of (N, C, H, W) or (rows, C) by channel."""
    axes = (0, 2, 3) if values.ndim == 4 else (0,)
    means: Means = values.mean(axis=axes, dtype=np.float64)
    return means


def _shift(node: ir.Node, exact: Means, rounded: Means) -> NDArray[np.float32]:
    """What the layer's mean output loses: its kernel, summed over taps, times the means; borders are neglected."""
    weight = node.inputs[1]
    assert weight is not None
    assert weight.const_value is not None
    kernel = weight.const_value.numpy()
    axis = LINEAR[node.op_type][1]
    levels, scales = levels_of(kernel, axis)
    restored = levels * along(scales, kernel.ndim, axis)
    lost = _summed(kernel, axis) @ exact - _summed(restored, axis) @ rounded
    # A transposed convolution spreads each pixel over its taps: an output pixel meets one tap in stride x stride.
    spread = math.prod(node.attributes.get_ints("strides", (1, 1))) if node.op_type == "ConvTranspose" else 1
    return np.asarray(lost / spread, np.float32)


def _summed(kernel: NDArray[np.float32], axis: int) -> NDArray[np.float64]:
    """(outputs, inputs): a kernel summed over its taps."""
    by_output = np.moveaxis(kernel.astype(np.float64), axis, 0)
    summed: NDArray[np.float64] = by_output.reshape(*by_output.shape[:2], -1).sum(axis=2)
    return summed
