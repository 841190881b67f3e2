"""Triton's model configuration for tests: the messages that we use, by their numbers, and the server's own rules.

Names, numbers and types are those of model_config.proto of triton-inference-server/common; the rules are those by which
the server (core, src/model_config_utils.cc) refuses a configuration. A field that is not listed here is an error.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

# Its types are not installed where the tests run.
descriptor_pb2, descriptor_pool, message_factory, text_format = (
    importlib.import_module(f"google.protobuf.{name}")
    for name in ("descriptor_pb2", "descriptor_pool", "message_factory", "text_format")
)

INT32, INT64, UINT32, UINT64, BOOL, STRING, MESSAGE, ENUM = 5, 3, 13, 4, 8, 9, 11, 14  # FieldDescriptorProto.Type
DATA_TYPES = "INVALID BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 FP32 FP64 STRING BF16"
ENUMS = {
    "DataType": [f"TYPE_{name}" for name in DATA_TYPES.split(" ")],
    "Kind": ["KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"],
    "TimeoutAction": ["REJECT", "DELAY"],
}
# message → field → (number, type, repeated, name of the message or enum)
MESSAGES: dict[str, dict[str, tuple[int, int, bool, str]]] = {
    "ModelInput": {
        "name": (1, STRING, False, ""),
        "data_type": (2, ENUM, False, "DataType"),
        "dims": (4, INT64, True, ""),
    },
    "ModelOutput": {
        "name": (1, STRING, False, ""),
        "data_type": (2, ENUM, False, "DataType"),
        "dims": (3, INT64, True, ""),
    },
    "Latest": {"num_versions": (1, UINT32, False, "")},
    "ModelVersionPolicy": {"latest": (1, MESSAGE, False, "Latest")},
    "ModelInstanceGroup": {
        "name": (1, STRING, False, ""),
        "kind": (4, ENUM, False, "Kind"),
        "count": (2, INT32, False, ""),
        "gpus": (3, INT32, True, ""),
    },
    "Shape": {"dim": (1, INT64, True, "")},
    "InputEntry": {"key": (1, STRING, False, ""), "value": (2, MESSAGE, False, "Shape")},
    "GraphSpec": {"batch_size": (1, INT32, False, ""), "input": (2, MESSAGE, True, "InputEntry")},
    "Cuda": {"graphs": (1, BOOL, False, ""), "graph_spec": (3, MESSAGE, True, "GraphSpec")},
    "ModelOptimizationPolicy": {"cuda": (3, MESSAGE, False, "Cuda")},
    "ModelQueuePolicy": {
        "timeout_action": (1, ENUM, False, "TimeoutAction"),
        "default_timeout_microseconds": (2, UINT64, False, ""),
        "max_queue_size": (4, UINT32, False, ""),
    },
    "ModelDynamicBatching": {
        "preferred_batch_size": (1, INT32, True, ""),
        "default_queue_policy": (6, MESSAGE, False, "ModelQueuePolicy"),
    },
    "ModelConfig": {
        "name": (1, STRING, False, ""),
        "platform": (2, STRING, False, ""),
        "backend": (17, STRING, False, ""),
        "version_policy": (3, MESSAGE, False, "ModelVersionPolicy"),
        "max_batch_size": (4, INT32, False, ""),
        "input": (5, MESSAGE, True, "ModelInput"),
        "output": (6, MESSAGE, True, "ModelOutput"),
        "optimization": (12, MESSAGE, False, "ModelOptimizationPolicy"),
        "dynamic_batching": (11, MESSAGE, False, "ModelDynamicBatching"),
        "instance_group": (7, MESSAGE, True, "ModelInstanceGroup"),
    },
}
BACKENDS = {"tensorrt": ("tensorrt_plan", "model.plan"), "onnxruntime": ("onnxruntime_onnx", "model.onnx")}


def read_config(path: Path) -> Any:
    """A config.pbtxt. Raises: text_format.ParseError for what is no field of it."""
    return text_format.Parse(path.read_text(), _config_class()())


def problems(folder: Path) -> list[str]:
    """Why the server would refuse the model in `folder`; empty for one that it loads."""
    config = read_config(folder / "config.pbtxt")
    platform, file = BACKENDS.get(config.backend, ("", ""))
    versions = [path for path in folder.iterdir() if path.is_dir()]
    found = [
        "" if config.name == folder.name else f"name '{config.name}' is not the folder's",
        "" if config.platform == platform else f"platform '{config.platform}' and backend '{config.backend}'",
        "" if config.max_batch_size >= 0 else "negative batch size",
        "" if config.HasField("version_policy") else "no version policy",
        "" if versions and all(path.name.isdecimal() and path.name[0] != "0" for path in versions) else "no version",
        *("" if (path / file).is_file() else f"no {file} in version {path.name}" for path in versions),
        *_tensor_problems(config),
        *_instance_problems(config),
        *_graph_problems(config),
    ]
    return [problem for problem in found if problem]


def _tensor_problems(config: Any) -> list[str]:
    found = [] if config.input and config.output else ["no inputs or no outputs: the server would guess them"]
    for tensor in (*config.input, *config.output):
        if not tensor.name or not tensor.data_type or not tensor.dims:
            found.append(f"tensor '{tensor.name}' has no name, type or dims")
        if any(side < 1 and side != -1 for side in tensor.dims):
            found.append(f"tensor '{tensor.name}' has dims {list(tensor.dims)}")
    return found


def _instance_problems(config: Any) -> list[str]:
    found = [] if config.instance_group else ["no instance group"]
    for group in config.instance_group:
        if group.count < 1:
            found.append(f"{group.count} instances")
        if group.kind == ENUMS["Kind"].index("KIND_CPU") and (group.gpus or config.backend == "tensorrt"):
            found.append("an engine, or GPUs, on the CPU")
    if any(size > config.max_batch_size for size in config.dynamic_batching.preferred_batch_size):
        found.append("a preferred batch above the largest")
    return found


def _graph_problems(config: Any) -> list[str]:
    """tensorrt_backend, ValidateGraphSpec: no batch dimension, a shape without free sides for every input."""
    found = []
    for spec in config.optimization.cuda.graph_spec:
        shapes = {entry.key: list(entry.value.dim) for entry in spec.input}
        if spec.batch_size != 0 or set(shapes) != {tensor.name for tensor in config.input}:
            found.append(f"graph for {shapes}, batch {spec.batch_size}")
        if any(side < 1 for shape in shapes.values() for side in shape):
            found.append(f"graph with free sides {shapes}")
    free = any(side == -1 for tensor in config.input for side in tensor.dims)
    if config.optimization.cuda.graphs and free and not config.optimization.cuda.graph_spec:
        found.append("a graph for no known size")
    return found


def _config_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="triton.proto", package="triton", syntax="proto3")
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeated, of) in fields.items():
            of = f".triton.{of}" if of else ""
            message.field.add(name=field, number=number, type=kind, label=3 if repeated else 1, type_name=of or None)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("triton.ModelConfig"))
