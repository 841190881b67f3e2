"""Network streams that come faster than they can be decoded or converted: what is shown is new, and its age is true."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from runtime.frame import Frame, Image, now_ns
from runtime.measure.quality import psnr
from runtime.sources import rtsp_source, time_code
from runtime.sources.source import SourceOptions, open_source
from runtime.sources.video_io import bgr_of
from runtime.stop import Stop
from tests.runtime.rtsp_faults import StreamServer, coded, pictures

RATE, KEY_EVERY, COUNT = 60, 15, 180
WHOLE_DB = 30.0  # a picture that went through the codec undamaged is nearer to the original than that


@functools.cache
def shown() -> list[Image]:
    return pictures(COUNT)


@pytest.fixture
def server() -> Iterator[StreamServer]:
    server = StreamServer(coded(shown(), KEY_EVERY), RATE)
    yield server
    server.close()


def seen(
    server: StreamServer, monkeypatch: pytest.MonkeyPatch, work_s: Callable[[int], float]
) -> tuple[list[Frame], list[str]]:
    """What is read of a whole stream, with the notes, where converting picture `n` takes `work_s(n)`; checks what must
    always be so."""
    converted, behind, frames = 0, [0.0], list[Frame]()

    def slowly(picture: object) -> Image:
        nonlocal converted
        converted += 1
        time.sleep(work_s(converted))
        return bgr_of(picture)  # type: ignore[arg-type]

    monkeypatch.setattr(rtsp_source, "bgr_of", slowly)
    source = open_source(f"rtsp://127.0.0.1:{server.port}/live", SourceOptions(timeout_s=4))
    while (frame := source.read(Stop())) is not None:
        number = time_code.read(frame.image)
        assert number is not None
        assert psnr(frame.image, shown()[number]) > WHOLE_DB
        behind.append((server.sent - number) / RATE - (now_ns() - frame.captured_ns) / 1e9)
        frames.append(frame)
    source.close()
    numbers = [time_code.read(frame.image) or 0 for frame in frames]
    assert all(late > early for early, late in pairwise(numbers))
    # All that are missing are counted, but for those that came while the stream was opened.
    assert COUNT - numbers[0] <= source.superseded + len(frames) <= COUNT
    assert source.corrupt == 0
    assert max(behind) < 0.5  # no picture is older than its age says
    return frames, source.notes


def test_a_reader_that_is_too_slow_gets_the_newest(server: StreamServer, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, notes = seen(server, monkeypatch, lambda number: 0.05)
    assert len(notes) == 1  # that it ended
    assert len(frames) < 100
    gaps = [late.captured_ns - early.captured_ns for early, late in pairwise(frames)]
    assert sorted(gaps)[len(gaps) // 2] < 0.3e9  # one after the other is left out, not many at a time


def test_a_reader_that_was_away_goes_on_with_a_key_frame(server: StreamServer, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, notes = seen(server, monkeypatch, lambda number: 1.6 if number == 10 else 0.0)
    numbers = [time_code.read(frame.image) or 0 for frame in frames]
    gaps = [late - early for early, late in pairwise(numbers)]
    assert max(gaps) > 50
    assert numbers[-1] == COUNT - 1
    assert len([note for note in notes if note.startswith("there was no time to decode all pictures of rtsp://")]) == 1


def test_where_decoding_alone_is_too_slow_some_pictures_are_shown(
    server: StreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    spares = rtsp_source.Damage.spares

    def slowly(self: rtsp_source.Damage, picture: object) -> bool:  # asked once for each decoded picture
        time.sleep(0.025)  # 1.5 times as long as there is
        return spares(self, picture)  # type: ignore[arg-type]

    monkeypatch.setattr(rtsp_source.Damage, "spares", slowly)
    frames, _ = seen(server, monkeypatch, lambda number: 0.0)
    gaps = [late.captured_ns - early.captured_ns for early, late in pairwise(frames)]
    assert max(gaps) < 1e9
