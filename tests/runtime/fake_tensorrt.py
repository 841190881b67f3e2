"""A module that stands in for `tensorrt` or `tensorrt_rtx`: the part of the API that the runtime uses and nothing more.

A plan is its tag and JSON: the tensors, the sizes and `work`, which the module's `kernel` understands. That its names
are TensorRT's is tested against the real classes.
"""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from runtime.sessions.toolkit import PLUGIN_OP

Size = tuple[int, int]
# (work, device address of frame, of sharp, (H, W, 3), stream handle) → whether it was enqueued
Launch = Callable[[str, int, int, tuple[int, int, int], int], bool]
TAGS = {"tensorrt": b"ftrt", "tensorrt_rtx": b"vtrt"}
VERSION = "10.3.0"


def plan_bytes(work: str, smallest: Size, usual: Size, largest: Size, toolkit: str = "tensorrt", **more: Any) -> bytes:
    """A plan for frames from `smallest` to `largest` (height, width). more: what is wrong with it on purpose."""
    described = {"work": work, "smallest": smallest, "usual": usual, "largest": largest, **more}
    return TAGS[toolkit] + json.dumps(described).encode()


def install(launch: Launch, name: str = "tensorrt", version: str = VERSION) -> Any:
    """Make `import tensorrt` (or tensorrt_rtx) give this stand-in, whose engines run by `launch`."""
    module = make(launch, name, version)
    sys.modules[name] = module
    return module


def make(launch: Launch, name: str = "tensorrt", version: str = VERSION) -> Any:
    """The module itself."""
    module: Any = ModuleType(name)
    module.__version__ = version
    module.loaded_libraries = []

    class TensorIOMode(enum.Enum):
        INPUT = 1
        OUTPUT = 2

    class DataType(enum.Enum):
        UINT8 = 1
        FLOAT = 2

    class ILogger:
        class Severity(enum.Enum):
            INTERNAL_ERROR = 0
            ERROR = 1
            WARNING = 2

        def log(self, severity: Severity, message: str) -> None: ...

    class IPluginCreatorV3One:
        name = PLUGIN_OP

    class IPluginRegistry:
        def __init__(self) -> None:
            self._creators: list[Any] = []

        @property
        def all_creators(self) -> list[Any]:
            return self._creators

        def load_library(self, plugin_path: str) -> Any:
            if self._creators or b"broken" in Path(plugin_path).read_bytes():
                return None  # as TensorRT does where the operator is registered already
            self._creators.append(IPluginCreatorV3One())
            module.loaded_libraries.append(plugin_path)
            return object()

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            try:
                return ICudaEngine(json.loads(plan[4:]), self._logger)
            except ValueError:
                self._logger.log(ILogger.Severity.ERROR, "Error Code 1: Serialization assertion failed")
                return None

    class ICudaEngine:
        def __init__(self, plan: dict[str, Any], logger: Any) -> None:
            self._plan, self._logger = plan, logger
            self._names = plan.get("names", ["frame", "sharp"])

        @property
        def num_io_tensors(self) -> int:
            return len(self._names)

        def get_tensor_name(self, index: int) -> str:
            return str(self._names[index])

        def get_tensor_mode(self, name: str) -> TensorIOMode:
            return TensorIOMode.INPUT if name == self._names[0] else TensorIOMode.OUTPUT

        def get_tensor_dtype(self, name: str) -> DataType:
            return DataType[self._plan.get("type", "UINT8")]

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            fixed = self._plan["smallest"] == self._plan["largest"]
            return (*(self._plan["usual"] if fixed else (-1, -1)), 3)

        def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
            return [(*self._plan[which], 3) for which in ("smallest", "usual", "largest")]

        def create_execution_context(self, *arguments: Any) -> Any:
            return IExecutionContext(self._plan, self._logger, *arguments)

    class IExecutionContext:
        def __init__(self, plan: dict[str, Any], logger: Any, config: Any = None) -> None:
            self._plan, self._logger, self._config = plan, logger, config
            fixed = plan["smallest"] == plan["largest"]
            self._shape: tuple[int, ...] | None = (*plan["usual"], 3) if fixed else None
            self._addresses: dict[str, int] = {}

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            self._shape = shape
            return True

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return self._shape or (-1, -1, 3)

        def set_tensor_address(self, name: str, memory: int) -> bool:
            self._addresses[name] = memory
            return True

        def execute_async_v3(self, stream_handle: int) -> bool:
            assert self._shape is not None
            height, width = self._shape[:2]
            if self._config is not None:
                self._config._compiled(self._shape)
            frame, sharp = self._addresses["frame"], self._addresses["sharp"]
            if launch(self._plan["work"], frame, sharp, (height, width, 3), stream_handle):
                return True
            self._logger.log(ILogger.Severity.ERROR, "Error Code 1: Cuda Runtime (enqueue failed)")
            return False

    registry = IPluginRegistry()
    module.get_plugin_registry = lambda: registry
    parts: list[type] = [TensorIOMode, DataType, ILogger, IPluginCreatorV3One, IPluginRegistry]
    parts += [Runtime, ICudaEngine, IExecutionContext]
    if name == "tensorrt_rtx":
        parts += _rtx_parts(module, ICudaEngine)
    for part in parts:
        setattr(module, part.__name__, part)
    return module


def _rtx_parts(module: Any, engine: Any) -> list[type]:
    """What only TensorRT-RTX has. Its cache holds the shapes that were compiled."""

    class CudaGraphStrategy(enum.Enum):
        DISABLED = 0
        WHOLE_GRAPH_CAPTURE = 1

    class DynamicShapesKernelSpecializationStrategy(enum.Enum):
        LAZY = 0
        EAGER = 1

    class IRuntimeCache:
        def __init__(self) -> None:
            self._shapes: list[list[int]] = []

        def serialize(self) -> bytes:
            return json.dumps(self._shapes).encode()

        def deserialize(self, blob: bytes) -> bool:
            try:
                self._shapes = json.loads(blob)
            except ValueError:
                return False
            return True

    class IRuntimeConfig:
        def __init__(self) -> None:
            self.cuda_graph_strategy = CudaGraphStrategy.DISABLED
            self.dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY
            self._cache = IRuntimeCache()

        def create_runtime_cache(self) -> IRuntimeCache:
            return IRuntimeCache()

        def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
            self._cache = cache
            return True

        def _compiled(self, shape: tuple[int, ...]) -> None:
            module.strategies = (self.cuda_graph_strategy, self.dynamic_shapes_kernel_specialization_strategy)
            if list(shape) not in self._cache._shapes:
                self._cache._shapes.append(list(shape))
                module.compilations = getattr(module, "compilations", 0) + 1

    engine.create_runtime_config = lambda self: IRuntimeConfig()
    return [CudaGraphStrategy, DynamicShapesKernelSpecializationStrategy, IRuntimeCache, IRuntimeConfig]
