"""What can be told of an engine or an ONNX file: with or without its sidecar, TensorRT or a GPU."""

from __future__ import annotations

import collections
import json
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from engines.artefact import Artefact
from engines.errors import Messages
from engines.sidecar import differences, read_sidecar
from engines.toolkit import Toolkit, find_toolkit
from export.passes.graph_tools import infer_shapes
from export.passes.model_file import model_from_bytes, read_model_bytes

# The first bytes of a plan say who wrote it.
PLAN_TAGS = {b"vtrt": "tensorrt_rtx", b"ftrt": "tensorrt", b"ptrt": "tensorrt"}


def describe_engine(path: Path) -> dict[str, Any]:
    """The plan's own header, the sidecar, what does not fit between them, and the layers.

    Raises Failure (MODEL) when `path` is missing or no plan, or its sidecar is damaged.
    """
    plan = _read_plan(path)
    sidecar = read_sidecar(Artefact(path).sidecar)
    tag = PLAN_TAGS[plan[:4]]
    found = {
        "file": str(path),
        "plan_bytes": len(plan),
        "plan_toolkit": tag,
        "sidecar": sidecar,
        "differs": differences(sidecar, plan) if sidecar is not None else [],
    }
    layers = _layers_on_gpu(plan, tag)
    if layers is None:
        return {**found, "layers_from": (sidecar or {}).get("layers_from"), "layers": (sidecar or {}).get("layers", [])}
    return {**found, "layers_from": "engine", "layers": layers}


def describe_onnx(path: Path) -> dict[str, Any]:
    """Metadata, and how many nodes of each operator and values of each type. Raises Failure (MODEL)."""
    model = model_from_bytes(read_model_bytes(path), path)
    infer_shapes(model)
    values = [value for node in model.graph for value in node.outputs]
    tensors = [*model.graph.inputs, *model.graph.outputs]
    return {
        "file": str(path),
        "opset": model.opset_imports.get(""),
        "metadata": dict(model.metadata_props),
        "io": [f"{value.name} {value.dtype} {value.shape}" for value in tensors],
        "operators": dict(collections.Counter(node.op_type for node in model.graph).most_common()),
        "types": dict(collections.Counter(str(value.dtype) for value in values if value.dtype).most_common()),
        "weights": sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value),
    }


def _read_plan(path: Path) -> bytes:
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise Failure(f"{path} {found}; expected an engine: make one with edgedeblur build", ExitCode.MODEL)
    try:
        plan = path.read_bytes()
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}", ExitCode.ENVIRONMENT) from error
    if plan[:4] not in PLAN_TAGS:
        raise Failure(
            f"{path} starts with {plan[:4]!r}; expected a TensorRT plan ({', '.join(map(str, PLAN_TAGS))}) "
            "or an .onnx file",
            ExitCode.MODEL,
        )
    return plan


def _layers_on_gpu(plan: bytes, toolkit_name: str) -> list[dict[str, Any]] | None:
    """The layers that really run, from the engine itself; None where it cannot be loaded (no GPU, other version)."""
    try:
        toolkit = find_toolkit(toolkit_name)
    except Failure:
        return None
    return layers_of_engine(plan, toolkit) if toolkit.gpu is not None else None


def layers_of_engine(plan: bytes, toolkit: Toolkit) -> list[dict[str, Any]] | None:
    """Ask TensorRT's inspector; None when it refuses the plan."""
    trt = toolkit.module
    runtime = trt.Runtime(Messages(trt).logger)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        return None
    report = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    return [layer_from_report(layer) for layer in json.loads(report).get("Layers", [])]


def layer_from_report(layer: Any) -> dict[str, Any]:
    """One layer of the inspector's JSON, which is a bare name when the engine was built without details.

    TensorRT 10 writes an output's type as `Format/Datatype`, TensorRT 11 as two fields.
    """
    if isinstance(layer, str):
        return {"name": layer, "type": None, "precision": None, "shape": None}
    output: dict[str, Any] = next(iter(layer.get("Outputs", [])), {})
    precision = output.get("Datatype") or output.get("DataType") or output.get("Format/Datatype")
    return {
        "name": layer.get("Name"),
        "type": layer.get("LayerType"),
        "precision": precision,
        "shape": output.get("Dimensions"),
    }
