"""Kernels of the stand-in engine: ONNX Runtime on the very memory that the engine was given, in the stream's order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from runtime.sessions.onnx_session import OnnxSession
from tests.runtime.cuda_stub.driver import Kernel, kernel_memory

REFUSE = "refuse"  # work that is not enqueued


class OnnxKernels:
    """Engines whose `work` is the path of an ONNX file."""

    def __init__(self) -> None:
        self.enqueued = 0  # not counted where a graph is launched
        self._sessions: dict[str, OnnxSession] = {}
        self._kernels: dict[tuple[object, ...], Kernel] = {}

    def launch(self, work: str, frame: int, sharp: int, shape: tuple[int, int, int], stream: int) -> bool:
        if work == REFUSE:
            return False
        self.enqueued += 1
        key = (work, frame, sharp, shape)
        if key not in self._kernels:
            self._kernels[key] = self._kernel(work, frame, sharp, shape)
        return self._kernels[key].launch(stream) == 0

    def errors(self) -> list[Exception]:
        """What went wrong inside kernels."""
        return [kernel.error for kernel in self._kernels.values() if kernel.error is not None]

    def _kernel(self, work: str, frame: int, sharp: int, shape: tuple[int, int, int]) -> Kernel:
        session = self._sessions.setdefault(work, OnnxSession(Path(work), threads=1))

        def compute() -> None:
            np.copyto(kernel_memory(sharp, shape), session.infer(kernel_memory(frame, shape)))

        return Kernel(compute)
