"""`edgedeblur run` and `profile` with an engine, from the command line to the files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgedeblur import ExitCode, main
from runtime.frame import Frame, Image
from runtime.measure.timing import Timing
from runtime.pipeline import Pipeline, PipelineOptions
from runtime.sessions.frame_lanes import CopyingLanes
from runtime.sessions.gpu_thread import WARM_UP_ROUNDS
from runtime.sessions.tensorrt_session import TensorRTSession
from runtime.sinks.sink import SinkOptions
from runtime.sinks.video_sink import VideoSink
from runtime.sources.replay_source import ReplaySource
from runtime.sources.source import frames_of, open_source
from runtime.stop import Stop
from tests.runtime.cuda_stub import driver
from tests.runtime.cuda_stub.fixtures import MakeEngine, frames, halved
from tests.runtime.fakes import KeepingSink
from tests.runtime.pictures import write_png

ROOT = Path(__file__).parents[3]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """24 frames of noise at 30 frames/s."""
    sink = VideoSink(tmp_path / "in.mp4", SinkOptions(frame_rate=Fraction(30), time_base=Fraction(1, 15360)))
    for index, picture in enumerate(frames(24)):
        sink.write(picture, Frame(picture, index, 0, time=Fraction(index, 30)))
    sink.close()
    return tmp_path / "in.mp4"


def pictures_of(path: Path) -> list[Image]:
    return [frame.image for frame in frames_of(open_source(str(path)))]


@pytest.mark.parametrize("integrated", ["0", "1"])
def test_a_video_through_an_engine_is_that_of_onnx_runtime(
    make_engine: MakeEngine, video: Path, onnx: Path, integrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_INTEGRATED", integrated)
    engine, folder = make_engine(), video.parent
    for model, name in ((onnx, "onnx"), (engine.path, "engine")):
        for output in (folder / f"{name}.mp4", folder / f"{name}/%03i.png"):
            assert main(["run", str(video), str(output), "--model", str(model), "--guard", "off"]) == 0
    for name in ("{}.mp4", "{}"):
        ours, theirs = (pictures_of(folder / name.format(model)) for model in ("engine", "onnx"))
        assert len(ours) == len(theirs) == 24
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_summary_has_the_gpu_times(make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["test://52x36", "--frames", "40", "--model", str(make_engine().path)]
    assert main(["run", *words, "--json"]) == 0
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    assert summary["delivered"] == 40
    assert "stand-in fp16 (half.engine, 52x36 only), tensorrt 10.3.0 on Stub GPU" in summary["model"]
    for stage in ("upload", "compute", "download"):
        assert 0 < summary["ms"][stage]["p50"] < summary["ms"]["inference"]["p50"]
    assert "warmed up in" in captured.err
    assert main(["run", *words]) == 0
    assert "network (GPU compute)" in capsys.readouterr().out


def test_a_camera_through_an_engine(make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["test://52x36@200", "--frames", "30", "--json", "--model", str(make_engine().path)]
    assert main(["run", *words]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["policy"] == "newest frame wins"
    assert summary["captured"] == summary["delivered"] + sum(summary["drops"].values())


def test_profile(make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["profile", "test://52x36", "--frames", "15", "--repeats", "2", "--model", str(make_engine().path)]
    assert main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["gpu_ms"]["compute"]["n"] > 0
    assert "warmed up in" in report["notes"][0]
    assert main(words) == 0
    assert "network (GPU compute), ms by CUDA events" in capsys.readouterr().out


def test_nothing_is_allocated_however_long_it_runs(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the pipeline, whose outputs hold some results: slots are added for those and then no more."""
    monkeypatch.setenv("STUB_DELAY_US", "0")
    session = TensorRTSession(make_engine((10, 14)))
    pictures = [Frame(picture, index, 0) for index, picture in enumerate(frames(20, (10, 14)))]
    counts: list[int] = []
    options = PipelineOptions(
        latest=False, frames=1000, watchers=[lambda item: counts.append(driver.counter("allocations"))]
    )
    sink = KeepingSink()
    sink.write = lambda picture, frame: np.testing.assert_array_equal(  # type: ignore[method-assign]
        picture, halved(frame.image)
    )
    Pipeline(ReplaySource(pictures), session, [sink], Timing(0), options).run(Stop())
    session.close()
    assert len(counts) == 1000
    # Each slot that is added costs four blocks of memory and six events; at most 8 results are held at once.
    assert counts[-1] - counts[0] <= 8 * 10


def test_an_error_in_the_middle_leaves_a_whole_video(
    make_engine: MakeEngine, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine, output = make_engine(), video.with_name("out.mp4")
    driver.fail("cuMemcpyDtoHAsync", WARM_UP_ROUNDS * CopyingLanes.depth + 10, 1)
    assert main(["run", str(video), str(output), "--model", str(engine.path)]) == ExitCode.ENVIRONMENT
    assert "the GPU failed while starting a frame: cuMemcpyDtoHAsync failed" in capsys.readouterr().err
    assert 1 <= len(pictures_of(output)) <= 10


def test_pictures_before_one_that_does_not_fit_are_written(
    make_engine: MakeEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index, picture in enumerate([*frames(7), *frames(1, (40, 60))]):
        write_png(tmp_path / "in" / f"{index}.png", picture)
    output = tmp_path / "out"
    words = ["run", str(tmp_path / "in"), f"{output}/", "--model", str(make_engine().path)]
    assert main([*words, "--guard", "off"]) == ExitCode.MODEL  # the guard would not let half the brightness out
    assert "takes frames of 52x36 only, these are 60x40" in capsys.readouterr().err
    for index, picture in enumerate(frames(7)):
        np.testing.assert_array_equal(pictures_of(output)[index], halved(picture))


def test_out_of_memory_has_its_own_code(make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    engine = make_engine()
    driver.fail("cuMemHostRegister", 3, 2)
    assert main(["run", "test://52x36", "--frames", "3", "--model", str(engine.path)]) == ExitCode.MEMORY
    assert "GPU memory ran out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"toolkit_version": "10.13.3"}, ExitCode.MODEL, "toolkit_version is 10.13.3, expected 10.3.0"),
        ({}, ExitCode.MODEL, "takes frames of 52x36 only, these are 96x64"),
    ],
)
def test_what_cannot_be_run_says_so(
    make_engine: MakeEngine, change: dict[str, Any], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_engine().path
    sidecar = json.loads(path.with_suffix(".json").read_text())
    sidecar["key_parts"].update(change)
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    assert main(["run", "test://96x64", "--frames", "3", "--model", str(path), "--rebuild", "never"]) == code
    assert words in capsys.readouterr().err


SCRIPT = """
import sys
from edgedeblur import main
from tests.runtime import fake_tensorrt
from tests.runtime.cuda_stub import driver
from tests.runtime.cuda_stub.onnx_kernels import OnnxKernels
fake_tensorrt.install(OnnxKernels().launch)
code = main(sys.argv[1:])
print("left:", driver.alive(), file=sys.stderr)
sys.exit(code)
"""


INTERRUPT = """
import os, threading, time
def interrupt():
    while not driver.counter("graphs"):
        time.sleep(0.01)
    os.kill(os.getpid(), NUMBER)
threading.Thread(target=interrupt, daemon=True).start()
code = main"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_engine_warms_up_ends_it_there(make_engine: MakeEngine, number: int) -> None:
    script = SCRIPT.replace("code = main", INTERRUPT.replace("NUMBER", str(int(number))))
    words = ["run", "test://52x36", "--frames", "3", "--model", str(make_engine().path)]
    environment = {**os.environ, "STUB_DELAY_US": "50000"}
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == ExitCode.INTERRUPTED, done.stderr
    assert done.stderr.splitlines() == ["edgedeblur run: interrupted", "left: {}"]


@pytest.mark.parametrize(("number", "source"), [(signal.SIGINT, "52x36"), (signal.SIGTERM, "52x36@100")])
def test_a_signal_leaves_a_playable_file_and_nothing_on_the_gpu(
    make_engine: MakeEngine, tmp_path: Path, number: int, source: str
) -> None:
    output = tmp_path / "out.mp4"
    words = ["run", f"test://{source}", str(output), "--model", str(make_engine().path), "--stats", "0.1"]
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=ROOT
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "frames/s now" in line:
            break
    time.sleep(0.2)
    os.kill(process.pid, number)
    said = process.communicate(timeout=20)[1]
    assert process.returncode == ExitCode.INTERRUPTED, said
    assert "left: {}" in said
    assert len(pictures_of(output)) > 2
