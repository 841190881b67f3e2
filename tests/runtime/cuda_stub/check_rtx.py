"""TensorRT-RTX: it records its own graphs, and what it compiled is kept on the disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.sessions import jit_cache
from runtime.sessions.engine_file import EngineFile
from runtime.sessions.tensorrt_session import TensorRTSession
from tests.runtime.cuda_stub import driver
from tests.runtime.cuda_stub.fixtures import MakeEngine, frames, halved


@pytest.fixture
def rtx(kernels: object) -> Any:
    """The stand-in module; counts what it compiles."""
    return sys.modules["tensorrt_rtx"]


@pytest.fixture(autouse=True)
def user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "edgedeblur"


def compilations(rtx: Any, engine: EngineFile) -> tuple[int, list[str]]:
    """How many kernels one session over `engine` compiled, and what it noted."""
    rtx.compilations = 0
    session = TensorRTSession(engine)
    picture = frames(1)[0]
    np.testing.assert_array_equal(session.infer(picture), halved(picture))
    session.close()
    return int(rtx.compilations), session.notes[1:]


def beside(engine: EngineFile) -> Path:
    return engine.path.with_name(f"{engine.path.name}.jit")


def test_its_own_graphs_are_asked_for_and_none_of_ours_made(make_engine: MakeEngine, rtx: Any) -> None:
    session = TensorRTSession(make_engine(toolkit="tensorrt_rtx"))
    assert "TensorRT-RTX records its own" in session.describe()
    assert "tensorrt_rtx 10.3.0 on Stub GPU" in session.describe()
    session.close()
    strategy = rtx.DynamicShapesKernelSpecializationStrategy
    assert rtx.strategies == (rtx.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE, strategy.LAZY)
    assert driver.counter("graph_launches") == 0


def test_the_engine_always_works_at_one_place(make_engine: MakeEngine, rtx: Any, kernels: Any) -> None:
    """Else it would record its graph anew for every frame."""
    session = TensorRTSession(make_engine(toolkit="tensorrt_rtx"))
    kept = [session.infer(picture) for picture in frames(9)]
    assert len(kernels._kernels) == 1
    del kept
    session.close()


def test_what_was_compiled_is_found_by_the_next_start(make_engine: MakeEngine, rtx: Any) -> None:
    engine = make_engine(toolkit="tensorrt_rtx")
    assert compilations(rtx, engine) == (1, [])
    assert beside(engine).is_file()
    assert compilations(rtx, engine) == (0, [])


def test_sizes_that_came_later_are_kept_too(make_engine: MakeEngine, rtx: Any) -> None:
    engine = make_engine((9, 9), (36, 52), (60, 80), toolkit="tensorrt_rtx")
    for expected in (2, 0):
        rtx.compilations = 0
        session = TensorRTSession(engine)
        session.infer(frames(1, (20, 30))[0])
        session.close()
        assert rtx.compilations == expected
        assert rtx.strategies[1] == rtx.DynamicShapesKernelSpecializationStrategy.EAGER


def test_a_damaged_cache_is_made_again(make_engine: MakeEngine, rtx: Any) -> None:
    engine = make_engine(toolkit="tensorrt_rtx")
    beside(engine).write_bytes(b"\x00cut")
    count, notes = compilations(rtx, engine)
    assert count == 1
    assert "is damaged or from another GPU" in notes[0]
    assert compilations(rtx, engine) == (0, [])


def test_a_folder_that_cannot_be_written(make_engine: MakeEngine, rtx: Any, user_cache: Path) -> None:
    engine = make_engine(toolkit="tensorrt_rtx")
    (beside(engine) / "in the way").mkdir(parents=True)  # also for root, whom no mode stops
    assert compilations(rtx, engine) == (1, [])
    assert [path.name[:5] for path in (user_cache / "jit").iterdir()] == ["half."]
    assert compilations(rtx, engine) == (0, [])


def test_nowhere_to_keep_it(make_engine: MakeEngine, rtx: Any, user_cache: Path) -> None:
    engine = make_engine(toolkit="tensorrt_rtx")
    (beside(engine) / "in the way").mkdir(parents=True)
    user_cache.parent.mkdir()
    user_cache.write_text("a file")
    count, notes = compilations(rtx, engine)
    assert count == 1
    assert "not kept and the next start is slow" in notes[0]
    assert len(notes) == 1
    assert not [path for path in engine.path.parent.iterdir() if path.name.startswith(".")]  # no half file


def test_a_cache_that_tensorrt_does_not_give(
    make_engine: MakeEngine, rtx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(toolkit="tensorrt_rtx")
    monkeypatch.setattr(rtx.IRuntimeCache, "serialize", lambda cache: None)
    count, notes = compilations(rtx, engine)
    assert count == 1
    assert "TensorRT-RTX gives none" in notes[0]
    assert not beside(engine).exists()


def test_only_tensorrt_rtx_looks_for_a_cache(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: pytest.fail("a home that nobody has"))
    TensorRTSession(make_engine()).close()


def test_a_cache_that_grew_too_large_is_not_kept(
    make_engine: MakeEngine, rtx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jit_cache, "LARGEST_BYTES", 3)
    engine = make_engine(toolkit="tensorrt_rtx")
    count, notes = compilations(rtx, engine)
    assert count == 1
    assert "not kept: 0 MiB" in notes[0]
    assert not beside(engine).exists()
