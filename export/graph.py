"""Checkpoint → canonical ONNX graph: opset 19, standard DeformConv, uint8 frame in and out, any frame size."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import onnx
import onnxsim
import torch

from edgedeblur import ExitCode, Failure
from training.config import ModelConfig
from training.frame_model import FrameModel
from training.network import SAPHNet

# DeformConv and FP16 Q/DQ scales exist from 19 on; from 20 on TensorRT's parser reads GridSample's mode wrongly.
OPSET = 19


def graph_from_network(network: SAPHNet) -> onnx.ModelProto:
    """Export, simplify and check. The input is `frame`, the output `sharp`: uint8 [height, width, 3] BGR.

    Raises Failure (MODEL) when onnx.checker, run in full, rejects the result.
    """
    height, width = network.config.multiple_of
    # Odd and larger than one multiple, so that no size of the example can be mistaken for a constant of the network.
    frame = torch.zeros(2 * height + 1, 3 * width + 3, 3, dtype=torch.uint8)
    with _quiet_exporter(), torch.no_grad():
        program = torch.onnx.export(
            FrameModel(network).eval(),
            (frame,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["frame"],
            output_names=["sharp"],
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC},),
            verbose=False,
        )
    assert program is not None
    graph, simplified = onnxsim.simplify(program.model_proto)
    if not simplified:
        raise Failure("the simplified graph computes something else; this is a bug of edgedeblur", ExitCode.MODEL)
    _cast_first(graph)
    _name_sizes(graph)
    try:
        onnx.checker.check_model(graph, full_check=True)
    except onnx.checker.ValidationError as error:
        raise Failure(f"onnx.checker rejects the exported graph: {error}", ExitCode.MODEL) from error
    return graph


def add_metadata(graph: onnx.ModelProto, preset: str, config: ModelConfig, extra: dict[str, str]) -> None:
    """Write what made this file into `metadata_props`, under keys that start with `edgedeblur.`."""
    properties = {
        "schema": "1",
        "preset": preset,
        "precision": "fp32",
        "deform": "native",
        "colour_order": "BGR",
        "multiple_of": "{}x{}".format(*config.multiple_of),
        "min_size": "{}x{}".format(*config.min_size),
        "config": json.dumps(vars(config)),
        **extra,
    }
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, {f"edgedeblur.{key}": value for key, value in properties.items()})


def _cast_first(graph: onnx.ModelProto) -> None:
    """Read sizes from the cast frame: TensorRT's parser takes no operation but Cast on uint8, not even Shape."""
    nodes = graph.graph.node
    cast = next(node for node in nodes if node.op_type == "Cast" and node.input[0] == "frame")
    for node in nodes:
        if node.output[0] != cast.output[0]:
            node.input[:] = [cast.output[0] if name == "frame" else name for name in node.input]
    first = onnx.NodeProto()
    first.CopyFrom(cast)
    nodes.remove(cast)
    nodes.insert(0, first)


def _name_sizes(graph: onnx.ModelProto) -> None:
    """Call the free sizes `height` and `width`, and drop what was inferred with the exporter's own symbols."""
    for value in (*graph.graph.input, *graph.graph.output):
        for dimension, name in zip(value.type.tensor_type.shape.dim, ("height", "width"), strict=False):
            dimension.dim_param = name
    del graph.graph.value_info[:]
    for node in graph.graph.node:
        del node.metadata_props[:]  # the exporter's stack traces: machine paths, and half the file
        node.doc_string = ""


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """The exporter warns about its own internals and about torchvision; neither is the user's concern."""
    logger: Any = logging.getLogger("torch.onnx._internal.exporter")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
