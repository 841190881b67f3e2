"""The GPU's thread: it alone makes, uses and frees what lies on the GPU, from the context to the last event."""

from __future__ import annotations

import traceback
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgedeblur import Failure
from runtime.frame import now_ns
from runtime.sessions.cuda import DriverError, cuda_failure, gpu_failure, import_pycuda, is_broken, primary_context
from runtime.sessions.engine_context import EngineContext
from runtime.sessions.engine_file import EngineFile
from runtime.sessions.exchange import Closed, Exchange
from runtime.sessions.frame_lanes import FrameLanes, lanes_for
from runtime.sessions.size_range import Size, SizeRange
from runtime.sessions.slots import Slot

WARM_UP_ROUNDS = 3  # over all slots: recorded, then launched


@dataclass(frozen=True)
class Ready:
    """What the session is told when the engine has run its first frames."""

    sizes: SizeRange
    depth: int  # frames in flight
    how: str  # for people: how frames reach the GPU and how the network is started
    load_s: float
    warm_up_s: float
    notes: list[str]


def own_gpu(file: EngineFile, graphs: bool, exchange: Exchange[Ready]) -> None:
    """The whole life of the thread. graphs: whether to record a CUDA graph where TensorRT does not by itself."""
    error: BaseException | None = None
    try:
        driver = import_pycuda()
        try:
            error = _serve(driver, file, graphs, exchange)
        except driver.Error as caught:
            error = cuda_failure(driver, caught, "making a CUDA context")
    except BaseException as caught:  # the callers raise it
        error = caught
    exchange.end(error)


def _serve(driver: Any, file: EngineFile, graphs: bool, exchange: Exchange[Ready]) -> BaseException | None:
    """Returns, and does not raise, what went wrong: by then everything must be freed in this thread."""
    with primary_context(driver):
        work = _Work(driver, graphs)
        error: BaseException | None = None
        try:
            exchange.be_ready(work.open(file, exchange))
            work.pass_frames(exchange)
        except Closed:
            pass
        except (driver.Error, DriverError) as caught:
            error = cuda_failure(driver, caught, work.doing)
        except Failure as caught:
            error = Failure(str(caught), caught.code)
        except BaseException as caught:
            traceback.clear_frames(caught.__traceback__)  # or they would keep slots alive in another thread
            error = caught
        if is_broken(driver):
            work.abandon()
            return gpu_failure(error, work.doing) if isinstance(error, Failure) else error
        try:
            work.close()
        except (driver.Error, DriverError) as caught:  # broken by what was still under way
            error = error or cuda_failure(driver, caught, "finishing")
            work.abandon()
    return error


class _Work:
    """Everything on the GPU, so that one place frees it."""

    def __init__(self, driver: Any, graphs: bool) -> None:
        self.doing = "loading the engine"
        self._driver, self._use_graphs = driver, graphs
        self._engine: EngineContext | None = None
        self._lanes: FrameLanes | None = None
        self._size: Size | None = None

    def open(self, file: EngineFile, exchange: Exchange[Ready]) -> Ready:
        """Load the engine and run it until it is steady. Raises: Closed, when it is closed meanwhile."""
        start_ns = now_ns()
        engine = self._engine = EngineContext(file)
        loaded_ns = now_ns()
        lanes = self._lanes_of(engine.sizes.usual)
        self.doing = "warming up"
        frame = np.zeros((*engine.sizes.usual, 3), np.uint8)
        for _ in range(WARM_UP_ROUNDS):
            exchange.check_open()
            for slot in [lanes.start(frame) for _ in range(lanes.depth)]:
                lanes.finish(slot)
        engine.keep_kernels()
        load_s, warm_up_s = (loaded_ns - start_ns) / 1e9, (now_ns() - loaded_ns) / 1e9
        return Ready(engine.sizes, lanes.depth, lanes.describe(), load_s, warm_up_s, engine.notes)

    def pass_frames(self, exchange: Exchange[Ready]) -> None:
        """Frames in, results out, until the exchange is closed. Raises: Closed, or what failed."""
        flying: deque[Slot] = deque()
        lanes = self._lanes
        while lanes is not None:
            # What has come is enqueued before anything is waited for: the GPU must not run dry.
            frame = exchange.next_frame(wait=not flying)
            if frame is None:
                self.doing = "computing a frame"
                exchange.give(lanes.finish(flying.popleft()))
                continue
            if frame.shape[:2] != self._size:
                while flying:
                    exchange.give(lanes.finish(flying.popleft()))
                lanes = self._lanes_of(frame.shape[:2])
            self.doing = "starting a frame"
            flying.append(lanes.start(frame))
            del frame  # the caller's memory is not kept while we wait

    def close(self) -> None:
        """Free everything, after what is under way."""
        self._close_lanes()
        if self._engine is not None:
            self._engine.keep_kernels()
            self._engine.close()
            self._engine = None

    def abandon(self) -> None:
        """The context is broken and no call frees anything: TensorRT's objects go, the rest goes with the context."""
        if self._engine is not None:
            self._engine.close()

    def _lanes_of(self, size: Size) -> FrameLanes:
        assert self._engine is not None
        self.doing = "making room for frames"
        self._close_lanes()
        self._lanes = lanes_for(self._driver, self._engine, size, self._use_graphs)
        self._size = size
        return self._lanes

    def _close_lanes(self) -> None:
        if self._lanes is not None:
            self._lanes.close()
            self._lanes = None
