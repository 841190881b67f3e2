"""What is measured of an INT8 graph, whoever made it: INT8 share, validity, TensorRT-RTX's verdict, quality."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime

from calibration.graph.compute import macs_by_precision
from calibration.measure.quality import decibels, drops, outputs_of
from calibration.measure.sets import EvaluationSet
from calibration.observers.watch import results
from export.passes.emulate_half import emulate_half
from export.passes.fix_size import fix_size
from export.passes.graph_tools import copied
from runtime.frame import Image

ENGINE_SIZE = (360, 640)  # (height, width) that TensorRT-RTX builds for
LONGEST = 200  # letters of an error
HEADS = ("INT8 MACs", "body", "onnx.checker", "TensorRT-RTX")
SET_HEADS = ("drop mean / worst", "to FP32", "drop, fused")


def figures(data: bytes, sets: Sequence[EvaluationSet]) -> list[str]:
    """Cells under HEADS, then under SET_HEADS for each set; PSNR in dB.

    Quality is that of the graph as written, FP16 rounding included, as engines compute it; "fused" is what ONNX Runtime
    gives without options: it fuses Q/DQ into INT8 kernels, which saturate on CPUs without VNNI, and rounds no FP16.
    """
    model = ir.serde.deserialize_model(onnx.load_model_from_string(data))
    macs = macs_by_precision(model)
    cells = [f"{macs['int8'] / sum(macs.values()):.0%}", body_of(model), checked(data), built(model)]
    exact = emulate_half(copied(model))
    fused = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for one in sets:
        images = [sample.image for sample in one.samples]
        found = outputs_of(exact, images)
        lost, lost_fused = drops(found, one.fp32, one.samples), drops(_run(fused, images), one.fp32, one.samples)
        to_fp32 = statistics.fmean(decibels(*pair) for pair in zip(found, one.fp32, strict=True))
        cells += [f"{_two(statistics.fmean(lost))} / {_two(max(lost))}", f"{to_fp32:.1f}"]
        cells.append(_two(statistics.fmean(lost_fused)))
    return cells


def body_of(model: ir.Model) -> str:
    """Type of what is not INT8: FP16 where any value is."""
    half = any(value.dtype == ir.DataType.FLOAT16 for node in model.graph for value in node.outputs)
    return "FP16" if half else "FP32"


def checked(data: bytes) -> str:
    """What onnx.checker says of types and shapes."""
    try:
        onnx.checker.check_model(data, full_check=True)
    except Exception as error:  # of several private types
        return one_line(error)
    return "valid"


def built(model: ir.Model) -> str:
    """Whether TensorRT-RTX, which builds without a GPU, takes the graph strongly typed; else the parser's error."""
    try:
        import tensorrt_rtx as trt
    except ImportError:
        return "not installed"
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    fixed = fix_size(copied(model), ENGINE_SIZE)
    if not parser.parse(ir.serde.serialize_model(fixed).SerializeToString()):
        return one_line(parser.get_error(0).desc())
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    return "parses, does not build" if plan is None else "builds"


def one_line(error: Exception | str) -> str:
    """The beginning of an error as a cell of a table."""
    name = f"{type(error).__name__}: " if isinstance(error, Exception) else ""
    return " ".join((name + str(error)).replace("|", "/").split())[:LONGEST]


def _run(session: onnxruntime.InferenceSession, images: Sequence[Image]) -> list[Image]:
    return [np.asarray(results(session, ["sharp"], image)[0], np.uint8) for image in images]


def _two(number: float) -> str:
    return f"{round(number, 2) + 0.0:.2f}"  # + 0.0: no minus before a zero
