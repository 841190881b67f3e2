"""`edgedeblur batch` on this machine: what is finished stays, what was killed is redone, nothing half made is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from edgedeblur import ExitCode, main
from runtime.batch.jobs import leftovers
from runtime.sources.source import frames_of, open_source
from tests.full_disk import full_disk
from tests.runtime.conftest import picture
from tests.runtime.pictures import write_png
from tests.runtime.stand_in import write_model

ROOT = Path(__file__).parents[2]
LONG = 40  # frames
ENDS_WITHIN_S = 6.0  # after Ctrl-C; two of them are what a run may take to end by itself


@pytest.fixture
def films(tmp_path: Path, video: Path) -> Path:
    """Three videos of 24 frames and one that is none."""
    for name in ("a", "b", "c"):
        (tmp_path / "films").mkdir(exist_ok=True)
        (tmp_path / "films" / f"{name}.mp4").write_bytes(video.read_bytes())
    (tmp_path / "films" / "bad.mp4").write_text("no video")
    return tmp_path / "films"


@pytest.fixture
def batch(films: Path, model: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """`edgedeblur batch films/*.mp4 -o out` with the stand-in model: its exit code and all it printed."""

    def call(*words: object) -> tuple[int, str]:
        arguments = [f"{films}/*.mp4", "-o", f"{films.parent}/out", "--model", str(model), *map(str, words)]
        code = main(["batch", *arguments])
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out + captured.err

    return call


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes seconds for a film."""
    return write_model(tmp_path_factory.mktemp("slow") / "slow.onnx", rounds=70)


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A film large enough that the slow model is in mid-file for seconds."""
    path = tmp_path_factory.mktemp("long") / "film.mp4"
    assert main(["run", "test://320x240", str(path), "--frames", str(LONG), "--model", str(model)]) == 0
    return path


@contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[str]]:
    """`edgedeblur batch` in a process of its own, which does not outlive the block."""
    command = [sys.executable, "-m", "edgedeblur", "batch", *map(str, words)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def runs_on(path: Path) -> list[int]:
    """Processes that run `edgedeblur run` on `path`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if str(path).encode() in words and any(b"runtime.batch.child" in word for word in words):
                found.append(int(entry.name))
    return found


def wait_for(found: Callable[[], Any], within_s: float = 40.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return value


def begun(out: Path) -> list[Path]:
    """Half-made results with something in them; `run` first tries whether it may write, and takes that away again."""
    found = []
    for path in leftovers(out):
        with suppress(FileNotFoundError):
            found += [path] if path.stat().st_size > 0 else []
    return found


def in_mid_file(film: Path, out: Path) -> int:
    """The process that works on `film`, once its result has begun."""
    wait_for(lambda: begun(out))
    (process,) = runs_on(film)
    return process


def frame_count(path: Path) -> int:
    return len(list(frames_of(open_source(str(path)))))


def test_a_bad_file_does_not_stop_the_rest_and_what_is_finished_is_skipped(
    batch: Callable[..., tuple[int, str]], films: Path
) -> None:
    out = films.parent / "out"
    code, text = batch("--workers", 2)
    assert code == ExitCode.SOURCE
    assert "3 done, 0 were finished, 1 failed" in text
    assert "bad.mp4' is not a video" in text
    assert "[4/4" in text
    made = {path: path.stat().st_mtime_ns for path in sorted(out.glob("*.mp4"))}
    assert [path.name for path in made] == ["a.mp4", "b.mp4", "c.mp4"]
    assert all(frame_count(path) == 24 for path in made)
    (films / "bad.mp4").unlink()
    os.utime(films / "b.mp4")
    code, text = batch("--json")
    assert code == 0
    assert json.loads(text[text.index("{") : text.rindex("}") + 1]) == {
        "done": 1,
        "finished_before": 2,
        "not_tried": 0,
        "failed": [],
    }
    changed = [path.name for path, mtime_ns in made.items() if path.stat().st_mtime_ns != mtime_ns]
    assert changed == ["b.mp4"]
    assert "3 are finished" in batch("--dry-run")[1]
    code, text = batch("--dry-run", "--options=--view split")
    assert text.count(" → ") == 3  # other options, other pictures
    assert code == 0


def test_folders_of_pictures(tmp_path: Path, model: Path) -> None:
    for index in range(3):
        write_png(tmp_path / "shots" / "one" / f"{index}.png", picture(index))
    words = ["batch", f"{tmp_path}/shots/*", "-o", f"{tmp_path}/out", "--model", str(model)]
    assert main(words) == 0
    assert sorted(path.name for path in (tmp_path / "out" / "one").iterdir()) == ["0.png", "1.png", "2.png"]
    assert main([*words, "--dry-run"]) == 0


def test_what_no_batch_made_is_kept(batch: Callable[..., tuple[int, str]], films: Path, capfd: Any) -> None:
    (films / "bad.mp4").unlink()
    mine = films.parent / "out" / "b.mp4"
    mine.parent.mkdir()
    mine.write_text("dear")
    code, text = batch()
    assert code == ExitCode.USAGE
    assert "no batch has made it" in text
    assert mine.read_text() == "dear"
    assert batch("--force")[0] == 0
    assert frame_count(mine) == 24


@pytest.mark.parametrize("words", ["--veiw split", "--view no-such", "--force", "extra.mp4", "--json"])
def test_options_that_run_does_not_take_are_said_before_any_work(
    batch: Callable[..., tuple[int, str]], films: Path, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        code = batch(f"--options={words}")[0]
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == ExitCode.USAGE
    assert not (films.parent / "out").exists()


def test_a_full_disk_stops_the_batch_and_leaves_no_half_file(
    batch: Callable[..., tuple[int, str]], films: Path
) -> None:
    (films / "bad.mp4").unlink()
    (films / "d.mp4").write_bytes((films / "a.mp4").read_bytes())
    with full_disk(2000):
        code, text = batch()
    assert code == ExitCode.ENVIRONMENT
    assert "File too large" in text
    assert "stopped after 3 failures in a row" in text
    assert "1 files not tried" in text
    assert [path.name for path in (films.parent / "out").iterdir() if not path.name.endswith(".lock")] == []
    assert batch()[0] == 0


def test_one_batch_for_one_folder(
    batch: Callable[..., tuple[int, str]], films: Path, long_film: Path, slow: Path
) -> None:
    out = films.parent / "out"
    with started(long_film, "-o", out, "--model", slow):
        in_mid_file(long_film, out)
        code, text = batch()
        assert code == ExitCode.USAGE
        assert "another batch works on" in text
        assert list(leftovers(out))  # the first one's are not touched


def test_a_killed_run_is_redone(tmp_path: Path, long_film: Path, slow: Path) -> None:
    with started(long_film, "-o", tmp_path / "out", "--model", slow) as process:
        os.kill(in_mid_file(long_film, tmp_path / "out"), signal.SIGKILL)
        printed, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "1 done" in printed
    assert frame_count(tmp_path / "out" / "film.mp4") == LONG
    assert not list(leftovers(tmp_path / "out"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_half_file_and_no_process(tmp_path: Path, long_film: Path, slow: Path, number: int) -> None:
    with started(long_film, "-o", tmp_path / "out", "--model", slow) as process:
        in_mid_file(long_film, tmp_path / "out")
        began = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert time.monotonic() - began < ENDS_WITHIN_S
    assert process.returncode == ExitCode.INTERRUPTED
    assert "Traceback" not in errors
    assert runs_on(long_film) == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".edgedeblur-batch.lock"]


def test_a_batch_that_is_killed_takes_its_runs_along(tmp_path: Path, long_film: Path, slow: Path, model: Path) -> None:
    out = tmp_path / "out"
    with started(long_film, "-o", out, "--model", slow):
        in_mid_file(long_film, out)
    wait_for(lambda: not runs_on(long_film))
    assert list(leftovers(out))
    assert main(["batch", str(long_film), "-o", str(out), "--model", str(model)]) == 0
    assert not list(leftovers(out))
    assert frame_count(out / "film.mp4") == LONG


def test_names_that_are_no_text(tmp_path: Path, video: Path, model: Path) -> None:
    odd = tmp_path / os.fsdecode(b"\xff odd.mp4")
    odd.write_bytes(video.read_bytes())
    words = ["-o", str(tmp_path / "out"), "--model", str(model)]
    command = [sys.executable, "-m", "edgedeblur", "batch", str(odd), *words]
    for more in ([], ["--dry-run"]):
        assert subprocess.run([*command, *more], cwd=ROOT, capture_output=True).returncode == 0
    assert frame_count(tmp_path / "out" / odd.name) == 24
