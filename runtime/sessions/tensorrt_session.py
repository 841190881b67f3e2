"""TensorRTSession: runs an engine of TensorRT or TensorRT-RTX on the GPU, through PyCUDA."""

from __future__ import annotations

import threading
import weakref

import numpy as np

from runtime.frame import Image
from runtime.sessions.engine_file import EngineFile
from runtime.sessions.exchange import Exchange
from runtime.sessions.gpu import find_gpu
from runtime.sessions.gpu_thread import Ready, own_gpu
from runtime.sessions.session import Result
from runtime.sessions.toolkit import toolkit_version

GPU_PATIENCE_S = 10.0  # how long the GPU's thread may take to end before it is left behind
SLOTS_IN_USE = 8  # in flight, waiting for the outputs and being written, about


class TensorRTSession:
    """One engine, ready to run: the constructor returns when it is warm.

    Results are views of page-locked memory: each is its taker's until the last array over it is gone, and then used
    again. Frames are read until their result is there.
    """

    bytes_per_pixel = 2 * 3 * SLOTS_IN_USE

    def __init__(self, engine: EngineFile, graphs: bool = True) -> None:
        """Load and warm up an engine whose hashes and machine were checked (`usable_engine`): plans are code.

        graphs: record a CUDA graph where TensorRT does not by itself.
        Raises: Failure (ENVIRONMENT) without PyCUDA, driver or TensorRT, (MODEL) for an engine that does not load
        or has other tensors, (MEMORY).
        """
        self._file = engine
        self._exchange: Exchange[Ready] = Exchange()
        thread = threading.Thread(target=own_gpu, args=(engine, graphs, self._exchange), name="gpu", daemon=True)
        # Also when nobody closes it: at the end of the program, or when the last reference goes.
        self._end = weakref.finalize(self, _end, self._exchange, thread)
        thread.start()
        try:
            self._ready = self._exchange.wait_ready()
        except BaseException:
            self.close()
            raise
        self.path, self.how = engine.path, self._ready.how
        self.min_size, self.depth = self._ready.sizes.smallest, self._ready.depth
        self.notes = [
            f"engine loaded in {self._ready.load_s:.2f} s, warmed up in {self._ready.warm_up_s:.2f} s",
            *self._ready.notes,
        ]

    def submit(self, frame: Image) -> None:
        """Take (H, W, 3) uint8 BGR, which must stay as it is until its result is there.

        Waits while `depth` frames are in flight: take their results, here or in another thread.
        Raises: Failure (MODEL) when the engine does not take the size, naming those it takes; (MEMORY, ENVIRONMENT)
        when the GPU fails, also at an earlier frame; RuntimeError once closed.
        """
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"a frame is uint8 (height, width, 3), not {frame.dtype} {frame.shape}")
        self._ready.sizes.check((frame.shape[0], frame.shape[1]), self._file.path)
        self._exchange.submit(frame, self.depth)

    def result(self) -> Result:
        """The oldest frame's result; waits for it, and for a frame. Raises: Failure when the GPU failed."""
        return self._exchange.result()

    def infer(self, frame: Image) -> Image:
        """(H, W, 3) uint8 BGR in, the same out. No other frame may be in flight. Raises: as `submit`."""
        if self._exchange.in_flight:
            raise RuntimeError("infer() while frames are in flight; take their results first")
        self.submit(frame)
        return self.result().image

    def describe(self) -> str:
        gpu, parts, model = find_gpu(), self._file.key_parts, self._file.model
        what = f"{model.get('preset', self._file.path.stem)} {parts.get('precision', 'unknown precision')}"
        toolkit = f"{self._file.toolkit} {toolkit_version(self._file.toolkit)}"
        return (
            f"{what} ({self._file.path.name}, {self._ready.sizes.text}), {toolkit} on "
            f"{gpu.name if gpu is not None else 'a GPU'}, {self.how}"
        )

    def close(self) -> None:
        """Free everything on the GPU; frames in flight are forgotten. Results that are held stay valid."""
        self._end()


def _end(exchange: Exchange[Ready], thread: threading.Thread) -> None:
    exchange.close()
    if thread is not threading.current_thread():  # where the garbage collector may find a session, too
        thread.join(GPU_PATIENCE_S)
