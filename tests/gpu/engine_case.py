"""One engine, built, compared with its file and timed; a process of its own, because TensorRT can end or hang one.

Arguments: toolkit, ONNX file, `edgedeblur build`'s further words. The last line on stdout is JSON: what was measured.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

import edgedeblur
from engines.errors import Messages
from engines.layer_times import layer_times
from engines.layers import layers_of_report, with_times
from engines.parity import check_parity, measure, references
from engines.plugin_library import load_plugin
from export.passes.model_file import FRAME, PRECISION_KEY, SHARP, model_from_bytes
from runtime.frame import Image
from runtime.sessions.engine_context import sizes_of_engine
from runtime.sessions.engine_file import read_engine

SLOWEST = 5  # layers that are reported
WARM_UP, RUNS = 10, 50


def main(toolkit: str, onnx: Path, words: list[str]) -> dict[str, Any]:
    """What was measured, `reached` first: build, load, compare, time or done."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.engine"
        command = ["build", str(onnx), "--toolkit", toolkit, "--save-engine", str(path), *words]
        code = edgedeblur.main(command)
        if code:
            return {"reached": "build", "code": int(code)}
        file = read_engine(path)
        sidecar = dict(file.sidecar or {})
        found: dict[str, Any] = {
            "reached": "load",
            "build_s": sidecar["build"]["seconds"],
            "mib": round(len(file.plan) / 2**20, 1),
            "deform": sidecar["key_parts"]["deform"],
            "fp16_graph_psnr": sidecar["quality"]["fp16_psnr_to_fp32"],
            "session_parity": sidecar["quality"]["parity"],  # by PyCUDA, at the build; null without it
        }
        engine = _TorchEngine(toolkit, file)
        found["reached"] = "compare"
        data = onnx.read_bytes()
        precision = model_from_bytes(data, onnx).metadata_props.get(PRECISION_KEY, "fp32")
        parity = measure(engine, references(data, onnx, precision, [], engine.sizes))
        check_parity(parity, sidecar["key_parts"]["precision"], None)
        found |= {"parity": parity.worst, "worst_frame": parity.worst_frame, "reached": "time"}
        found |= {"ms": engine.median_ms(), **engine.layers(), "reached": "done"}
        return found


class _TorchEngine:
    """A loaded engine on PyTorch's memory and streams: needs no PyCUDA."""

    def __init__(self, toolkit: str, file: Any) -> None:
        self._torch, self._trt = importlib.import_module("torch"), importlib.import_module(toolkit)
        self._torch.cuda.init()
        if file.plugin is not None:
            load_plugin(self._trt, file.plugin)
        self._messages = Messages(self._trt)
        self._runtime = self._trt.Runtime(self._messages.logger)
        self._engine = self._runtime.deserialize_cuda_engine(file.plan)
        if self._engine is None:
            raise SystemExit(f"the engine does not load: {'; '.join(self._messages.errors[:3])}")
        self.sizes = sizes_of_engine(self._engine)
        self._context = self._engine.create_execution_context()
        self._stream = self._torch.cuda.Stream()

    def infer(self, frame: Image) -> Image:
        torch = self._torch
        on_gpu = torch.from_numpy(frame).cuda()
        sharp = torch.full_like(on_gpu, 0xA5)
        torch.cuda.synchronize()
        self._bind(on_gpu, sharp)
        assert self._context.execute_async_v3(self._stream.cuda_stream), self._messages.errors[-1:]
        self._stream.synchronize()
        image: Image = sharp.cpu().numpy()
        return image

    def _bind(self, frame: Any, sharp: Any) -> None:
        if not self.sizes.is_fixed:
            self._context.set_input_shape(FRAME, tuple(frame.shape))
        self._context.set_tensor_address(FRAME, frame.data_ptr())
        self._context.set_tensor_address(SHARP, sharp.data_ptr())

    def median_ms(self) -> float:
        """Milliseconds of the network alone by CUDA events: no copies, no CUDA graph, one frame at a time."""
        torch, times = self._torch, list[float]()
        frame = torch.zeros((*self.sizes.usual, 3), dtype=torch.uint8, device="cuda")
        sharp = torch.empty_like(frame)
        self._bind(frame, sharp)
        for run in range(WARM_UP + RUNS):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record(self._stream)
            self._context.execute_async_v3(self._stream.cuda_stream)
            end.record(self._stream)
            end.synchronize()
            if run >= WARM_UP:
                times.append(start.elapsed_time(end))
        return round(statistics.median(times), 4)

    def layers(self) -> dict[str, Any]:
        """How many there are and the slowest, with their share of all layers' times."""
        inspector = self._engine.create_engine_inspector()
        report = inspector.get_engine_information(self._trt.LayerInformationFormat.JSON)
        context = self._engine.create_execution_context()
        if not self.sizes.is_fixed:
            context.set_input_shape(FRAME, (*self.sizes.usual, 3))
        times = layer_times(self._trt, context, self.sizes.usual, _TorchDriver(self._torch))
        timed = [layer for layer in with_times(layers_of_report(json.loads(report)), times) if layer["ms"] is not None]
        slowest = sorted(timed, key=lambda layer: -layer["ms"])[:SLOWEST]
        return {
            "layers": len(timed),
            "layers_ms": round(sum(times.values()), 4),
            "slowest": [{**layer, "name": str(layer["name"])[:100]} for layer in slowest],
        }


class _TorchDriver:
    """What layer_times asks of `pycuda.driver`."""

    def __init__(self, torch: Any) -> None:
        self._torch, self._kept = torch, list[Any]()

    def to_device(self, array: Image) -> int:
        return self._keep(self._torch.from_numpy(array).cuda())

    def mem_alloc(self, size: int) -> int:
        return self._keep(self._torch.empty(size, dtype=self._torch.uint8, device="cuda"))

    def Stream(self) -> Any:  # PyCUDA's name
        stream = self._torch.cuda.Stream()
        return SimpleNamespace(handle=stream.cuda_stream, synchronize=stream.synchronize)

    def _keep(self, tensor: Any) -> int:
        self._kept.append(tensor)
        return int(tensor.data_ptr())


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])), flush=True)
