"""The test scene: what it shows, how it is paced, which URIs are refused."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from edgedeblur import ExitCode, Failure
from runtime.measure.quality import psnr
from runtime.sources.scene import loop_length, render_loop
from runtime.sources.source import open_source
from runtime.stop import Stop


def test_every_frame_is_blurred_and_knows_its_sharp_original() -> None:
    loop = render_loop((180, 320))
    assert len(loop) == 60
    for blurred, sharp in loop:
        assert blurred.shape == sharp.shape == (180, 320, 3)
        assert 15 < psnr(blurred, sharp) < 35
        assert not blurred.flags.writeable
    # The mean in linear light changes no brightness: what blur takes from one pixel it gives to another.
    means = [abs(float(_linear(blurred).mean() - _linear(sharp).mean())) for blurred, sharp in loop]
    assert max(means) < 0.01


def _linear(image: np.ndarray) -> np.ndarray:
    return np.asarray((image / 255.0) ** 2.2)


def test_the_scene_is_the_same_every_time() -> None:
    first, second = render_loop((48, 64)), render_loop((48, 64))
    assert all((a[0] == b[0]).all() and (a[1] == b[1]).all() for a, b in zip(first, second, strict=True))


def test_the_loop_closes_without_a_jump() -> None:
    sharp = [pair[1] for pair in render_loop((96, 128))]
    steps = [psnr(sharp[i], sharp[i - 1]) for i in range(len(sharp))]
    assert steps[0] > min(steps[1:]) - 1


def test_large_scenes_have_short_loops() -> None:
    assert loop_length((2160, 3840)) == 4
    assert loop_length((720, 1280)) * 720 * 1280 * 6 < 200e6


def test_unpaced_gives_every_frame_at_once() -> None:
    source = open_source("test://64x48")
    frames = [source.read(Stop()) for _ in range(130)]
    assert not source.live
    assert [frame.index for frame in frames if frame] == list(range(130))
    assert frames[61] is not None
    assert frames[61].time == Fraction(61, 30)
    assert frames[61].size == (48, 64)


def test_paced_keeps_its_clock() -> None:
    source = open_source("test://64x48@100")
    frames = [frame for frame in (source.read(Stop()) for _ in range(21)) if frame]
    assert source.live
    steps = np.diff([frame.captured_ns for frame in frames])
    assert (steps == 10_000_000).all()
    assert all(frame.sensor_stamped for frame in frames)


def test_paced_ends_on_stop() -> None:
    source = open_source("test://64x48@0.1")
    stop = Stop()
    assert source.read(stop) is not None
    stop.set()
    assert source.read(stop) is None


@pytest.mark.parametrize(
    "uri",
    ["test://", "test://64", "test://1x1", "test://64x48@0", "test://64x48@9999", "test://99999x99999", "test://-4x8"],
)
def test_other_scenes_are_refused(uri: str) -> None:
    with pytest.raises(Failure, match="test scene") as caught:
        open_source(uri)
    assert caught.value.code == ExitCode.USAGE


def test_what_it_is_called_stays_after_it_is_closed() -> None:
    source = open_source("test://64x48")
    before = source.describe()
    source.close()
    assert source.describe() == before
