"""The GPU's thread: it alone makes, uses and frees what lies on the GPU, from the context to the last event."""

from __future__ import annotations

import traceback
from collections import deque
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from edgedeblur import Failure
from runtime.cuda import cuda_failure, import_pycuda, is_broken, primary_context
from runtime.driver_call import DriverError
from runtime.engine_context import EngineContext
from runtime.engine_file import EngineFile
from runtime.exchange import Closed, Exchange
from runtime.frame import Image, now_ns
from runtime.frame_lanes import CopyingLanes, EngineRunner, FrameLanes, MappedLanes
from runtime.session import Result
from runtime.size_range import Size, SizeRange
from runtime.slots import Slot, leased

WARM_UP_FRAMES = 5


@dataclass(frozen=True)
class Ready:
    """What the session is told when the engine has run its first frames."""

    sizes: SizeRange
    depth: int
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
            work.open(file, exchange)
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
        else:
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
        self._runner: EngineRunner | None = None
        self._lanes: FrameLanes | None = None
        self._slots: list[Slot] = []
        self._free: SimpleQueue[Slot] = SimpleQueue()
        self._size: Size | None = None
        attribute = driver.device_attribute.INTEGRATED
        self._mapped = bool(driver.Context.get_device().get_attribute(attribute))

    def open(self, file: EngineFile, exchange: Exchange[Ready]) -> None:
        """Load the engine, run it until it is steady, and say so."""
        start_ns = now_ns()
        engine = self._engine = EngineContext(file)
        loaded_ns = now_ns()
        self.doing = "warming up"
        self._set_size(engine.sizes.usual)
        assert self._lanes is not None
        assert self._runner is not None
        frame = np.zeros((*engine.sizes.usual, 3), np.uint8)
        for _ in range(WARM_UP_FRAMES):
            self._finish(self._start(frame))
        engine.keep_kernels()
        memory = "frames in memory shared with the GPU" if self._mapped else "frames copied beside the computing"
        graph = self._runner.plain_because
        how = f"{memory}, {f'no CUDA graph of ours: {graph}' if graph else 'CUDA graph'}"
        load_s, warm_up_s = (loaded_ns - start_ns) / 1e9, (now_ns() - loaded_ns) / 1e9
        exchange.be_ready(
            Ready(engine.sizes, self._lanes.depth, how, load_s, warm_up_s, engine.notes), self._lanes.depth
        )

    def pass_frames(self, exchange: Exchange[Ready]) -> None:
        """Frames in, results out, until the exchange is closed. Raises: Closed, or what failed."""
        flying: deque[Slot] = deque()
        while True:
            # What has come is enqueued before anything is waited for: the GPU must not run dry.
            self.doing = "waiting for a frame"
            frame = exchange.next_frame(wait=not flying)
            if frame is not None and frame.shape[:2] != self._size:
                while flying:
                    exchange.give(self._finish(flying.popleft()))
                self._set_size(frame.shape[:2])
            if frame is not None:
                flying.append(self._start(frame))
            else:
                exchange.give(self._finish(flying.popleft()))
            del frame  # the caller's memory is not kept while we wait

    def close(self) -> None:
        """Free everything, after what is under way."""
        self._drop_frames()
        if self._engine is not None:
            self._engine.keep_kernels()
            self._engine.close()
            self._engine = None

    def abandon(self) -> None:
        """The context is broken and no call frees anything: TensorRT's objects go, the rest goes with the context."""
        if self._engine is not None:
            self._engine.close()

    def _set_size(self, size: Size) -> None:
        assert self._engine is not None
        self.doing = "making room for frames"
        self._drop_frames()
        self._engine.set_size(size)
        self._runner = EngineRunner(self._engine, self._use_graphs)
        lanes = MappedLanes if self._mapped else CopyingLanes
        self._lanes = lanes(self._driver, self._runner, size)
        self._size = size
        for _ in range(self._lanes.depth):
            self._free.put(self._new_slot())

    def _drop_frames(self) -> None:
        if self._lanes is not None:
            self._lanes.close()
            self._lanes = None
        if self._runner is not None:
            self._runner.close()
            self._runner = None
        for slot in self._slots:
            slot.close()
        self._slots.clear()
        self._free = SimpleQueue()  # slots on loan come back to the old one

    def _new_slot(self) -> Slot:
        assert self._lanes is not None
        slot = self._lanes.new_slot()
        self._slots.append(slot)
        return slot

    def _start(self, frame: Image) -> Slot:
        assert self._lanes is not None
        self.doing = "starting a frame"
        try:
            slot = self._free.get_nowait()
        except Empty:  # all results are still held: one more, which then stays
            slot = self._new_slot()
        np.copyto(slot.frame.array, frame)
        self._lanes.start(slot)
        return slot

    def _finish(self, slot: Slot) -> Result:
        assert self._lanes is not None
        self.doing = "computing a frame"
        times = self._lanes.finish(slot)
        return Result(leased(slot, self._free), now_ns(), times)
