"""A pytest plugin for the check_*.py beside it, which run in a process of their own where the stub is libcuda.so.1."""

from __future__ import annotations

import gc
import hashlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.frame import Image
from runtime.sessions.engine_file import EngineFile, read_engine
from runtime.sessions.gpu import find_platform
from tests.runtime import fake_tensorrt
from tests.runtime.cuda_stub import driver
from tests.runtime.cuda_stub.onnx_kernels import OnnxKernels
from tests.runtime.fake_tensorrt import Size
from tests.runtime.stand_in import write_model

SIZE = (36, 52)
MakeEngine = Callable[..., EngineFile]
Change = Callable[..., EngineFile]


@pytest.fixture
def kernels() -> Iterator[OnnxKernels]:
    """`tensorrt` and `tensorrt_rtx` are the stand-in; at the end no kernel may have failed."""
    kernels = OnnxKernels()
    for name in fake_tensorrt.TAGS:
        fake_tensorrt.install(kernels.launch, name)
    yield kernels
    for name in fake_tensorrt.TAGS:
        del sys.modules[name]
    assert kernels.errors() == []


@pytest.fixture
def toolkit(kernels: OnnxKernels) -> Any:
    """The module `tensorrt` that engines are run by."""
    return sys.modules["tensorrt"]


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    """A model that halves its input, so that no input passes for an output."""
    return write_model(tmp_path / "half.onnx", gain=0.5)


@pytest.fixture
def make_engine(onnx: Path, kernels: OnnxKernels) -> MakeEngine:
    """An engine file of the stand-in that computes what `onnx` does; a sidecar of this machine beside it."""

    def make(
        *sizes: Size, name: str = "half.engine", toolkit: str = "tensorrt", sidecar: bool = True, **more: Any
    ) -> EngineFile:
        smallest, usual, largest = sizes if len(sizes) == 3 else (sizes or (SIZE,)) * 3
        path = onnx.with_name(name)
        plan = fake_tensorrt.plan_bytes(more.pop("work", str(onnx)), smallest, usual, largest, toolkit, **more)
        path.write_bytes(plan)
        if sidecar:
            write_sidecar(path, plan, onnx, toolkit, usual)
        return read_engine(path)

    return make


@pytest.fixture
def change(make_engine: MakeEngine) -> Change:
    """An engine whose sidecar's fields are others; a dotted name goes into an inner object."""

    def make(**fields: Any) -> EngineFile:
        engine = make_engine()
        path = engine.path.with_suffix(".json")
        sidecar = json.loads(path.read_text())
        for field, value in fields.items():
            outer, _, inner = field.rpartition("__")
            (sidecar[outer] if outer else sidecar)[inner] = value
        path.write_text(json.dumps(sidecar))
        return read_engine(engine.path)

    return make


def write_sidecar(path: Path, plan: bytes, onnx: Path, toolkit: str, size: Size, **parts: Any) -> None:
    """A sidecar as `edgedeblur build` writes it. parts: key parts that are not this machine's."""
    key_parts = {
        "precision": "fp16",
        "size": list(size),
        "toolkit": toolkit,
        "toolkit_version": fake_tensorrt.VERSION,
        "sm": ["89"],
        "gpu": "Stub GPU",
        "platform": find_platform(),
        **parts,
    }
    sidecar = {
        "schema": "edgedeblur.engine/2",
        "plan_sha256": hashlib.sha256(plan).hexdigest(),
        "key_parts": key_parts,
        "model": {"preset": "stand-in", "min_size": "9x9"},
        "onnx": {"path": onnx.name, "sha256": hashlib.sha256(onnx.read_bytes()).hexdigest()},
        "plugin": None,
        "rebuild": ["--size", f"{size[0]}x{size[1]}", "--precision", "fp16"],
    }
    path.with_suffix(".json").write_text(json.dumps(sidecar))


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """After every check: all of the driver's memory, streams, events, graphs and contexts came back, threads too."""
    driver.reset()
    yield
    gc.collect()
    assert [thread.name for thread in threading.enumerate() if thread.name == "gpu"] == []
    assert driver.alive() == {}


def frames(count: int, size: Size = SIZE, seed: int = 0) -> list[Image]:
    """Pictures of noise, each different."""
    random = np.random.default_rng(seed)
    return [random.integers(0, 256, (*size, 3), np.uint8) for _ in range(count)]


def halved(frame: Image) -> Image:
    """What the stand-in's model computes."""
    return np.round(frame.astype(np.float32) / 2).astype(np.uint8)
