"""EngineRunner: starts an engine on one stream, as a recorded CUDA graph where that can be had."""

from __future__ import annotations

from runtime.cuda_graph import CaptureRefused, CudaGraph
from runtime.engine_context import EngineContext


class EngineRunner:
    """Belongs to one frame size: graphs are recorded for the size that is set in the engine."""

    def __init__(self, engine: EngineContext, graphs: bool) -> None:
        """graphs: whether to try; TensorRT-RTX records by itself and must not be recorded."""
        self.plain_because = ""  # why it is enqueued plainly; empty where it is recorded
        if engine.own_graphs:
            self.plain_because = "TensorRT-RTX records its own"
        elif not graphs:
            self.plain_because = "not asked for"
        self._engine = engine
        self._graphs: dict[tuple[int, int], CudaGraph | None] = {}

    def run(self, frame: int, sharp: int, stream: int) -> None:
        """Enqueue one frame. frame, sharp: device addresses; each pair of them is recorded when it comes again.

        The first time is plain, since an engine may prepare itself then, which cannot be recorded.
        """
        key = (frame, sharp)
        if self.plain_because or key not in self._graphs:
            self._engine.enqueue(frame, sharp, stream)
            self._graphs.setdefault(key, None)
            return
        graph = self._graphs[key]
        if graph is None:
            try:
                graph = CudaGraph(stream, lambda: self._engine.enqueue(frame, sharp, stream))
            except CaptureRefused as refused:
                self.plain_because = str(refused)
                self._engine.enqueue(frame, sharp, stream)
                return
            self._graphs[key] = graph
        graph.launch(stream)

    def close(self) -> None:
        for graph in self._graphs.values():
            if graph is not None:
                graph.close()
        self._graphs.clear()
