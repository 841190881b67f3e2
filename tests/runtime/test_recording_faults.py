"""Recordings of real processes: signals, full disks, folders that go away. Files play, exit codes say why."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from edgedeblur import ExitCode
from runtime.frame import Frame
from runtime.sinks.sink import SinkOptions, open_sink
from runtime.sources.image_source import read_image
from runtime.sources.source import frames_of, open_source
from tests.runtime.rtsp_viewers import needs_gst, when_there

SOON_S = 20  # for what takes two seconds on a machine that does nothing else


def command(model: Path, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "edgedeblur", "run", *map(str, arguments), "--model", str(model)]


def started(model: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(model, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def until_written(path: Path, size: int) -> None:
    deadline = time.monotonic() + SOON_S
    while not (path.exists() and path.stat().st_size > size):
        assert time.monotonic() < deadline, f"{path} was not written"
        time.sleep(0.02)


def frames(path: Path) -> int:
    return sum(1 for _ in frames_of(open_source(str(path))))


def finished(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it printed, once it has ended without our help."""
    printed, errors = process.communicate(timeout=SOON_S)
    assert "Traceback" not in errors
    return printed, errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_leaves_playable_files(tmp_path: Path, model: Path, number: int) -> None:
    outs = [tmp_path / "out.mp4", tmp_path / "out.mkv"]
    process = started(model, "test://96x64@30", *outs, "--input-save", tmp_path / "in.mp4", "--stats", 0.1)
    assert process.stderr is not None
    last = 0
    while last < 50:  # more than a second and a half
        line = process.stderr.readline()
        assert line, process.communicate()
        count = re.match(r"(\d+) frames, ", line)
        last = int(count[1]) if count else last
    process.send_signal(number)
    start = time.monotonic()
    printed, _ = finished(process)
    assert time.monotonic() - start < 10
    kept = [frames(path) for path in (*outs, tmp_path / "in.mp4")]
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        assert all(last - 30 <= count for count in kept)  # at most the last second
        return
    assert process.returncode == ExitCode.INTERRUPTED
    assert "unique frames/s" in printed
    assert kept[0] >= last
    assert len(set(kept)) == 1
    assert f"{kept[0]} delivered" in printed
    times = np.diff([float(frame.time or 0) for frame in frames_of(open_source(str(outs[0])))]) * 30
    assert np.abs(times - np.round(times)).max() < 0.01  # on the camera's clock, with gaps where frames were dropped


def test_a_folder_that_goes_away(tmp_path: Path, model: Path) -> None:
    (tmp_path / "gone").mkdir()
    outs = tmp_path / "gone" / "out.mp4", tmp_path / "gone" / "pictures" / "%04i.png", tmp_path / "stays.mp4"
    process = started(model, "test://96x64@30", *outs)
    until_written(outs[0], 2000)
    shutil.rmtree(tmp_path / "gone", ignore_errors=True)
    before = frames_soon(outs[2])
    deadline = time.monotonic() + SOON_S
    while frames_soon(outs[2]) < before + 40:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, errors = finished(process)
    assert process.returncode == ExitCode.ENVIRONMENT
    assert "out.mp4' was deleted while it was written" in errors
    assert re.search(r"an output was given up, 1 go on: .*No such file", errors) or errors.count("given up") == 2


def frames_soon(path: Path) -> int:
    """Frames of a file that is being written."""
    until_written(path, 1000)
    return frames(path)


def test_the_only_output_that_goes_away_ends_the_run(tmp_path: Path, model: Path) -> None:
    (tmp_path / "gone").mkdir()
    process = started(model, "test://96x64@30", tmp_path / "gone" / "out.mp4")
    until_written(tmp_path / "gone" / "out.mp4", 2000)
    shutil.rmtree(tmp_path / "gone")
    start = time.monotonic()
    _, errors = finished(process)
    assert time.monotonic() - start < 10
    assert process.returncode == ExitCode.ENVIRONMENT
    assert "was deleted" in errors


SMALL_DISK = (
    'mount -t tmpfs -o size={size}k none "$0" && mkdir "$0/pictures" && "$@"; code=$?; cp -a "$0" "$0.copy"; exit $code'
)


def on_a_small_disk(folder: Path, size: int, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command while `folder` is a disk of `size` KiB; what was left there is in `folder.copy`.

    The disk is one of a namespace of its own and needs no privilege where the kernel lets users have one.
    """
    folder.mkdir()
    script = SMALL_DISK.format(size=size)
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, str(folder), *words], capture_output=True, text=True, timeout=60
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no disk of our own can be mounted here: {done.stderr.strip()}")
    assert "Traceback" not in done.stderr
    return done


def test_a_disk_that_is_full_costs_the_outputs_on_it(tmp_path: Path, model: Path) -> None:
    disk, other = tmp_path / "disk", tmp_path / "other.mp4"
    on_disk = disk / "out.mp4", disk / "pictures" / "%04i.png"
    words = command(model, "test://160x120@60", *on_disk, other, "--frames", 120, "--json")
    done = on_a_small_disk(disk, 1400, words)  # full after the first half second, which the video has by then
    assert done.returncode == ExitCode.ENVIRONMENT
    assert "an output was given up, 2 go on: cannot write" in done.stderr
    assert "an output was given up, 1 go on: cannot write" in done.stderr
    assert "No space left" in done.stderr
    assert "pictures before it are whole" in done.stderr
    assert frames(other) == json.loads(done.stdout)["delivered"] > 60
    pictures = sorted((tmp_path / "disk.copy" / "pictures").iterdir())
    assert len(pictures) > 3
    assert {path.suffix for path in pictures} == {".png"}
    assert all(read_image(path).shape == (120, 160, 3) for path in pictures)
    assert frames(tmp_path / "disk.copy" / "out.mp4") > 3


def test_a_disk_that_is_full_ends_a_run_with_one_output(tmp_path: Path, model: Path) -> None:
    disk = tmp_path / "disk"
    start = time.monotonic()
    done = on_a_small_disk(disk, 100, command(model, "test://320x240@60", disk / "out.mp4"))
    assert time.monotonic() - start < SOON_S
    assert done.returncode == ExitCode.ENVIRONMENT
    assert "No space left" in done.stderr
    assert frames(tmp_path / "disk.copy" / "out.mp4") > 5


@needs_gst
def test_every_kind_of_output_at_once(tmp_path: Path, model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    address = f"rtsp://127.0.0.1:{port}/x"
    outs = tmp_path / "a.mp4", tmp_path / "frames" / "%06i.png", address.replace("//", "//@"), "null://"
    nobody = "rtsp://user:secret@127.0.0.1:9/x"
    process = started(model, "test://96x64@30", *outs, nobody, "--input-save", tmp_path / "in.mp4")
    seen = when_there(address, 20)
    process.send_signal(signal.SIGINT)
    printed, errors = finished(process)
    assert process.returncode == ExitCode.INTERRUPTED
    assert len(seen) == 20
    assert "secret" not in printed + errors
    count = frames(tmp_path / "a.mp4")
    assert f"{count} delivered" in printed
    assert frames(tmp_path / "in.mp4") == count
    assert len(list((tmp_path / "frames").iterdir())) == count
    assert len([line for line in printed.splitlines() if line.startswith("outputs ")]) == 6


STUCK = """
import os, sys, threading
import runtime.sinks.guarded_file as guarded_file
write = guarded_file.GuardedFile.write
def slow(self, data):
    threading.Event().wait(0.3)
    return write(self, data)
guarded_file.GuardedFile.write = slow
from edgedeblur import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_slow_disk_costs_frames_and_not_the_end(tmp_path: Path, model: Path) -> None:
    words = [sys.executable, "-c", STUCK, *command(model, "test://96x64@60", tmp_path / "out.mp4", "--stats", 0.2)[3:]]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until_written(tmp_path / "out.mp4", 5000)
    process.send_signal(signal.SIGTERM)
    start = time.monotonic()
    printed, _ = finished(process)
    assert time.monotonic() - start < 10
    assert process.returncode == ExitCode.INTERRUPTED
    assert f"{frames(tmp_path / 'out.mp4')} delivered" in printed
    assert "sink back pressure" in printed


def test_two_runs_never_write_one_file(tmp_path: Path, model: Path) -> None:
    out = tmp_path / "out.mp4"
    first = started(model, "test://96x64@30", out)
    until_written(out, 2000)
    second = started(model, "test://96x64@30", out, "--force")
    _, errors = finished(second)
    assert second.returncode == ExitCode.ENVIRONMENT
    assert "being written by another run" in errors
    first.send_signal(signal.SIGINT)
    printed, _ = finished(first)
    assert f"{frames(out)} delivered" in printed


def test_a_recording_is_read_while_it_grows(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv"):
        path = tmp_path / f"out{suffix}"
        sink = open_sink(str(path), SinkOptions(frame_rate=Fraction(30), live=True))
        image = np.zeros((36, 52, 3), np.uint8)
        for index in range(75):
            sink.write(image, Frame(image, index, index * 10**9 // 30))
        assert 75 - 30 <= frames(path) <= 75
        sink.close()
        assert frames(path) == 75
