"""Screens, grabbed from a virtual one: the right pixels, at their pace, and what is said where there is none."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edgedeblur import ExitCode, Failure
from runtime.frame import Image
from runtime.sources.source import SourceOptions, open_source
from runtime.stop import Stop
from tests.runtime.conftest import Run

SIZE = (180, 320)


class Screen:
    """An X11 server without a monitor, whose pixels are a file."""

    def __init__(self, folder: Path) -> None:
        size = f"{SIZE[1]}x{SIZE[0]}x24"
        told, tells = os.pipe()
        self.process = subprocess.Popen(
            ["Xvfb", "-displayfd", str(tells), "-screen", "0", size, "-nolisten", "tcp", "-fbdir", str(folder)],
            pass_fds=[tells],
            stderr=subprocess.DEVNULL,
        )
        os.close(tells)
        with os.fdopen(told, "rb") as reader:
            self.display = f":{reader.readline().decode().strip()}"
        self._pixels = folder / "Xvfb_screen0"

    def show(self, image: Image) -> None:
        """Put (180, 320, 3) BGR on the screen."""
        header = struct.unpack(">25I", self._pixels.read_bytes()[:100])  # XWD: how large it is, how long its lines are
        start, stride = header[0] + 12 * header[19], header[12]
        lines = np.zeros((SIZE[0], stride), np.uint8)
        lines[:, : 4 * SIZE[1]].reshape(*SIZE, 4)[:, :, :3] = image
        with self._pixels.open("r+b") as file:
            file.seek(start)
            file.write(lines.tobytes())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    if not shutil.which("Xvfb"):
        pytest.skip("Xvfb is not installed: sudo apt install xvfb")
    server = Screen(tmp_path)
    monkeypatch.setenv("DISPLAY", server.display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    yield server
    server.close()


def shown() -> Image:
    return np.random.default_rng(2).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


def test_the_whole_screen(screen: Screen) -> None:
    screen.show(shown())
    source = open_source("screen://0", SourceOptions(rate=Fraction(50)))
    frames = [source.read(Stop()) for _ in range(10)]
    assert source.live
    assert "320x180, 50.00 frames/s" in source.describe()
    for frame in frames:
        assert frame is not None
        different = np.argwhere((frame.image != shown()).any(2))
        assert (np.abs(different - (SIZE[0] / 2, SIZE[1] / 2)) < 20).all()  # the pointer, in the middle
    stamps = [frame.captured_ns for frame in frames if frame is not None]
    assert all(late > early for early, late in pairwise(stamps))
    assert stamps[-1] - stamps[0] > 100e6  # grabbed at their time, not before
    source.close()


def test_a_part_of_it_and_what_changes(screen: Screen) -> None:
    source = open_source("screen://0+30,70", SourceOptions(64, 100))
    black = source.read(Stop())
    assert black is not None
    assert black.image.max() == 0
    screen.show(shown())
    for _ in range(3):
        frame = source.read(Stop())
    assert frame is not None
    assert (frame.image == shown()[70:134, 30:130]).all()
    source.close()


def test_a_run_from_a_screen(screen: Screen, run: Run, tmp_path: Path) -> None:
    screen.show(shown())
    code, text = run("screen://0", tmp_path / "out.mkv", "--frames", 5)
    assert code == 0
    assert "5 delivered" in text


def test_a_server_that_goes_away_is_told(screen: Screen) -> None:
    source = open_source("screen://0")
    assert source.read(Stop()) is not None
    screen.close()
    with pytest.raises(Failure, match=r"screen://0 broke after \d+ frames") as caught:
        [source.read(Stop()) for _ in range(50)]
    assert caught.value.code == ExitCode.SOURCE
    source.close()


@pytest.mark.parametrize("uri", ["screen://1", "screen://0+319,179", "screen://0+5000,0"])
def test_what_is_not_on_the_screen(screen: Screen, uri: str) -> None:
    with pytest.raises(Failure, match="cannot be grabbed") as caught:
        open_source(uri, SourceOptions(64, 100))
    assert caught.value.code == ExitCode.SOURCE


@pytest.mark.parametrize("uri", ["screen://", "screen://x", "screen://0+1", "screen://0-1,2", "screen://-1"])
def test_other_screens_are_refused(uri: str) -> None:
    with pytest.raises(Failure, match=r"expected screen://N") as caught:
        open_source(uri)
    assert caught.value.code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("display", "wayland", "words"),
    [
        ("", "", "DISPLAY is not set"),
        (":0", "wayland-0", "Xorg"),
        (":4711", "", "cannot be grabbed from display :4711.0"),
    ],
)
def test_without_a_screen(monkeypatch: pytest.MonkeyPatch, display: str, wayland: str, words: str) -> None:
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setenv("WAYLAND_DISPLAY", wayland)
    with pytest.raises(Failure, match=words) as caught:
        open_source("screen://0")
    assert caught.value.code == (ExitCode.SOURCE if display == ":4711" else ExitCode.ENVIRONMENT)
