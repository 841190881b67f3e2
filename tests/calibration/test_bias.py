"""Bias correction takes the mean error out of every channel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir

from calibration.graph.bias import corrections
from calibration.graph.forms import Graphs
from calibration.graph.layers import DEFORMED, SKIP, Layer, find_layers
from calibration.graph.quantise import quantise
from calibration.observers.watch import watch
from export.passes.model_file import load_model
from tests.calibration.small_graphs import frames, loaded, residual_graph

FRAMES = frames(4, (48, 62))


def ranges_of(model: ir.Model, layers: list[Layer]) -> dict[str, float]:
    found: dict[str, float] = {}

    def seen(_: int, name: str, values: np.ndarray) -> None:
        found[name] = max(found.get(name, 0.0), 0.7 * float(np.abs(values).max()))  # clips: a bias to correct

    watch(model, sorted({str(layer.activation.name) for layer in layers}), FRAMES, seen)
    return found


def mean_output(model: ir.Model, layer: str) -> np.ndarray:
    node = next(node for node in model.graph if node.name == layer)
    found = []
    watch(model, [str(node.outputs[0].name)], FRAMES, lambda _, __, values: found.append(values.mean(axis=(0, 2, 3))))
    return np.asarray(np.mean(found, axis=0))


def test_the_mean_error_of_a_layer_is_gone() -> None:
    model = loaded(residual_graph())
    layers = [layer for layer in find_layers(model) if layer.name in ("block.first", "down", "up")]
    ranges = ranges_of(model, layers)
    found = corrections(model, layers, ranges, FRAMES)
    assert sorted(found) == ["block.first", "down", "up"]
    for layer in layers:
        exact = mean_output(loaded_with_names(), layer.name)
        errors = []
        for bias in (None, found):
            quantised = loaded(residual_graph())
            only = [one for one in find_layers(quantised) if one.name == layer.name]
            quantise(quantised, only, ranges, bias)
            errors.append(np.abs(mean_output(quantised, layer.name) - exact).max())
        # What is left: borders meet fewer taps, and the taps of a strided kernel other pixels than the mean is of.
        assert errors[1] < 0.2 * errors[0], layer.name


def test_deformable_products_are_corrected_and_skips_are_not(exported: Callable[[str], Path]) -> None:
    graphs = Graphs(load_model(exported("edge-n")), "gather")
    model, layers = graphs.fp32()
    wanted = [layer for layer in layers if layer.kind in (DEFORMED, SKIP)]
    found = corrections(model, wanted, ranges_of(model, wanted), FRAMES[:2])
    assert sorted(found) == sorted(layer.name for layer in wanted if layer.kind == DEFORMED)
    assert all(values.shape == (88,) and np.abs(values).max() > 0 for values in found.values())


def loaded_with_names() -> ir.Model:
    model = loaded(residual_graph())
    find_layers(model)
    return model
