"""Frames through the session: right, in order, over slots that are used again."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import Any

import numpy as np
import pytest

from edgedeblur import ExitCode, Failure
from runtime.frame import Image
from runtime.sessions.tensorrt_session import TensorRTSession
from tests.runtime.cuda_stub import driver
from tests.runtime.cuda_stub.fixtures import SIZE, MakeEngine, frames, halved
from tests.runtime.cuda_stub.onnx_kernels import OnnxKernels


@pytest.fixture(params=["discrete", "integrated"], autouse=True)
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each check with copies, and with memory that GPU and processor share, as on a Jetson."""
    monkeypatch.setenv("STUB_INTEGRATED", str(int(request.param == "integrated")))
    return str(request.param)


def test_results_are_right_and_in_order(make_engine: MakeEngine, memory: str) -> None:
    session = TensorRTSession(make_engine())
    pictures, flying = frames(40), deque[int]()
    assert session.depth == (3 if memory == "discrete" else 2)
    for index, picture in enumerate(pictures):
        session.submit(picture)
        flying.append(index)
        if len(flying) == session.depth:
            np.testing.assert_array_equal(session.result().image, halved(pictures[flying.popleft()]))
    while flying:
        np.testing.assert_array_equal(session.result().image, halved(pictures[flying.popleft()]))
    session.close()


def test_a_plain_call(make_engine: MakeEngine) -> None:
    session = TensorRTSession(make_engine())
    for picture in frames(5):
        np.testing.assert_array_equal(session.infer(picture), halved(picture))
    session.submit(frames(1)[0])
    with pytest.raises(RuntimeError, match="in flight"):
        session.infer(frames(1)[0])
    session.close()


def test_a_result_is_its_takers_for_as_long_as_a_view_of_it_lives(make_engine: MakeEngine) -> None:
    session = TensorRTSession(make_engine())
    pictures = frames(30)
    kept = [session.infer(picture)[::2, 1:] for picture in pictures]  # views of views, more than there are slots
    for picture, view in zip(pictures, kept, strict=True):
        np.testing.assert_array_equal(view, halved(picture)[::2, 1:])
    session.close()
    np.testing.assert_array_equal(kept[7], halved(pictures[7])[::2, 1:])  # after the end, too
    kept[7][:] = 3  # and it is ordinary memory


def test_results_that_are_dropped_are_used_again(make_engine: MakeEngine) -> None:
    session = TensorRTSession(make_engine())
    places = {session.infer(picture).__array_interface__["data"][0] for picture in frames(60)}
    assert len(places) <= session.depth
    session.close()


def test_nothing_is_allocated_for_a_frame(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_DELAY_US", "0")
    session = TensorRTSession(make_engine((10, 14)))
    pictures = frames(10, (10, 14))
    before = 0
    for index in range(1000):
        if index == 20:
            before = driver.counter("allocations")
        session.infer(pictures[index % 10])
    assert driver.counter("allocations") == before > 0
    session.close()


def test_frames_with_gaps_between_their_rows(make_engine: MakeEngine) -> None:
    session = TensorRTSession(make_engine())
    picture = frames(1, (SIZE[0] * 2, SIZE[1] + 5))[0][::2, 5:]
    assert not picture.flags.c_contiguous
    np.testing.assert_array_equal(session.infer(picture), halved(picture))
    session.close()


def test_two_threads_of_which_none_made_it(make_engine: MakeEngine) -> None:
    session = TensorRTSession(make_engine())
    pictures = frames(50)
    found: list[Image] = []

    def give() -> None:
        for picture in pictures:
            session.submit(picture)

    def take() -> None:
        found.extend(session.result().image.copy() for _ in pictures)

    threads = [threading.Thread(target=take), threading.Thread(target=give)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for picture, image in zip(pictures, found, strict=True):
        np.testing.assert_array_equal(image, halved(picture))
    session.close()


def test_two_sessions_at_once(make_engine: MakeEngine) -> None:
    first, second = TensorRTSession(make_engine()), TensorRTSession(make_engine((20, 31), name="other.engine"))
    for one, other in zip(frames(10), frames(10, (20, 31), seed=1), strict=True):
        first.submit(one)
        second.submit(other)
        np.testing.assert_array_equal(second.result().image, halved(other))
        np.testing.assert_array_equal(first.result().image, halved(one))
    first.close()
    one = frames(1, (20, 31))[0]
    np.testing.assert_array_equal(second.infer(one), halved(one))  # the context is still there for it
    second.close()


def test_sizes_change_within_the_range(make_engine: MakeEngine) -> None:
    session = TensorRTSession(make_engine((9, 9), SIZE, (60, 80)))
    assert session.min_size == (9, 9)
    pictures = [frames(1, size)[0] for size in ((9, 80), (60, 9), (9, 80), SIZE, SIZE, (31, 33))]
    for picture in pictures:
        np.testing.assert_array_equal(session.infer(picture), halved(picture))
    for picture in pictures[:2]:  # with a frame of the old size in flight
        session.submit(picture)
    for picture in pictures[:2]:
        np.testing.assert_array_equal(session.result().image, halved(picture))
    session.close()


@pytest.mark.parametrize(("sizes", "takes"), [((SIZE,), "52x36 only"), (((9, 9), SIZE, (60, 80)), "9x9 to 80x60")])
def test_a_size_it_does_not_take_is_named_and_costs_nothing(
    make_engine: MakeEngine, sizes: tuple[tuple[int, int], ...], takes: str
) -> None:
    session = TensorRTSession(make_engine(*sizes))
    with pytest.raises(Failure, match=f"takes frames of {takes}, these are 50x70.*--size 70x50") as caught:
        session.submit(frames(1, (70, 50))[0])
    assert caught.value.code == ExitCode.MODEL
    picture = frames(1)[0]
    np.testing.assert_array_equal(session.infer(picture), halved(picture))
    session.close()


def test_what_is_no_frame_is_refused(make_engine: MakeEngine) -> None:
    session = TensorRTSession(make_engine())
    wrongs: list[Any] = [np.zeros((*SIZE, 3), np.float32), np.zeros(SIZE, np.uint8), np.zeros((*SIZE, 4), np.uint8)]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="a frame is uint8"):
            session.submit(wrong)
    session.close()
    with pytest.raises(RuntimeError, match="closed"):
        session.result()


def test_times_come_from_events(make_engine: MakeEngine, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_DELAY_US", "3000")
    session = TensorRTSession(make_engine())
    session.submit(frames(1)[0])
    times = session.result().gpu
    session.close()
    assert times is not None
    assert 3 <= times.compute_ms < 500
    if memory == "integrated":
        assert times.upload_ms is times.download_ms is None
        return
    assert times.upload_ms is not None
    assert times.download_ms is not None
    assert min(times.upload_ms, times.download_ms) >= 3


def test_the_network_is_started_as_a_graph(make_engine: MakeEngine, kernels: OnnxKernels) -> None:
    session = TensorRTSession(make_engine())
    assert session.describe().endswith("CUDA graph")
    enqueued, launched = kernels.enqueued, driver.counter("graph_launches")
    assert launched > 0
    for picture in frames(12):
        np.testing.assert_array_equal(session.infer(picture), halved(picture))
    assert driver.counter("graph_launches") - launched + kernels.enqueued - enqueued >= 12
    assert kernels.enqueued - enqueued <= 4  # on shared memory each slot's first frames are not recorded yet
    session.close()


@pytest.mark.parametrize(
    "function", ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuLaunchHostFunc"]
)
def test_a_network_that_cannot_be_recorded_is_enqueued(make_engine: MakeEngine, function: str) -> None:
    driver.fail(function, 2 if function == "cuLaunchHostFunc" else 1, 801)  # the first kernel is not recorded
    session = TensorRTSession(make_engine())
    assert "no CUDA graph of ours" in session.describe()
    for picture in frames(4):
        np.testing.assert_array_equal(session.infer(picture), halved(picture))
    session.close()


def test_a_network_is_recorded_right_after_it_ran_at_those_addresses(make_engine: MakeEngine, toolkit: Any) -> None:
    """What TensorRT prepares for new addresses or a new size it does in a run of its own, never while recording."""
    calls: list[tuple[bool, tuple[int, ...]]] = []
    run = toolkit.IExecutionContext.execute_async_v3

    def noted(context: Any, stream: int) -> bool:
        assert driver.is_idle(stream) or not driver.is_recording(stream)
        calls.append((driver.is_recording(stream), tuple(context._addresses.values()) + context._shape))
        return bool(run(context, stream))

    toolkit.IExecutionContext.execute_async_v3 = noted
    session = TensorRTSession(make_engine((9, 9), SIZE, (60, 80)))
    kept = [session.infer(picture) for picture in [*frames(5), *frames(5, (20, 31)), *frames(2)]]
    assert sum(recording for recording, _ in calls) >= 2
    assert session.describe().endswith("CUDA graph")
    for (_, before), (recording, here) in itertools.pairwise([(False, ()), *calls]):
        assert not recording or before == here
    del kept
    session.close()


def test_graphs_can_be_left_out(make_engine: MakeEngine) -> None:
    session = TensorRTSession(make_engine(), graphs=False)
    picture = frames(1)[0]
    np.testing.assert_array_equal(session.infer(picture), halved(picture))
    assert driver.counter("graph_launches") == 0
    session.close()
