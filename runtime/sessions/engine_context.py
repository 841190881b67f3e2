"""EngineContext: a plan made ready to run, by TensorRT or TensorRT-RTX. All calls come from the GPU's thread."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.frame import size_text
from runtime.sessions.engine_file import EngineFile
from runtime.sessions.jit_cache import JitCache
from runtime.sessions.size_range import Size, SizeRange, fixed_size
from runtime.sessions.toolkit import import_toolkit, load_plugin

INPUT, OUTPUT = "frame", "sharp"
NO_MEMORY = "GPU memory ran out: close other programs that use the GPU (see nvidia-smi)"
# What TensorRT says when the engine is not to blame, and what to do then.
CAUSES = (
    ("out of memory", ExitCode.MEMORY, NO_MEMORY),
    ("cudaerrormemoryallocation", ExitCode.MEMORY, NO_MEMORY),
    ("driver version is insufficient", ExitCode.ENVIRONMENT, "update the NVIDIA driver, or make it visible here"),
)


class EngineContext:
    """`frame` uint8 (H, W, 3) in, `sharp` the same out, at device addresses that stay bound until they change."""

    def __init__(self, file: EngineFile) -> None:
        """Load the plan and make an execution context.

        Raises: Failure (MODEL) for a plan that this TensorRT refuses or with other tensors, (ENVIRONMENT) without the
        toolkit, (MEMORY).
        """
        self._path = file.path
        trt = import_toolkit(file.toolkit)
        self._messages = _Messages(trt)
        if file.plugin is not None:
            load_plugin(trt, file.plugin)
        self._runtime = trt.Runtime(self._messages.logger)
        self._engine = self._runtime.deserialize_cuda_engine(file.plan)
        if self._engine is None:
            raise self._failure("cannot be loaded", "build it again on this machine with edgedeblur build")
        _check_tensors(trt, self._engine, file.path)
        self.sizes = sizes_of_engine(self._engine)
        self.own_graphs = False
        self._config: Any = None
        self._jit_cache: JitCache | None = None
        self._context = self._make_context(trt, file)
        if self._context is None:
            raise self._failure("gives no execution context", "close other programs that use the GPU")
        self.notes: list[str] = self._jit_cache.notes if self._jit_cache is not None else []
        self._bound: tuple[int, int] | None = None

    def set_size(self, size: Size) -> None:
        """Make it ready for frames of (height, width). Nothing may be running. Raises: Failure (MODEL)."""
        self.sizes.check(size, self._path)
        self._bound = None
        if not self.sizes.is_fixed and not self._context.set_input_shape(INPUT, (*size, 3)):
            raise self._failure(f"refuses frames of {size_text(size)}", "build it again with edgedeblur build")
        found = tuple(self._context.get_tensor_shape(OUTPUT))
        if found != (*size, 3):
            raise Failure(
                f"engine '{self._path}' turns frames of {(*size, 3)} into {found}; expected the same shape",
                ExitCode.MODEL,
            )

    def enqueue(self, frame: int, sharp: int, stream: int) -> None:
        """Give one frame to `stream`. frame, sharp: device addresses of the size that was set.

        Raises: Failure (MODEL, MEMORY) with TensorRT's words.
        """
        if self._bound != (frame, sharp):
            self._bound = None
            if not (self._context.set_tensor_address(INPUT, frame) and self._context.set_tensor_address(OUTPUT, sharp)):
                raise self._failure("does not take its addresses", "build it again with edgedeblur build")
            self._bound = (frame, sharp)
        if not self._context.execute_async_v3(stream):
            raise self._failure("failed on a frame", "build it again with edgedeblur build")

    def keep_kernels(self) -> None:
        """Write what TensorRT-RTX has compiled to the disk, where that has grown."""
        if self._jit_cache is not None:
            self._jit_cache.save()

    def close(self) -> None:
        """Give the memory back, the context first."""
        self._context = self._config = self._jit_cache = self._engine = self._runtime = None

    def _make_context(self, trt: Any, file: EngineFile) -> Any:
        # Only TensorRT-RTX has these: it compiles kernels on the device, and records graphs by itself.
        if not hasattr(trt, "CudaGraphStrategy"):
            return self._engine.create_execution_context()
        self.own_graphs = True
        config = self._config = self._engine.create_runtime_config()
        config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        if not self.sizes.is_fixed:  # else kernels would be exchanged while frames pass
            strategies = trt.DynamicShapesKernelSpecializationStrategy
            config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        self._jit_cache = JitCache(file)
        self._jit_cache.load_into(config)
        return self._engine.create_execution_context(config)

    def _failure(self, what: str, advice: str) -> Failure:
        said = "; ".join(self._messages.errors[-3:]) or "TensorRT gives no reason"
        self._messages.errors.clear()
        code = ExitCode.MODEL
        for words, cause, cause_advice in CAUSES:
            if words in said.lower():
                code, advice = cause, cause_advice
        return Failure(f"engine '{self._path}' {what}: {said}; {advice}", code)


class _Messages:
    """TensorRT's errors, kept to be told with a failure."""

    def __init__(self, trt: Any) -> None:
        errors: list[str] = []
        self.errors = errors
        serious = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

        class Logger(trt.ILogger):  # type: ignore[misc]  # the base class exists only once a toolkit is chosen
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity in serious:
                    errors.append(message)
                    del errors[:-20]
                elif severity == trt.ILogger.Severity.WARNING:
                    print(f"TensorRT: {message}", file=sys.stderr)

        self.logger = Logger()


def _check_tensors(trt: Any, engine: Any, path: Path) -> None:
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    ok = inputs == [INPUT] and sorted(names) == sorted([INPUT, OUTPUT])
    for name in names:
        shape = tuple(engine.get_tensor_shape(name))
        ok = ok and engine.get_tensor_dtype(name) == trt.DataType.UINT8 and len(shape) == 3 and shape[2] == 3
    if not ok:
        found = "; ".join(f"{n} {engine.get_tensor_dtype(n)} {tuple(engine.get_tensor_shape(n))}" for n in names)
        raise Failure(
            f"'{path}' is a TensorRT engine but not one of ours: found {found}; expected one input 'frame' and one "
            "output 'sharp', both uint8 [height, width, 3]; make one with: edgedeblur build MODEL.onnx",
            ExitCode.MODEL,
        )


def sizes_of_engine(engine: Any) -> SizeRange:
    """The frame sizes that a loaded engine takes."""
    height, width = tuple(engine.get_tensor_shape(INPUT))[:2]
    if min(height, width) > 0:
        return fixed_size((height, width))
    smallest, usual, largest = (tuple(shape)[:2] for shape in engine.get_tensor_profile_shape(INPUT, 0))
    return SizeRange(smallest, usual, largest)
