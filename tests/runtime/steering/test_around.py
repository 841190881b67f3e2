"""Sessions around sessions: the order of frames, two threads, several in flight, and an end to every wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from fractions import Fraction
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from edgedeblur import Failure
from runtime.frame import Image
from runtime.sessions.onnx_session import OnnxSession
from runtime.sessions.session import Result, Session
from runtime.steering import ladder_session
from runtime.steering.controller import Controller
from runtime.steering.gated_session import GatedSession
from runtime.steering.guarded_session import GuardedSession
from runtime.steering.ladder_session import LadderSession
from runtime.steering.resized_session import ResizedSession
from runtime.steering.steering import SteeringOptions, steered
from tests.runtime.conftest import picture
from tests.runtime.fakes import DeepSession
from tests.runtime.stand_in import write_model
from tests.runtime.steering.pictures import moved, noisy, sharp_picture

SIZE = (100, 140)


def silent(text: str) -> None:
    pass


class Restless(Controller):
    """Goes to another rung after every other frame, whatever happens."""

    def decide(self, now_s: float, took_s: float | None) -> int:
        self._frames = getattr(self, "_frames", 0) + 1
        self.rung = self.usable[self._frames // 2 % len(self.usable)]
        return self.rung


def everything(monkeypatch: pytest.MonkeyPatch, models: list[Session]) -> Session:
    """Gate, guard and a ladder that never rests, around models."""
    monkeypatch.setattr(ladder_session, "Controller", Restless)
    options = SteeringOptions(30.0, ("b",), gate=True, guard=True)
    return steered(models[0], options, lambda name: models[1], silent).session


@pytest.fixture(scope="module")
def frames() -> list[Image]:
    """Told apart by one pixel; runs of sharp ones, so that the gate opens and closes."""
    sharp, blurred = sharp_picture(SIZE), moved(sharp_picture(SIZE), 6)
    images = [(sharp if index // 9 % 2 else blurred).copy() for index in range(60)]
    for index, image in enumerate(images):
        image[60, 70] = index
    return images


def around(kind: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Session, list[DeepSession]]:
    inner = [DeepSession(0.001), DeepSession(0.0005)]
    makers: dict[str, Callable[[], Session]] = {
        "guard": lambda: GuardedSession(inner[0], silent),
        "gate": lambda: GatedSession(inner[0]),
        "ladder": lambda: LadderSession(inner, 30.0, silent),
        "everything": lambda: everything(monkeypatch, list(inner)),
    }
    return makers[kind](), inner


KINDS = ("guard", "gate", "ladder", "everything")


@pytest.mark.parametrize("kind", KINDS)
def test_two_threads_get_every_result_in_its_order(
    kind: str, monkeypatch: pytest.MonkeyPatch, frames: list[Image]
) -> None:
    session, inner = around(kind, monkeypatch)
    numbers, hows = [], set()

    def take() -> None:
        for _ in frames:
            result = session.result()
            numbers.append(int(result.image[60, 70, 1]))
            hows.add(result.how)

    taker = threading.Thread(target=take)
    taker.start()
    for frame in frames:
        session.submit(frame)
    taker.join(20)
    session.close()
    assert numbers == list(range(len(frames)))
    assert all(model.most <= session.depth for model in inner)
    assert ("sharp" in hows) == (kind in ("gate", "everything"))
    assert ("passthrough" in hows) == (kind == "everything")


@pytest.mark.parametrize("kind", KINDS)
def test_one_thread_may_have_depth_frames_in_flight(
    kind: str, monkeypatch: pytest.MonkeyPatch, frames: list[Image]
) -> None:
    session, _ = around(kind, monkeypatch)
    numbers = []
    for index, frame in enumerate(frames):
        session.submit(frame)
        if index + 1 >= session.depth:
            numbers.append(int(session.result().image[60, 70, 1]))
    numbers += [int(session.result().image[60, 70, 1]) for _ in range(session.depth - 1)]
    session.close()
    assert numbers == list(range(len(frames)))


@pytest.mark.parametrize("kind", KINDS)
def test_one_frame_more_than_depth_waits(kind: str, monkeypatch: pytest.MonkeyPatch, frames: list[Image]) -> None:
    session, _ = around(kind, monkeypatch)
    submitted = count()

    def submit() -> None:
        for frame in frames[: session.depth + 1]:
            session.submit(frame)
            next(submitted)

    giver = threading.Thread(target=submit)
    giver.start()
    time.sleep(0.3)
    assert giver.is_alive()
    session.result()
    giver.join(5)
    assert next(submitted) == session.depth + 1
    for _ in range(session.depth):
        session.result()
    session.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["submit", "result"])
def test_closing_ends_every_wait(kind: str, side: str, monkeypatch: pytest.MonkeyPatch, frames: list[Image]) -> None:
    session, _ = around(kind, monkeypatch)
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            if side == "result":
                session.result()
            for frame in frames:
                session.submit(frame)
        except RuntimeError as error:
            errors.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.2)
    session.close()
    waiter.join(5)
    assert not waiter.is_alive()
    assert "closed" in str(errors[0])
    session.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_inside_is_raised_at_its_frame(
    kind: str, monkeypatch: pytest.MonkeyPatch, frames: list[Image]
) -> None:
    session, inner = around(kind, monkeypatch)
    inner[0].fail_at = 0
    with pytest.raises(RuntimeError, match="the session broke"):
        session.infer(frames[0])
    session.close()


def test_a_frame_that_the_model_refuses_leaves_the_order_as_it_is(tmp_path: Path) -> None:
    """Not every refusal ends a session: one picture of a folder may be of a size that the engine does not take."""

    class Picky(DeepSession):
        def submit(self, frame: Image) -> None:
            if frame.shape[0] != SIZE[0]:
                raise Failure("only one size")
            super().submit(frame)

    session = GuardedSession(GatedSession(Picky()), silent)
    for size in (SIZE, (50, 60), SIZE):
        frame = sharp_picture(size)
        if size == SIZE:
            assert (session.infer(frame) == frame).all()
        else:
            with pytest.raises(Failure, match="only one size"):
                session.submit(frame)
    session.close()


@pytest.mark.parametrize("scale", [Fraction(3, 4), Fraction(1, 2)])
@pytest.mark.parametrize("size", [(91, 133), (17, 9), (1, 1)])
def test_a_model_that_changes_nothing_changes_nothing_at_a_smaller_size(
    model: Path, scale: Fraction, size: tuple[int, int]
) -> None:
    session = ResizedSession(OnnxSession(model), scale)
    frame = noisy(np.full((*size, 3), 128, np.uint8), 60)
    assert (session.infer(frame) == frame).all()
    session.close()


def test_what_a_smaller_size_changes_is_added_to_the_detail(tmp_path: Path) -> None:
    session = ResizedSession(OnnxSession(write_model(tmp_path / "dim.onnx", gain=0.8)), Fraction(1, 2))
    smooth = picture(30, (90, 134))
    frame = noisy(smooth, 5)
    changed = session.infer(frame).astype(int) - frame
    session.close()
    assert changed == pytest.approx(-0.2 * smooth.astype(float), abs=4)


def test_a_smaller_size_needs_a_larger_frame(tmp_path: Path) -> None:
    session = ResizedSession(OnnxSession(write_model(tmp_path / "m.onnx", min_size="9x14")), Fraction(3, 4))
    assert session.min_size == (12, 19)
    session.close()


def test_results_of_smaller_sizes_count_their_own_time_only() -> None:
    """A taker that comes late, because the outputs are slow, must not make the session look slow."""

    class Done(DeepSession):
        def result(self) -> Result:
            result = super().result()
            time.sleep(0.1)
            return result

    session = ResizedSession(Done(), Fraction(1, 2))
    session.submit(picture(3, (60, 80)))
    time.sleep(0.3)
    start = time.monotonic_ns()
    result = session.result()
    session.close()
    assert result.finished_ns < start + 100_000_000
