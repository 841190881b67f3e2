"""Pages for the tests; after each, no thread and no descriptor of it may be left."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    JpegEncoder((32, 48), 1, 48, 90).encode([np.zeros((32, 48, 3), np.uint8)])
    return model


@contextmanager
def leaving_nothing() -> Iterator[list[Served]]:
    """A list of pages that are closed in the end; then no thread and no descriptor of them may be left."""
    before, threads = len(os.listdir("/proc/self/fd")), set(threading.enumerate())
    pages: list[Served] = []
    yield pages
    while pages:
        pages.pop().close()
    until(lambda: not set(threading.enumerate()) - threads, 5)
    if len(os.listdir("/proc/self/fd")) > before:
        gc.collect()  # what a failed assertion keeps
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.fixture
def serve(loaded: Path) -> Iterator[Serve]:
    """Served(…) with the stand-in model."""
    with leaving_nothing() as pages:

        def start(model: Path = loaded, **how: object) -> Served:
            pages.append(Served(model, **how))  # type: ignore[arg-type]
            return pages[-1]

        yield start


@pytest.fixture
def served(serve: Serve) -> Served:
    """One camera on a page of the loopback."""
    return serve()


@pytest.fixture(scope="module")
def bare(loaded: Path) -> Iterator[Served]:
    """A page without any stream, for all tests of a file."""
    with leaving_nothing() as pages:
        pages.append(Served(loaded, {}))
        yield pages[0]
