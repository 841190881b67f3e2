"""A stand-in for TensorRT on a real GPU: its engines run the PyTorch network on the very addresses and stream given."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.runtime import fake_tensorrt

WARM_UP_CALLS = 3  # of PyTorch on a stream: what it sets up then must not happen while a graph is recorded


def random_frame_model(torch: Any, preset: str) -> Any:
    """uint8 (H, W, 3) in and out on the GPU; a fresh network is the identity and would hide every mistake."""
    from training.config import PRESETS
    from training.frame_model import FrameModel
    from training.network import SAPHNet

    torch.manual_seed(7)
    network = SAPHNet(PRESETS[preset])
    for name, parameter in network.named_parameters():
        if any(part in name for part in ("offset", "modulation", "head")):
            torch.nn.init.normal_(parameter, std=0.02)
    return FrameModel(network.cuda()).eval()


class TorchEngine:
    """One network as an engine: FP16 by autocast, frames of one size."""

    def __init__(self, torch: Any, preset: str, size: tuple[int, int]) -> None:
        self.size = size
        self._torch = torch
        self._model = random_frame_model(torch, preset)
        self._streams: dict[int, Any] = {}  # handle → torch's stream
        self._tensors: dict[int, Any] = {}  # address → (H, W, 3) uint8 there

    def __call__(self, frame: Any) -> Any:
        """(H, W, 3) uint8 on the GPU in, the same out, on torch's current stream."""
        torch = self._torch
        with torch.inference_mode(), torch.autocast("cuda", torch.float16):
            return self._model(frame)

    def launch(self, work: str, frame: int, sharp: int, shape: tuple[int, int, int], stream: int) -> bool:
        """What `execute_async_v3` of the stand-in does."""
        torch, calls = self._torch, 1
        for address in (frame, sharp):
            if address not in self._tensors:
                self._tensors[address] = torch.as_tensor(_DeviceArray(address, shape), device="cuda")
        if stream not in self._streams:
            self._streams[stream] = torch.cuda.ExternalStream(stream)
            calls += WARM_UP_CALLS
        with torch.cuda.stream(self._streams[stream]):
            for _ in range(calls):
                self._tensors[sharp].copy_(self(self._tensors[frame]))
        return True


class _DeviceArray:
    """Memory of the GPU that torch takes without a copy."""

    def __init__(self, address: int, shape: tuple[int, int, int]) -> None:
        self.__cuda_array_interface__ = {
            "shape": shape,
            "typestr": "|u1",
            "data": (address, False),
            "version": 3,
            "strides": None,
        }


@contextmanager
def stand_in_for_tensorrt(engine: TorchEngine, folder: Path) -> Iterator[Path]:
    """Inside the block `import tensorrt` gives the stand-in; yields the path of a plan that is `engine`."""
    before = sys.modules.get("tensorrt")
    fake_tensorrt.install(engine.launch)
    path = folder / "torch.engine"
    path.write_bytes(fake_tensorrt.plan_bytes("torch", engine.size, engine.size, engine.size))
    try:
        yield path
    finally:
        del sys.modules["tensorrt"]
        if before is not None:
            sys.modules["tensorrt"] = before
