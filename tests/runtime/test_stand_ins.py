"""Frames that the network does not see, outputs that fail one by one, and frames that are not admitted."""

from __future__ import annotations

import gc
import json
import time
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, How, Image
from runtime.live.status import Controls
from runtime.sinks.sink import Sink
from runtime.stop import Stop
from tests.runtime.conftest import Run
from tests.runtime.fakes import CountingSource, KeepingSink, SlowSession, pipeline
from tests.runtime.stand_in import write_model


class SaysHow(CountingSource):
    """A camera whose frames say how they are to go out; a deblurred one is 100 brighter than it came."""

    def __init__(self, hows: list[How]) -> None:
        super().__init__(len(hows), live=True)
        self.hows = hows

    def read(self, stop: Stop) -> Frame | None:
        frame = super().read(stop)
        return frame and replace(frame, how=self.hows[frame.index])


class Brighter(SlowSession):
    def infer(self, frame: Image) -> Image:
        return super().infer(frame) + np.uint8(100)


class Values(KeepingSink):
    """Keeps the value of each picture."""

    def write(self, picture: Image, frame: Frame) -> None:
        time.sleep(self.seconds)
        self.kept.append(int(picture[0, 0, 0]))


def test_what_stands_in_skips_the_network_and_holds_the_last_result() -> None:
    hows: list[How] = ["deblurred", "held", "held", "blank", "passthrough", "deblurred", "held"]
    sink, session = Values(), Brighter()
    run = pipeline(SaysHow(hows), session, [sink], latest=False)
    run.run(Stop())
    assert sink.kept == [100, 100, 100, 3, 4, 105, 105]
    assert session.done == 2
    assert run.captured == 3  # the others were made by us
    assert run.drops() == dict.fromkeys(run.drops(), 0)
    assert dict(run._timing.by_how) == {"deblurred": 2, "held": 3, "blank": 1, "passthrough": 1}
    assert run._timing.delivered == 2  # repeats are no frames a second


def test_a_held_frame_before_any_result_is_left_out() -> None:
    sink = Values()
    pipeline(SaysHow(["held", "deblurred"]), Brighter(), [sink], latest=False).run(Stop())
    assert sink.kept == [101]


def test_what_stands_in_does_not_count_towards_the_frames_that_are_wanted() -> None:
    sink = Values()
    pipeline(SaysHow(["deblurred", "held", "held", "deblurred"]), Brighter(), [sink], latest=True, frames=2).run(Stop())
    assert sink.kept[-1] == 103


def test_frames_that_are_not_admitted_are_dropped_for_their_deadline() -> None:
    sink, turns = KeepingSink(), iter(range(100))
    run = pipeline(CountingSource(9), SlowSession(), [sink], admit=lambda: next(turns) % 3 == 0)
    run.run(Stop())
    assert sink.kept == [0, 3, 6]
    assert run.drops()["deadline"] == 6
    assert sum(run.drops().values()) == 6


def broken(at: int) -> KeepingSink:
    return KeepingSink(fail_at=at, error=Failure(f"full at {at}", ExitCode.ENVIRONMENT))


@pytest.mark.parametrize("first", [0, 1])
def test_a_camera_goes_on_with_the_outputs_that_are_left(first: int) -> None:
    said: list[str] = []
    sinks = [broken(4), KeepingSink()][:: 1 if first else -1]
    with pytest.raises(Failure, match="full at 4"):  # told at the end, with its exit code
        pipeline(CountingSource(30, True, 0.01), SlowSession(), sinks, say=said.append).run(Stop())
    whole = next(sink for sink in sinks if sink.fail_at < 0)
    assert whole.kept[-1] == 29
    assert said == ["an output was given up, 1 go on: full at 4"]
    assert [sink.closed for sink in sinks] == [1, 1]


def test_a_camera_without_any_output_left_ends() -> None:
    source = CountingSource(10**6, live=True, period_s=0.001)
    sinks: list[Sink] = [broken(2), broken(5)]
    with pytest.raises(Failure, match="full at 2"):
        pipeline(source, SlowSession(), sinks).run(Stop())
    assert source.given < 10**6


def test_the_outputs_of_a_file_fail_together() -> None:
    sinks = [broken(3), KeepingSink()]
    with pytest.raises(Failure, match="full at 3"):
        pipeline(CountingSource(30), SlowSession(), sinks).run(Stop())
    assert len(sinks[1].kept) < 30


def test_strength_and_view_may_change_while_it_runs() -> None:
    controls = Controls(strength=0.5)
    sink = Values()

    def change(item: object) -> None:
        controls.strength = 0.0

    run = pipeline(CountingSource(2), Brighter(), [sink], controls=controls, watchers=[change])
    run.run(Stop())
    assert sink.kept == [50, 1]


def test_strength_is_an_option(run: Run, tmp_path: Path) -> None:
    assert run("test://64x48", "null://", "--frames", "3", "--strength", "0.5")[0] == 0
    with pytest.raises(SystemExit):
        run("test://64x48", "null://", "--strength", "1.5")


def test_what_was_guarded_is_told(run: Run, tmp_path: Path) -> None:
    dark = write_model(tmp_path / "dark.onnx", gain=0.2)
    code, text = run("test://64x48", "--frames", "7", "--model", dark, "--target-fps", "1")
    assert code == 0
    assert "of those that went out: 7 guarded;" in text
    assert "ladder   0 steps; at the end: stand-in fp32" in text
    assert "of those" not in run("test://64x48", "--frames", "7")[1]


def test_several_inputs_in_one_run(run: Run, video: Path, tmp_path: Path) -> None:
    code, text = run(video, tmp_path / "a.mp4", "--also", "test://64x48", tmp_path / "b.mp4", "--frames", "10")
    assert code == 0
    assert text.count("10 delivered of 10 captured") == 2
    assert "a.mp4: 10 frames of 52x36" in text
    assert "b.mp4: 10 frames of 64x48" in text


def test_json_tells_of_every_input(run: Run, video: Path, tmp_path: Path) -> None:
    small = write_model(tmp_path / "big.onnx", min_size="40x40")
    words = ("null://", "--also", "test://64x48", "--frames", "5", "--json", "--model", small)
    code, text = run(video, *words)  # of 52x36: too small
    assert code == ExitCode.SOURCE
    streams = json.loads(text[text.index("{") : text.rindex("}") + 1])["streams"]
    assert {stream["stream"]: stream["delivered"] for stream in streams} == {"in": 0, "test-64x48": 5}


def test_an_input_that_cannot_be_opened_names_itself(run: Run, video: Path, tmp_path: Path) -> None:
    code, text = run(video, tmp_path / "a.mp4", "--also", tmp_path / "nothing.mp4")
    assert code == ExitCode.SOURCE
    assert "nothing.mp4' does not exist" in text
    assert not (tmp_path / "a.mp4").exists()


def test_what_a_driver_held_back_counts_as_captured_and_superseded() -> None:
    source = CountingSource(6, live=True)
    source.superseded = 4
    run = pipeline(source, SlowSession(), [KeepingSink()], latest=False)
    run.run(Stop())
    assert run.captured == 10
    assert run.drops()["superseded"] == 4


def test_a_frame_that_stands_in_pushes_no_frame_out() -> None:
    """The network is busy with the first frame while the second and what stands in for later ones come."""
    hows: list[How] = ["deblurred", "deblurred", *["held"] * 5]  # type: ignore[list-item]
    sink = Values()
    run = pipeline(SaysHow(hows), Brighter(0.2), [sink])
    run.run(Stop())
    assert 101 in sink.kept
    assert run.drops()["superseded"] <= 1


@pytest.mark.parametrize("latest", [False, True])
@pytest.mark.parametrize(("session_s", "sink_s"), [(0.0, 0.01), (0.01, 0.0)])
def test_what_stands_in_is_never_a_drop(latest: bool, session_s: float, sink_s: float) -> None:
    hows: list[How] = ["deblurred", "held", "held", "blank", "passthrough", "held"] * 15
    source, sink = SaysHow(hows), Values(sink_s)
    source.period_s = 0.001
    run = pipeline(source, SlowSession(session_s), [sink], latest=latest)
    run.run(Stop())
    own = run._timing.by_how["deblurred"] + run._timing.by_how["passthrough"]
    assert run.captured == 30
    assert own + sum(run.drops().values()) == 30
    assert min(run.drops().values()) == 0


class SmallPictures(CountingSource):
    """Pictures of 12 rows after a first one of 30; `alive` is how many of them are still in memory."""

    def __init__(self) -> None:
        super().__init__(40)
        self.images: list[weakref.ref[Image]] = []

    def read(self, stop: Stop) -> Frame | None:
        frame = super().read(stop)
        if frame is None:
            return None
        image = frame.image if frame.index else np.zeros((30, 16, 3), np.uint8)
        self.images.append(weakref.ref(image))
        return replace(frame, image=image, name=f"{frame.index}.png")

    @property
    def alive(self) -> int:
        gc.collect()
        return sum(image() is not None for image in self.images)


def test_pictures_that_were_left_out_are_not_kept() -> None:
    source, session, sink = SmallPictures(), SlowSession(), KeepingSink()
    session.min_size = (20, 10)
    run = pipeline(source, session, [sink])
    run.run(Stop())
    assert sink.kept == [0]
    assert run.drops()["too_small"] == len(source.notes) == 39
    assert source.alive <= 1


def test_an_error_of_a_source_that_is_closed_is_raised() -> None:
    class BadClose(CountingSource):
        def close(self) -> None:
            super().close()
            raise RuntimeError("closing broke")

    sink = KeepingSink()
    with pytest.raises(RuntimeError, match="closing broke"):
        pipeline(BadClose(3), SlowSession(), [sink]).run(Stop())
    assert sink.kept == [0, 1, 2]
