"""Recordings of cameras: times that never drift, new files for new sizes or after some time, the input in step."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, How, Image
from runtime.measure.timing import Delivery
from runtime.sinks.input_recording import InputRecording
from runtime.sinks.sink import SinkOptions, open_sink
from runtime.sources.source import frames_of, open_source
from tests.full_disk import full_disk
from tests.runtime.conftest import Run, picture
from tests.runtime.pictures import write_png
from tests.runtime.recordings import LIVE, SMALL, WIDE, times, write


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(1, 3000), min_size=1, max_size=12), st.sampled_from([".mp4", ".mkv"]))
def test_a_camera_is_recorded_by_when_it_was_captured(
    tmp_path_factory: pytest.TempPathFactory, gaps: list[float], suffix: str
) -> None:
    path = tmp_path_factory.mktemp("live") / f"out{suffix}"
    captured = [0, *np.cumsum(gaps)]
    sink = open_sink(str(path), LIVE)
    write(sink, captured)
    sink.close()
    assert times(path) == pytest.approx(captured, abs=0.02 if suffix == ".mp4" else 1)


def test_a_clock_that_stands_still_costs_no_frame_and_no_drift(tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "out.mp4"), LIVE)
    captured = [0, 33, 33, 33, 20, 66, 100, 5000, 4000, 5033]
    write(sink, captured)
    sink.close()
    found = times(tmp_path / "out.mp4")
    assert len(found) == len(captured)
    assert all(late > early for early, late in pairwise(found))
    assert [found[place] for place in (1, 5, 6, 7, 9)] == pytest.approx([33, 66, 100, 5000, 5033], abs=0.1)


def test_a_new_size_begins_a_new_file(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "out-2.mp4").write_text("dear")
    sink = open_sink(str(tmp_path / "out.mp4"), SinkOptions(frame_rate=Fraction(30), live=True, say=told.append))
    write(sink, [0, 40, 80])
    write(sink, [1000, 1050], size=WIDE, first=3)
    write(sink, [2000, 2030, 2090, 2100], first=5)
    sink.close()
    assert (tmp_path / "out-2.mp4").read_text() == "dear"
    parts = [tmp_path / name for name in ("out.mp4", "out-3.mp4", "out-4.mp4")]
    assert [times(part) for part in parts] == [
        pytest.approx([0, 40, 80], abs=0.02),
        pytest.approx([0, 50], abs=0.02),
        pytest.approx([0, 30, 90, 100], abs=0.02),
    ]
    sizes = [next(frames_of(open_source(str(part)))).size for part in parts]
    assert sizes == [SMALL, WIDE, SMALL]
    assert "out-4.mp4 (3 files): 9 frames of 52x36 and 98x34" in sink.describe()
    assert told[0].endswith(f"goes on in '{tmp_path / 'out-3.mp4'}', with frames of 98x34")


def test_force_takes_old_parts_but_never_what_is_read_or_written(tmp_path: Path) -> None:
    for name in ("out-2.mp4", "out-3.mp4", "out-4.mp4"):
        (tmp_path / name).write_text("old")
    options = SinkOptions(True, Fraction(30), inputs=(tmp_path / "out-2.mp4",), live=True)
    other = open_sink(str(tmp_path / "out-3.mp4"), options)
    write(other, [0, 30])
    with pytest.raises(Failure, match="being written by another run") as caught:
        open_sink(str(tmp_path / "out-3.mp4"), options)
    assert caught.value.code == ExitCode.ENVIRONMENT
    sink = open_sink(str(tmp_path / "out.mp4"), options)
    write(sink, [0])
    write(sink, [30, 60], size=WIDE)
    for each in (sink, other):
        each.close()
    assert (tmp_path / "out-2.mp4").read_text() == "old"
    assert [len(times(tmp_path / name)) for name in ("out.mp4", "out-3.mp4", "out-4.mp4")] == [1, 2, 2]


def test_a_video_file_has_one_size(tmp_path: Path, run: Run) -> None:
    for index, size in enumerate([SMALL, SMALL, WIDE]):
        write_png(tmp_path / "in" / f"{index}.png", picture(index, size))
    code, text = run(tmp_path / "in", tmp_path / "out.mp4")
    assert code == ExitCode.SOURCE
    assert "a video has one size" in text
    assert len(times(tmp_path / "out.mp4")) == 2
    assert not (tmp_path / "out-2.mp4").exists()


@pytest.mark.parametrize("live", [True, False])
def test_a_recording_in_pieces(tmp_path: Path, live: bool) -> None:
    sink = open_sink(str(tmp_path / "out.mkv"), SinkOptions(frame_rate=Fraction(10), live=live, split_s=2))
    for index in range(55):
        sink.write(picture(index), Frame(picture(index), index, index * 10**8, time=Fraction(index, 10)))
    sink.close()
    parts = [tmp_path / name for name in ("out.mkv", "out-2.mkv", "out-3.mkv")]
    frames = [list(frames_of(open_source(str(part)))) for part in parts]
    assert [len(part) for part in frames] == [20, 20, 15]
    levels = [frame.image.mean() for part in frames for frame in part]
    assert levels == pytest.approx([picture(index).mean() for index in range(55)], abs=2)
    assert all(frame.time == Fraction(index, 10) for part in frames for index, frame in enumerate(part))


def deliver(how: How, index: int, at_ms: float, size: tuple[int, int] = SMALL) -> tuple[Image, Delivery]:
    """What goes out for a frame, twice as bright, and its delivery."""
    image = picture(index, size)
    frame = Frame(image, index, 10**15 + round(at_ms * 1e6), how=how)
    return np.minimum(image * 2, 255).astype(np.uint8), Delivery(frame, 0, sharp=image, how=how)


def test_the_input_is_recorded_in_step(tmp_path: Path) -> None:
    options = SinkOptions(frame_rate=Fraction(30), live=True, split_s=1)
    output, recording = open_sink(str(tmp_path / "out.mp4"), options), InputRecording(tmp_path / "in.mp4", options)
    hows: list[How] = ["blank", "deblurred", "passthrough", "sharp", "deblurred", "guarded", "held", "held"]
    shown: dict[float, int] = {}
    for index in range(24):  # lost at first, and where the second file begins
        how, at_ms = hows[index % 8], index * 70.0 + index % 3
        sharp, item = deliver(how, index, at_ms, WIDE if index >= 19 else SMALL)
        output.write(sharp, item.frame)
        recording(item)
        if how not in ("blank", "held"):
            shown[at_ms] = index
    output.close()
    recording.close()
    parts = ("", "-2", "-3")
    for part in parts:
        found, known = times(tmp_path / f"in{part}.mp4"), times(tmp_path / f"out{part}.mp4")
        assert set(found) < set(known)  # to the tick
    levels = [frame.image.mean() for part in parts for frame in frames_of(open_source(str(tmp_path / f"in{part}.mp4")))]
    assert levels == pytest.approx([picture(index).mean() for index in shown.values()], abs=2)
    assert f"{len(shown)} frames" in recording.describe()


HOUR = 3_600_000.0  # milliseconds


@pytest.mark.parametrize("split_s", [None, 24 * 3600.0])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_camera_that_is_off_for_a_night_has_right_times_in_the_morning(
    tmp_path: Path, suffix: str, split_s: float | None
) -> None:
    sink = open_sink(str(tmp_path / f"out{suffix}"), SinkOptions(frame_rate=Fraction(30), live=True, split_s=split_s))
    write(sink, [0, 33, 66, 7 * HOUR, 7 * HOUR + 33, 30 * HOUR, 30 * HOUR + 40])
    sink.close()
    parts = [tmp_path / f"out{name}{suffix}" for name in ("", "-2", "-3")]
    assert [times(part) for part in parts] == [
        pytest.approx([0, 33, 66], abs=1),
        pytest.approx([0, 33], abs=1),
        pytest.approx([0, 40], abs=1),
    ]


def test_a_night_is_in_step_too(tmp_path: Path) -> None:
    """The output holds the last picture meanwhile, of which the recording of the input has nothing."""
    output, recording = open_sink(str(tmp_path / "out.mp4"), LIVE), InputRecording(tmp_path / "in.mp4", LIVE)
    for index in range(60):
        held = 3 <= index < 57
        sharp, item = deliver("held" if held else "deblurred", index, index * HOUR / 4)
        output.write(sharp, item.frame)
        recording(item)
    output.close()
    recording.close()
    quarters = np.arange(60) * HOUR / 4
    assert times(tmp_path / "out-2.mp4") == pytest.approx(quarters[:24], abs=0.1)
    assert times(tmp_path / "in.mp4") == pytest.approx(quarters[:3], abs=0.1)
    assert times(tmp_path / "in-3.mp4") == pytest.approx([0, *quarters[58:] - quarters[48]], abs=0.1)
    assert set(times(tmp_path / "in-3.mp4")) < set(times(tmp_path / "out-3.mp4"))
    assert not (tmp_path / "in-2.mp4").exists()


def test_nights_without_the_camera_use_up_no_numbers(tmp_path: Path) -> None:
    recording = InputRecording(
        tmp_path / "in.mp4", SinkOptions(frame_rate=Fraction(30), live=True, split_s=48 * 3600.0)
    )
    for index in range(90):
        recording(deliver("held" if 3 <= index < 87 else "deblurred", index, index * HOUR / 4)[1])
    recording.close()
    assert len(times(tmp_path / "in.mp4")) == 3
    [later] = [path for path in tmp_path.iterdir() if path.name != "in.mp4"]
    assert len(times(later)) == 3
    assert later.name in ("in-2.mp4", "in-3.mp4", "in-4.mp4", "in-5.mp4")


@pytest.mark.parametrize(
    "time_base", [Fraction(1, 10**9), Fraction(1, 2**31 - 1), Fraction(1, 10**6), Fraction(1, 90000)]
)
def test_a_slow_film_with_a_fine_clock_keeps_its_times(tmp_path: Path, time_base: Fraction) -> None:
    sink = open_sink(str(tmp_path / "out.mp4"), SinkOptions(frame_rate=Fraction(1, 5), time_base=time_base))
    seconds = [0, 5, 10, 10.5, 1000]
    for index, at in enumerate(seconds):
        sink.write(picture(index), Frame(picture(index), index, 0, time=Fraction(at)))
    sink.close()
    assert times(tmp_path / "out.mp4") == pytest.approx([at * 1000 for at in seconds], abs=0.01)


def test_an_input_recording_on_a_full_disk_leaves_the_outputs_alone(tmp_path: Path) -> None:
    told: list[str] = []
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 80, 3), dtype=np.uint8)
    live = SinkOptions(frame_rate=Fraction(30), live=True, say=told.append)
    recording = InputRecording(tmp_path / "in.mp4", live)
    with full_disk(100_000):
        for index, image in enumerate(noise):
            recording(Delivery(Frame(image, index, index * 33_000_000), 0, sharp=image))
    assert len(told) == 1
    assert "the recording of the input was given up, the outputs go on: cannot write" in told[0]
    with pytest.raises(Failure, match="cannot write") as caught:
        recording.close()
    assert caught.value.code == ExitCode.ENVIRONMENT
    assert 5 < len(times(tmp_path / "in.mp4")) < 60


def test_an_input_recording_of_a_file_loses_no_frame_in_silence(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 80, 3), dtype=np.uint8)
    recording = InputRecording(tmp_path / "in.mp4", SinkOptions(frame_rate=Fraction(30)))

    def record_all() -> None:
        for index, image in enumerate(noise):
            recording(Delivery(Frame(image, index, 0, time=Fraction(index, 30)), 0, sharp=image))

    with full_disk(100_000), pytest.raises(Failure, match="cannot write"):
        record_all()
    with pytest.raises(Failure, match="cannot write"):
        recording.close()


def test_an_input_recording_is_a_video(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"expected a name that ends in \.mp4 or"):
        InputRecording(tmp_path / "in.png", LIVE)


def test_a_deleted_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    sink = open_sink(str(tmp_path / "there" / "out.mp4"), LIVE)
    write(sink, [0, 30])
    (tmp_path / "there" / "out.mp4").unlink()
    (tmp_path / "there").rmdir()
    with pytest.raises(Failure, match="was deleted while it was written") as caught:
        write(sink, [60, 90])
    assert caught.value.code == ExitCode.ENVIRONMENT
    sink.close()


GROWTH = """
import sys
from fractions import Fraction
import numpy as np
from runtime.frame import Frame
from runtime.sinks.sink import SinkOptions, open_sink

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

noise = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
sink = open_sink(sys.argv[1], SinkOptions(frame_rate=Fraction(30), live=True, split_s=100))
marks = []
for index in range(30000):
    sink.write(noise[index % 8], Frame(noise[index % 8], index, index * 10**9 // 30))
    if index % 3000 == 1500:
        marks.append(resident())
sink.close()
print(max(marks[2:]) - min(marks[2:]), len(marks))
"""


def test_a_recording_in_pieces_does_not_grow_in_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", GROWTH, str(tmp_path / "out.mp4")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    growth, marks = map(int, printed.split())
    assert marks == 10
    assert growth < 1_500_000  # an index of 24,000 frames would be 2 MB
    assert len(list(tmp_path.iterdir())) == 10
