"""The ladder: its rungs, what it admits, and a real run that steps down under load and comes back up."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgedeblur import ExitCode, Failure
from runtime.frame import UNIQUE, Image, now_ns
from runtime.sessions.onnx_session import OnnxSession
from runtime.sessions.session import Result, Session
from runtime.steering import controller
from runtime.steering.ladder_session import LadderSession, rungs_of
from runtime.steering.steering import (
    Steering,
    SteeringOptions,
    add_steering_arguments,
    steered,
    steering_options,
)
from runtime.stop import Stop
from tests.runtime.conftest import picture
from tests.runtime.fakes import CountingSource, KeepingSink, SlowSession, pipeline
from tests.runtime.stand_in import write_model

FPS = 20.0


class Loaded(SlowSession):
    """A session on a machine that others use: takes `factor` times as long as it would."""

    def __init__(self, inner: Session, load: dict[str, float]) -> None:
        super().__init__()
        self._session, self._load = inner, load

    def infer(self, frame: Image) -> Image:
        start = time.monotonic()
        sharp = self._session.infer(frame)
        time.sleep((time.monotonic() - start) * (self._load["factor"] - 1))
        return sharp

    def describe(self) -> str:
        return self._session.describe()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become tenths of them, so that a test is quick."""
    monkeypatch.setattr(controller, "PATIENCE_S", 0.4)
    monkeypatch.setattr(controller, "LASTING_S", 0.1)
    monkeypatch.setattr(controller, "DWELL_S", 0.6)
    monkeypatch.setattr(controller, "HALF_LIFE_S", 2.0)


def play(session: Session, seconds: float, until: int | None = None) -> list[Result]:
    """Frames at FPS for a time, or until the ladder is on a rung."""
    results, frame, end = [], picture(20, (90, 122)), time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        session.submit(frame)
        results.append(session.result())
        if until is not None and isinstance(session, LadderSession) and session.rung is session.rungs[until]:
            break
        time.sleep(max(0.0, 1 / FPS - (time.monotonic() - start)))
    return results


@pytest.mark.usefixtures("quick")
def test_under_load_it_steps_down_and_comes_back_up(tmp_path: Path) -> None:
    load, said = {"factor": 1.0}, list[str]()
    large = write_model(tmp_path / "large.onnx", rounds=60, preset="large")
    small = write_model(tmp_path / "small.onnx", preset="small")
    models = [Loaded(OnnxSession(path, 1), load) for path in (large, small)]
    frame = picture(20, (90, 122))
    unloaded_s = min(_seconds(models[0], frame) for _ in range(5))
    fps = min(FPS, 0.2 / unloaded_s)  # however slow this machine is now, it can do that with ease
    session = LadderSession(models, fps, said.append)
    assert {result.how for result in play(session, 0.5)} == {"deblurred"}
    load["factor"] = 2.5 / fps / unloaded_s
    play(session, 20, until=1)
    assert session.rung.text == "small fp32"
    load["factor"] = 1.0
    play(session, 40, until=0)
    assert session.rung.text == "large fp32"
    session.close()
    assert session.steps == len(said) >= 2
    assert said[0].startswith("frames take ")
    assert said[0].endswith(f"{fps:g} frames/s are asked for: small fp32")
    assert said[-1].startswith("frames would take ")
    assert said[-1].endswith(": back to large fp32")


def _seconds(session: Session, frame: Image) -> float:
    start = time.monotonic()
    session.infer(frame)
    return time.monotonic() - start


@pytest.mark.usefixtures("quick")
def test_where_nothing_helps_frames_pass_as_they_came_and_it_tries_again() -> None:
    slow = SlowSession(0.06)
    session = LadderSession([slow], 3 * FPS, lambda text: None)
    frame = picture(1, (24, 36))
    results, end = [], time.monotonic() + 60
    while session.rung.session is not None and time.monotonic() < end:
        if session.admit():
            session.submit(frame)
            results.append(session.result())
    session.submit(frame)
    passed = session.result()
    assert (passed.how, passed.image is frame) == ("passthrough", True)
    slow.seconds = 0.0
    play(session, 60, until=0)
    assert session.rung is session.rungs[0]
    session.close()


def test_the_rungs_are_in_their_order(model: Path) -> None:
    names = ["large fp32", "small int8"]
    texts = [rung.text for rung in rungs_of([Named(f"{name} (x.onnx), CPU") for name in names])]
    assert texts == [
        "large fp32",
        "small int8",
        "small int8 at 3/4 size",
        "small int8 at 1/2 size",
        "small int8 at 1/2 size on every 2nd frame",
        "small int8 at 1/2 size on every 3rd frame",
        "frames as they came",
    ]


class Named(SlowSession):
    def __init__(self, text: str, min_size: tuple[int, int] = (1, 1), depth: int = 1) -> None:
        super().__init__()
        self._text, self.min_size, self.depth, self.closed = text, min_size, depth, 0

    def describe(self) -> str:
        return self._text

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("every", [2, 3])
def test_frames_left_out_are_evenly_spaced_and_counted_as_deadline(every: int) -> None:
    session = LadderSession([SlowSession()], 500.0, lambda text: None)
    number = next(n for n, rung in enumerate(session.rungs) if rung.every == every)
    session._controller.rung = number
    source, sink = CountingSource(60), KeepingSink()
    line = pipeline(source, session, [sink], admit=session.admit)  # type: ignore[arg-type]
    line.run(Stop())
    assert sink.kept == list(range(every - 1, 60, every))
    assert line.drops()["deadline"] == 60 - len(sink.kept)
    session.close()


def test_files_keep_every_frame() -> None:
    steering = steered(SlowSession(), SteeringOptions(30.0, guard=False), no_more, print)
    steering.keep_all()
    steering.keep_all()
    assert steering.ladder is not None
    assert [rung.every for rung in steering.ladder.usable] == [1, 1, 1, 1]
    steering.session.close()


def test_an_engine_of_one_size_leaves_the_sizes_out(tmp_path: Path) -> None:
    """And thins out frames at its own size instead."""
    free = onnx.load(write_model(tmp_path / "free.onnx", preset="fixed"))
    for value in (*free.graph.input, *free.graph.output):
        for dimension, length in zip(value.type.tensor_type.shape.dim, (36, 52, 3), strict=True):
            dimension.dim_value = length
    onnx.save(free, tmp_path / "fixed.onnx")
    said: list[str] = []
    session = LadderSession([OnnxSession(tmp_path / "fixed.onnx")], FPS, said.append)
    frame = picture(4)
    session._controller.rung = 1
    assert (session.infer(frame) == frame).all()
    assert session.rung.text == "fixed fp32 on every 2nd frame"
    assert [rung.text for rung in session.usable] == [
        "fixed fp32",
        "fixed fp32 on every 2nd frame",
        "fixed fp32 on every 3rd frame",
        "frames as they came",
    ]
    assert "fixed fp32 at 3/4 size cannot be used (model" in said[0]
    assert said[0].endswith("fixed fp32 at 1/2 size instead")
    assert len(said) == 2
    session.close()


def test_a_size_below_what_the_model_takes_is_left_out() -> None:
    session = LadderSession([Named("n", min_size=(10, 10))], FPS, lambda text: None)
    session._controller.rung = 2
    frame = np.zeros((15, 40, 3), np.uint8)
    assert session.infer(frame).shape == frame.shape
    assert [rung.text for rung in session.usable][:3] == ["n", "n at 3/4 size", "n at 3/4 size on every 2nd frame"]


def test_the_model_itself_is_never_left_out() -> None:
    class Refusing(SlowSession):
        def submit(self, frame: Image) -> None:
            raise Failure("not this size", ExitCode.MODEL)

    session = LadderSession([Refusing()], FPS, lambda text: None)
    with pytest.raises(Failure, match="not this size"):
        session.submit(picture(0))


def test_it_takes_what_all_models_take_and_closes_them() -> None:
    models = [Named("a", (9, 20), depth=3), Named("b", (16, 9), depth=2)]
    session = LadderSession(models, FPS, lambda text: None)
    assert (session.min_size, session.depth) == ((16, 20), 2)
    session.close()
    assert all(model.closed for model in models)


def test_passed_frames_are_no_unique_ones() -> None:
    assert "passthrough" not in UNIQUE


def test_frames_behind_each_other_do_not_count_twice() -> None:
    """Three in flight, 20 ms each: the last one took 60 ms and the session is as fast as one that takes 20 ms."""

    class Behind(SlowSession):
        depth = 3

        def submit(self, frame: Image) -> None:
            begin = max(now_ns(), self.results[-1].finished_ns if self.results else 0)
            self.results.append(Result(frame, begin + 20_000_000))

    took: list[float | None] = []
    session = LadderSession([Behind()], FPS, lambda text: None)
    session._controller.decide = lambda now_s, took_s: took.append(took_s) or 0  # type: ignore[method-assign,func-returns-value]
    for _ in range(3):
        session.submit(picture(0))
    for _ in range(3):
        session.result()
    assert took == [pytest.approx(0.02, abs=0.005)] * 3


def no_more(model: str) -> Session:
    raise AssertionError("nothing is to be opened")


def parsed(words: Sequence[str]) -> SteeringOptions:
    parser = argparse.ArgumentParser()
    add_steering_arguments(parser)
    return steering_options(parser.parse_args(words))


def test_nothing_asked_for_is_the_session_itself() -> None:
    session = SlowSession()
    steering = steered(session, parsed(["--guard", "off"]), no_more, print)
    assert steering.session is session
    assert steering.admit()
    assert (steering.describe(), steering.counts()) == ("", {})
    steering.keep_all()


def test_the_words_of_the_command_line() -> None:
    assert parsed([]) == SteeringOptions()
    words = ["--target-fps", "29.97", "--ladder", "edge-n, small.onnx", "--gate", "auto", "--guard", "off"]
    assert parsed(words) == SteeringOptions(29.97, ("edge-n", "small.onnx"), True, False)
    with pytest.raises(Failure, match="--target-fps"):
        parsed(["--ladder", "edge-n"])


@pytest.mark.parametrize(
    "words", [["--target-fps", "0"], ["--target-fps", "nan"], ["--target-fps", "30", "--ladder", "a,"]]
)
def test_words_that_make_no_sense(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(words)
    assert "error" in capsys.readouterr().err


def all_on() -> tuple[Steering, list[Named]]:
    opened: list[Named] = []

    def open_more(model: str) -> Session:
        opened.append(Named(f"{model} fp16 (m)"))
        return opened[-1]

    return steered(SlowSession(), SteeringOptions(30.0, ("b", "c"), True, True), open_more, print), opened


def test_what_is_on_is_described_and_counted() -> None:
    steering, opened = all_on()
    assert [model.describe() for model in opened] == ["b fp16 (m)", "c fp16 (m)"]
    assert steering.describe().startswith("30 frames/s by slow, b fp16, c fp16, c fp16 at 3/4 size")
    steering.session.infer(picture(0))
    assert steering.counts() == {"rung": "slow", "steps": 0, "sharp": 0, "guarded": 0}
    steering.session.close()
    assert all(model.closed for model in opened)


def test_models_opened_before_one_that_fails_are_closed() -> None:
    first = Named("b")

    def open_more(model: str) -> Session:
        if model == "c":
            raise Failure("no such model", ExitCode.MODEL)
        return first

    main = Named("a")
    with pytest.raises(Failure, match="no such model"):
        steered(main, SteeringOptions(30.0, ("b", "c")), open_more, print)
    assert (first.closed, main.closed) == (1, 0)
