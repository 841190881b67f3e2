"""`edgedeblur profile` from the command line to its files: both modes, quality, interruption, what it refuses."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgedeblur import ExitCode, Failure, main
from runtime.frame import Frame
from runtime.measure.profiles import profiling
from runtime.measure.profiles.paced_replay import PacedReplay
from runtime.sources.source import Source, SourceOptions
from runtime.stop import Stop
from tests.runtime.conftest import picture
from tests.runtime.fakes import CountingSource
from tests.runtime.pictures import write_png

ROOT = Path(__file__).parents[2]
Profile = Callable[..., tuple[int, str, str]]
QUICK = ("--frames", "12", "--repeats", "3", "--warm-up", "0")


@pytest.fixture
def profile(model: Path, capfd: pytest.CaptureFixture[str]) -> Profile:
    """`edgedeblur profile …` with the stand-in model: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        words = [str(argument) for argument in arguments]
        words += [] if "--model" in words else ["--model", str(model)]
        code = main(["profile", *words])
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return call


def test_a_camera_is_measured_at_its_pace(profile: Profile) -> None:
    code, out, err = profile("test://64x48@60", *QUICK, "--json")
    assert code == 0
    report = json.loads(out)  # nothing else is on stdout
    assert (report["schema"], report["mode"]) == ("edgedeblur.profile/2", "paced")
    assert len(report["repeats"]) == 3
    assert report["ms"]["age"]["n"] == 36
    assert report["ms"]["capture"]["n"] == 36  # the scene stamps as a driver does
    assert report["ms"]["age"]["p50"] > 0
    assert report["fps"]["output"] < 70
    assert report["fps"]["capacity"] > 0
    assert report["deadline"]["budget_ms"] == pytest.approx(1000 / 60)
    assert report["warm_up"]["first_frame_ms"] > 0
    assert report["warm_up"]["load_s"] > 0
    assert "speed" not in report  # the two modes are never mixed
    frames = report["frames"]
    assert frames["captured"] == frames["delivered"] + sum(frames["drops"].values()) - frames["drops"]["camera_gap"]
    header = report["header"]
    assert (header["size"], header["in_flight"], header["precision"]) == ([48, 64], 1, "fp32")
    assert len(header["model_sha256"]) == 64
    assert all(header[name] is None for name in header["unreadable"])
    assert "repeat 3 of 3" in err


def test_a_file_is_measured_back_to_back_and_may_be_paced(profile: Profile, video: Path) -> None:
    code, out, _ = profile(video, *QUICK, "--json")
    assert code == 0
    report = json.loads(out)
    assert report["mode"] == "saturated"
    assert report["deadline"]["share"] is None
    assert report["ms"]["capture"]["n"] == 0
    assert len(report["speed"]["ratio"]) == 3
    code, out, _ = profile(video, *QUICK, "--mode", "paced", "--input-rate", "100", "--json")
    report = json.loads(out)
    assert (code, report["mode"], report["header"]["source_rate"]) == (0, "paced", 100)
    assert report["fps"]["output"] < 115


def test_a_camera_may_be_measured_back_to_back(profile: Profile) -> None:
    code, out, _ = profile("test://64x48@200", *QUICK, "--mode", "saturated", "--budget", "1000")
    assert code == 0
    assert "mode     saturated" in out
    assert "pipeline / bare loop: median" in out
    assert "0 of 36 frames (0.0 %) were older than 1000.0 ms" in out


def test_all_files_are_written(profile: Profile, tmp_path: Path) -> None:
    save, page, times = tmp_path / "r.json", tmp_path / "r.html", tmp_path / "t.csv"
    layers = tmp_path / "layers.json"
    layers.write_text(json.dumps({"layers": [{"name": "conv0", "ms": 0.5}, {"name": "no time", "ms": None}]}))
    words = ("--save", save, "--report", page, "--export-times", times, "--layers", layers)
    code, out, _ = profile("test://64x48@100", *QUICK, *words, "--json")
    assert code == 0
    assert json.loads(save.read_text()) == json.loads(out)
    assert "conv0" in page.read_text()
    rows = list(csv.DictReader(times.read_text().splitlines()))
    recorded = [row for row in rows if row["warmUp"] == "False"]
    assert len(recorded) == 36
    assert {row["repeat"] for row in recorded} == {"0", "1", "2"}
    before = save.read_bytes()
    code, _, err = profile("test://64x48@100", *QUICK, "--save", save)
    assert code == ExitCode.USAGE
    assert "--force" in err
    assert save.read_bytes() == before


def test_quality_stands_beside_speed(profile: Profile, tmp_path: Path) -> None:
    for index, name in enumerate(("a.png", "b.png")):
        blurred = picture(index)
        write_png(tmp_path / "blur" / name, blurred)
        write_png(tmp_path / "sharp" / name, np.ascontiguousarray(blurred + np.uint8(2)))
    code, out, _ = profile("test://64x48", *QUICK, "--pairs", tmp_path, "--json")
    psnr = json.loads(out)["psnr"]
    assert (code, psnr["frames"], psnr["of"]) == (0, 2, str(tmp_path))
    assert psnr["before_db"] == pytest.approx(20 * np.log10(255 / 2))  # the stand-in gives back its input
    assert psnr["after_db"] == pytest.approx(psnr["before_db"])
    assert [row["name"] for row in psnr["pairs"]] == ["a.png", "b.png"]
    code, out, _ = profile("test://64x48", *QUICK, "--json")
    assert "sharp originals" in json.loads(out)["psnr"]["of"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((), "no pairs"),
        (("blur/a.png",), "'a.png'"),
        (("x_blur.png", "y_sharp.png"), "x_sharp.png"),
        (("blur/a.png", "sharp/a.png"), "one size"),
    ],
)
def test_pairs_that_are_none_are_named(profile: Profile, tmp_path: Path, files: tuple[str, ...], said: str) -> None:
    for place, name in enumerate(files):
        write_png(tmp_path / name, picture(0, (20 + place, 30)))
    code, _, err = profile("test://64x48", *QUICK, "--pairs", tmp_path)
    assert code == ExitCode.SOURCE
    assert said.strip("'") in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--export-times", "t.txt"), "ends in neither"),
        (("--save", "same", "--report", "same"), "a file each"),
        (("--layers", "missing.json"), "cannot be read"),
        (("--memory-frames", "-1"), "at least 0"),
        (("--soak", "100", "--report", "r.html"), "prints its own table"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_measured(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = profile("test://64x48", *words)
    assert (code, out) == (ExitCode.USAGE, "")
    assert said in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("--percentile", "50,100"), ("--percentile", "x"), ("--repeats", "0")])
def test_values_out_of_range_end_with_the_usage(profile: Profile, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as end:
        profile("test://64x48", *words)
    assert end.value.code == ExitCode.USAGE


@pytest.mark.parametrize(
    "content", ["", "[]", '{"layers": 3}', '[{"name": 1, "ms": 2}]', '[{"name": "a", "ms": true}]']
)
def test_a_file_of_no_layers_is_refused(profile: Profile, tmp_path: Path, content: str) -> None:
    layers = tmp_path / "layers.json"
    layers.write_text(content)
    code, _, err = profile("test://64x48", *QUICK, "--layers", layers)
    assert code == ExitCode.USAGE
    assert "inspect" in err


def opened(source: Source) -> Callable[[str, SourceOptions], Source]:
    return lambda uri, options: source


def test_what_a_camera_gave_before_it_broke_is_told(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    source = CountingSource(1000, live=True, period_s=0.002, fail_at=40)
    monkeypatch.setattr(profiling, "open_source", opened(source))
    with pytest.raises(RuntimeError, match="the source broke"):
        profile("x", *QUICK)


def test_a_broken_camera_is_a_failure_behind_its_report(
    profile: Profile, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Unplugged(CountingSource):
        def read(self, stop: Stop) -> Frame | None:
            if self.given == 30:
                raise Failure("the camera was unplugged", ExitCode.SOURCE)
            return super().read(stop)

    source = Unplugged(1000, live=True, period_s=0.002)
    monkeypatch.setattr(profiling, "open_source", opened(source))
    code, out, err = profile("x", *QUICK, "--json")
    assert code == ExitCode.SOURCE
    assert "unplugged" in err
    assert json.loads(out)["frames"]["captured"] == 30
    assert source.closed == 1


def test_a_camera_that_gives_nothing_is_a_failure(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "open_source", opened(CountingSource(0, live=True)))
    code, out, err = profile("x", *QUICK)
    assert (code, out) == (ExitCode.SOURCE, "")
    assert "gave no frame" in err


def test_a_camera_that_only_stands_still_is_not_measured(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    class Blank(CountingSource):
        def read(self, stop: Stop) -> Frame | None:
            frame = super().read(stop)
            return frame and replace(frame, how="blank")

    monkeypatch.setattr(profiling, "open_source", opened(Blank(30, live=True)))
    code, out, err = profile("x", *QUICK)
    assert (code, out) == (ExitCode.SOURCE, "")
    assert "gave no frame" in err


def test_ctrl_c_prints_what_was_measured(model: Path, tmp_path: Path) -> None:
    save = tmp_path / "r.json"
    words = ["profile", "test://64x48@100", "--duration", "0.5", "--repeats", "100", "--warm-up", "0", "--json"]
    command = [sys.executable, "-m", "edgedeblur", *words, "--save", str(save), "--model", str(model)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("repeat 2 of 100"):
            break
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    report = json.loads(out)
    assert report["interrupted"]
    assert 2 <= len(report["repeats"]) < 100
    assert json.loads(save.read_text()) == report


def test_a_full_disk_does_not_take_the_report_with_it(profile: Profile) -> None:
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("no /dev/full on this machine")
    code, out, err = profile("test://64x48", *QUICK, "--save", "/dev/full", "--json")
    assert code == ExitCode.ENVIRONMENT
    assert "No space left" in err
    assert json.loads(out)["schema"] == "edgedeblur.profile/2"


def test_a_camera_is_opened_again_for_what_needs_its_frames_back_to_back(profile: Profile) -> None:
    code, out, _ = profile("test://64x48@200", *QUICK, "--overhead", "--memory-frames", "50", "--json")
    report = json.loads(out)
    assert (code, report["mode"], report["memory"]["frames"]) == (0, "paced", 50)
    assert len(report["speed"]["ratio"]) == 3
    assert report["psnr"]["frames"] > 0


def test_features_are_measured_beside_the_bare_loop(profile: Profile) -> None:
    code, out, _ = profile("test://64x48", *QUICK, "--overhead", "--json")
    features: dict[str, Any] = json.loads(out)["features"]
    assert code == 0
    assert {name: len(row["ratio"]) for name, row in features["ways"].items()} == {
        "pipeline": 3,
        "page": 3,
        "recording": 3,
    }
    assert features["viewer_bytes"] > 1000  # somebody really looked
    assert {name: len(row) for name, row in features["fps"].items()} == dict.fromkeys(
        ("bare", "pipeline", "page", "recording"), 3
    )


def test_a_paced_replay_waits_for_nobody() -> None:
    frames = [Frame(picture(index), index, 0) for index in range(3)]
    source, stop = PacedReplay(frames, Fraction(200)), Stop()
    first = source.read(stop)
    assert first is not None
    time.sleep(0.05)
    late = [frame for frame in (source.read(stop) for _ in range(5)) if frame is not None]
    assert [frame.index for frame in late] == [1, 2, 3, 4, 5]
    assert [frame.captured_ns - first.captured_ns for frame in late] == [5_000_000 * n for n in range(1, 6)]
    np.testing.assert_array_equal(late[2].image, picture(0))
    stop.set()
    assert source.read(stop) is None
