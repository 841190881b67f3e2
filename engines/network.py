"""ONNX bytes → TensorRT network, strongly typed, and what it consists of."""

from __future__ import annotations

from typing import Any

from engines.errors import Messages, build_failure
from engines.layers import type_of


def network_from_onnx(trt: Any, builder: Any, data: bytes, messages: Messages) -> Any:
    """Parse `data`; the types are those of the graph (always on in TensorRT 11, a flag before).

    Raises Failure (MODEL) naming the node that the parser refuses.
    """
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, messages.logger)
    if not parser.parse(data):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        said = [f"node '{error.node_name()}' ({error.node_operator()}): {error.desc()}" for error in errors]
        raise build_failure("reading the graph", [*said, *messages.errors])
    return network


def layers_of(network: Any) -> list[dict[str, Any]]:
    """Each layer's name, type, output precision and output shape, before the builder fuses them."""
    layers = (network.get_layer(index) for index in range(network.num_layers))
    return [_describe(layer) for layer in layers]


def _describe(layer: Any) -> dict[str, Any]:
    output = layer.get_output(0) if layer.num_outputs else None
    return {
        "name": layer.name,
        "type": layer.type.name,
        "precision": type_of(output.dtype.name) if output is not None else None,
        "shape": list(output.shape) if output is not None else None,
    }


def tensors_of(network: Any) -> list[dict[str, Any]]:
    """Inputs and outputs: name, mode, dtype, shape, layout and range. The frame contract is uint8 BGR rows."""
    inputs = [("input", network.get_input(index)) for index in range(network.num_inputs)]
    outputs = [("output", network.get_output(index)) for index in range(network.num_outputs)]
    return [
        {
            "name": tensor.name,
            "mode": mode,
            "dtype": tensor.dtype.name.lower(),
            "shape": list(tensor.shape),
            "layout": "HWC BGR",
            "range": [0, 255],
        }
        for mode, tensor in inputs + outputs
    ]
