"""The time code: any time comes back, through noise, codecs and the network; damage gives none, not a wrong one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.frame import Frame, Image, now_ns
from runtime.measure.timing import Delivery, Timing
from runtime.pipeline import Pipeline, PipelineOptions
from runtime.sessions.onnx_session import OnnxSession
from runtime.sources import time_code
from runtime.sources.scene import render_loop
from runtime.sources.source import open_source
from runtime.sources.video_io import bgr_of
from runtime.stop import Stop

SIZE = (90, 132)
LOOP = render_loop(SIZE)
WEIGHTS = Path(__file__).parents[2] / "runtime/weights/edge-n.onnx"
times = st.integers(0, 2**64 - 1)


def stamped(captured_ns: int, index: int = 0) -> Image:
    image = LOOP[index % len(LOOP)][0].copy()
    time_code.stamp(image, captured_ns)
    return image


@given(times)
def test_any_time_comes_back(captured_ns: int) -> None:
    assert time_code.read(stamped(captured_ns)) == captured_ns


@given(times, st.integers(0, 2**32 - 1), st.floats(0, 20), st.floats(0.4, 1.6), st.floats(-60, 60))
def test_it_survives_noise_and_other_levels(
    captured_ns: int, seed: int, noise: float, contrast: float, brightness: float
) -> None:
    image = stamped(captured_ns)
    changed = (image - 128.0) * contrast + 128 + brightness + np.random.default_rng(seed).normal(0, noise, image.shape)
    assert time_code.read(np.clip(changed, 0, 255).astype(np.uint8)) == captured_ns


@given(times, st.data())
def test_a_damaged_code_gives_no_time(captured_ns: int, data: st.DataObject) -> None:
    image = stamped(captured_ns)
    cells = time_code.ROWS * time_code.COLUMNS
    for cell in data.draw(st.sets(st.integers(0, cells - 1), min_size=1, max_size=20)):
        y, x = (place * time_code.CELL for place in divmod(cell, time_code.COLUMNS))
        corner = image[len(image) - time_code.HEIGHT + y :, x:]
        corner[: time_code.CELL, : time_code.CELL] = 255 - corner[: time_code.CELL, : time_code.CELL]
    assert time_code.read(image) is None


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 40, 127]))
def test_pictures_without_a_code_have_no_time(seed: int, spread: int) -> None:
    noise = np.random.default_rng(seed).integers(128 - spread, 128 + spread, (*SIZE, 3), endpoint=True)
    assert time_code.read(noise.astype(np.uint8)) is None


@pytest.mark.parametrize("index", range(0, 60, 7))
def test_scenes_without_a_code_have_no_time(index: int) -> None:
    assert time_code.read(LOOP[index][0]) is None


@given(st.integers(8, 40), st.integers(100, 130))
def test_small_pictures_have_no_room(height: int, width: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    if time_code.fits((height, width)):
        time_code.stamp(image, 5)
        assert image[: height // 2].max() == 0
        assert time_code.read(image) == 5
    else:
        assert time_code.read(image) is None
        with pytest.raises(ValueError, match="needs"):
            time_code.stamp(image, 5)


@pytest.mark.parametrize(("codec", "decoder", "options"), [("libx264", "h264", {"crf": "23"}), ("mjpeg", "mjpeg", {})])
def test_it_survives_a_codec(codec: str, decoder: str, options: dict[str, str]) -> None:
    sent = [int(time) for time in np.random.default_rng(1).integers(0, 2**63, 40)]
    writer: Any = av.CodecContext.create(codec, "w")
    writer.height, writer.width, writer.pix_fmt = *SIZE, "yuvj420p" if codec == "mjpeg" else "yuv420p"
    writer.time_base, writer.options = Fraction(1, 30), options
    packets = []
    for index, captured_ns in enumerate(sent):
        picture = av.VideoFrame.from_ndarray(stamped(captured_ns, index), format="bgr24")
        picture = picture.reformat(format=writer.pix_fmt)
        picture.pts = index
        packets += writer.encode(picture)
    packets += writer.encode(None)
    reader: Any = av.CodecContext.create(decoder, "r")
    pictures = [picture for packet in [*packets, None] for picture in reader.decode(packet)]
    assert [time_code.read(bgr_of(picture)) for picture in pictures] == sent


def test_it_survives_the_network() -> None:
    session = OnnxSession(WEIGHTS)
    for captured_ns in (0, 2**64 - 1, 0x0F1E2D3C4B5A6978):
        assert time_code.read(session.infer(stamped(captured_ns, 3))) == captured_ns
    session.close()


class ReadingSink:
    """Reads the time off each picture when it gets it."""

    any_size = True

    def __init__(self) -> None:
        self.seen: list[tuple[int | None, int]] = []  # (the time in the picture, when it came)

    def write(self, picture: Image, frame: Frame) -> None:
        came_ns = now_ns()
        self.seen.append((time_code.read(picture), came_ns))

    def close(self) -> None:
        pass

    def describe(self) -> str:
        return "read"


def test_the_reported_age_is_that_of_the_picture() -> None:
    """Latency truth: what a viewer could measure with the picture alone is what the run reports."""
    session, sink, delivered = OnnxSession(WEIGHTS), ReadingSink(), list[Delivery]()
    source, timing = open_source("test://132x90@50"), Timing(now_ns())
    stop = Stop()
    options = PipelineOptions(
        latest=True, watchers=[delivered.append, lambda _: stop.set() if len(delivered) == 60 else None]
    )
    Pipeline(source, session, [sink], timing, options).run(stop)
    session.close()
    assert len(sink.seen) == len(delivered) >= 60
    ages, reported = [], []
    for (captured_ns, came_ns), item in zip(sink.seen, delivered, strict=True):
        assert captured_ns == item.frame.captured_ns
        ages.append((came_ns - captured_ns) / 1e6)
        reported.append((item.handed_ns - item.frame.captured_ns) / 1e6)
    # Single frames may lose their turn on a busy machine between the two looks at the clock.
    assert abs(np.median(ages) - np.median(reported)) < 1
    steady = timing.stages.age.summary()
    assert steady["p50"] is not None
    assert abs(np.median(ages[timing.warm_up :]) - float(steady["p50"])) < 1


def test_paced_scenes_carry_their_time_and_others_do_not() -> None:
    paced, unpaced, small = (open_source(uri) for uri in ("test://132x90@500", "test://132x90", "test://64x48@500"))
    for _ in range(5):
        frame = paced.read(Stop())
        assert frame is not None
        assert frame.reference is not None
        assert time_code.read(frame.image) == time_code.read(frame.reference) == frame.captured_ns
    again, untouched = unpaced.read(Stop()), small.read(Stop())
    assert again is not None
    assert untouched is not None
    assert time_code.read(again.image) is None  # the loop itself is as it was
    assert "capture time in the picture" in paced.describe()
    assert "time" not in unpaced.describe()
    assert "too small" in small.describe()
