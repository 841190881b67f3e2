"""What can be told of an engine or an ONNX file: with or without its sidecar, TensorRT or a GPU."""

from __future__ import annotations

import collections
import json
import shlex
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from engines.errors import Messages
from engines.layer_times import layer_times
from engines.layers import layers_of_report, layers_of_sidecar, with_times
from engines.plugin_library import load_plugin
from engines.sidecar import differences
from engines.toolkit import Toolkit, find_toolkit
from export.passes.graph_tools import infer_shapes
from export.passes.model_file import FRAME, model_from_bytes, read_model_bytes
from runtime.sessions.cuda import import_pycuda, primary_context
from runtime.sessions.engine_context import sizes_of_engine
from runtime.sessions.engine_file import EngineFile, read_engine

COMMANDS = {"tensorrt": "trtexec", "tensorrt_rtx": "tensorrt_rtx"}  # the toolkits' own programs


def describe_engine(path: Path, times: bool = False) -> dict[str, Any]:
    """The plan's own header, the sidecar, what does not fit between them, and the layers; with `times`, measured ones.

    Raises Failure: MODEL when `path` is missing or no plan, or its sidecar is damaged; ENVIRONMENT when times are asked
    for and cannot be measured here.
    """
    file = read_engine(path)
    sidecar = dict(file.sidecar) if file.sidecar is not None else None
    beside = [difference for difference in file.hash_differences() if difference.field != "plan_sha256"]
    found = {
        "file": str(path),
        "plan_bytes": len(file.plan),
        "plan_toolkit": file.toolkit,
        "sidecar": sidecar,
        "differs": [] if sidecar is None else differences(sidecar, file.plan) + _texts(beside, "plugin.sha256"),
        "outdated": _texts(beside, "onnx.sha256"),
        "trtexec": trtexec_command(file),
    }
    layers = None if found["differs"] else _layers_on_gpu(file, times)
    if layers is None:
        return {
            **found,
            "layers_from": (sidecar or {}).get("layers_from"),
            "layers": layers_of_sidecar(sidecar or {}),
        }
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


def trtexec_command(file: EngineFile) -> str:
    """The toolkit's own program for this plan, to be typed where the engine runs; no sidecar is needed for it.

    `--dynamicPlugins` is load_library, as the runtime does it, in every trtexec from 10.3 to 11.
    """
    words = [COMMANDS[file.toolkit], f"--loadEngine={file.path}"]
    if file.plugin is not None:
        words.append(f"--dynamicPlugins={file.plugin}")
    size, parts = file.key_parts.get("size"), file.key_parts
    if isinstance(size, list) and len(size) == 2 and parts.get("min_size") != parts.get("max_size"):
        words.append(f"--shapes={FRAME}:{size[0]}x{size[1]}x3")
    return shlex.join(words)


def _texts(differences: list[Any], field: str) -> list[str]:
    return [str(difference) for difference in differences if difference.field == field]


def _layers_on_gpu(file: EngineFile, times: bool) -> list[dict[str, Any]] | None:
    """The layers that really run, from the engine itself; None where it cannot be loaded (no GPU, other version).

    Raises Failure (ENVIRONMENT, MODEL) instead of giving None when `times` are asked for.
    """
    try:
        toolkit = find_toolkit(file.toolkit)
        if toolkit.gpu is None:
            raise Failure("this machine has no GPU to run the engine on", ExitCode.ENVIRONMENT)
        return _layers_of_engine(file, toolkit, times)
    except Failure as failure:
        if times:
            raise Failure(f"the times of {file.path} cannot be measured: {failure}", failure.code) from failure
        return None


def _layers_of_engine(file: EngineFile, toolkit: Toolkit, times: bool) -> list[dict[str, Any]]:
    """Ask TensorRT's inspector, and its profiler for the times. Raises Failure (MODEL) when it refuses the plan."""
    trt, messages = toolkit.module, Messages(toolkit.module)
    if file.plugin is not None:
        load_plugin(trt, file.plugin)
    runtime = trt.Runtime(messages.logger)
    engine = runtime.deserialize_cuda_engine(file.plan)
    if engine is None:
        raise Failure(f"TensorRT refuses the plan: {'; '.join(messages.errors[:3]) or 'no reason'}", ExitCode.MODEL)
    if not times:
        return layers_of_report(_report(trt, engine, None))
    driver = import_pycuda()
    with primary_context(driver):
        context, size = _context_of(engine)
        layers = layers_of_report(_report(trt, engine, context))
        return with_times(layers, layer_times(trt, context, size, driver))


def _context_of(engine: Any) -> tuple[Any, tuple[int, int]]:
    """An execution context, ready for the size that the engine is fastest at, and that (height, width)."""
    sizes = sizes_of_engine(engine)
    context = engine.create_execution_context()
    if context is None:
        raise Failure("TensorRT gives no execution context: close other programs on the GPU", ExitCode.MEMORY)
    if not sizes.is_fixed:
        context.set_input_shape(FRAME, (*sizes.usual, 3))
    return context, sizes.usual


def _report(trt: Any, engine: Any, context: Any) -> Any:
    inspector = engine.create_engine_inspector()
    if context is not None:  # types and shapes of an engine for a range are known only for one size
        inspector.execution_context = context
    return json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
