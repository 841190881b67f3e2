"""What the runtime's tests share: a model, short videos, and the command run in this process."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnxruntime  # noqa: F401 - before GStreamer, whose libunwind breaks its exceptions where torch is loaded, too
import pytest

from edgedeblur import main
from runtime.frame import Frame, Image
from runtime.sinks.sink import SinkOptions
from runtime.sinks.video_sink import VideoSink
from tests.runtime.stand_in import write_model
from tests.runtime.watched import watch

__all__ = ["watch"]  # a fixture

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that gives back its input."""
    return write_model(tmp_path_factory.mktemp("model") / "stand-in.onnx")


@pytest.fixture
def run(model: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """`edgedeblur run …` with the stand-in model: its exit code and all it printed."""

    def call(*arguments: object) -> tuple[int, str]:
        words = [str(argument) for argument in arguments]
        words += [] if "--model" in words else ["--model", str(model)]
        code = main(["run", *words])
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out + captured.err

    return call


def picture(index: int, size: tuple[int, int] = (36, 52)) -> Image:
    """A smooth picture whose brightness says which it is: 20 + 4 · index on average."""
    y, x = np.indices(size)
    ramp = (x - size[1] / 2) / size[1] * 20 + (y - size[0] / 2) / size[0] * 10
    return np.clip(ramp[:, :, None] + 20 + 4 * index, 0, 255).repeat(3, 2).astype(np.uint8)


def write_video(
    path: Path, times: list[Fraction], time_base: Fraction = Fraction(1, 12800), size: tuple[int, int] = (36, 52)
) -> Path:
    """A video of `picture(0)`, `picture(1)`, … at `times` in seconds."""
    sink = VideoSink(path, SinkOptions(frame_rate=Fraction(30), time_base=time_base))
    for index, time in enumerate(times):
        sink.write(picture(index, size), Frame(picture(index, size), index, 0, time=time))
    sink.close()
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """24 frames of 52x36 at 30 frames/s."""
    return write_video(tmp_path / "in.mp4", [Fraction(i, 30) for i in range(24)], Fraction(1, 15360))
