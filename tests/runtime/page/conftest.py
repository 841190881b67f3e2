"""Pages for the tests; after each, no thread and no descriptor of it may be left."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime.page.jpeg import JpegEncoder
from runtime.sessions.onnx_session import OnnxSession
from tests.runtime.page.serving import Served, until

Serve = Callable[..., Served]


@pytest.fixture(scope="session")
def loaded(model: Path) -> Path:
    """The model, once the libraries that open files when they are used first have done so."""
    OnnxSession(model, 1).infer(np.zeros((32, 48, 3), np.uint8))
    JpegEncoder((32, 48), 1, None, 90).encode([np.zeros((32, 48, 3), np.uint8)])
    return model


@pytest.fixture
def serve(loaded: Path) -> Iterator[Serve]:
    """Served(…) with the stand-in model."""
    before, threads = len(os.listdir("/proc/self/fd")), set(threading.enumerate())
    pages: list[Served] = []

    def start(**how: object) -> Served:
        pages.append(Served(loaded, **how))  # type: ignore[arg-type]
        return pages[-1]

    yield start
    for page in pages:
        page.close()
    pages.clear()
    until(lambda: not set(threading.enumerate()) - threads, 5)
    gc.collect()
    time.sleep(0.05)
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.fixture
def served(serve: Serve) -> Served:
    """One camera on a page of the loopback."""
    return serve()


@pytest.fixture
def bare(serve: Serve) -> Served:
    """A page without any stream."""
    return serve(scenes={})
