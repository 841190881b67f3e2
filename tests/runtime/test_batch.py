"""`edgedeblur batch` on this machine: what is finished stays, a bad file stops no other."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgedeblur import ExitCode, main
from runtime.batch import attempt as attempts
from runtime.batch.alone import LOCK
from runtime.batch.attempt import Attempt, try_job
from runtime.batch.jobs import Job
from runtime.batch.records import is_done, partial_path
from tests.full_disk import full_disk
from tests.runtime.batches import ROOT, frame_count, wait_for
from tests.runtime.conftest import picture
from tests.runtime.pictures import write_png


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


@pytest.mark.parametrize(
    "words",
    [
        "--veiw split",
        "--view no-such",
        "--force",
        "extra.mp4",
        "--json",
        "--output-split 1",  # several files: only one would be kept
        "--input-save raw.mkv",  # one file for all
        "--model edge-n",
        "--threads 1",
    ],
)
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


def test_a_batch_for_a_folder_above_or_below_is_refused_too(
    batch: Callable[..., tuple[int, str]], films: Path, model: Path
) -> None:
    """It would take away what the other one has half made."""
    out = films.parent / "out"
    for busy in (out / "deep", films.parent):
        busy.mkdir(parents=True, exist_ok=True)
        half = partial_path(Job(films, busy / "a.mp4", ()))
        half.write_text("half")
        with (busy / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            code, text = batch()
        assert code == ExitCode.USAGE
        assert f"another batch works on '{busy}'" in text
        half.unlink()
    (films / "bad.mp4").unlink()
    assert batch()[0] == 0


def test_without_locks_nothing_of_another_batch_is_removed(
    batch: Callable[..., tuple[int, str]], films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (films / "bad.mp4").unlink()
    half = partial_path(Job(films / "a.mp4", films.parent / "out" / "a.mp4", ()))
    half.parent.mkdir()
    half.write_text("half")
    assert batch()[0] == 0
    assert half.exists()


def test_a_film_that_changes_while_it_is_read_is_done_again(tmp_path: Path, video: Path, model: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(video.read_bytes())
    job = Job(film, tmp_path / "out" / "film.mp4", ("--model", str(model)))
    attempt = Attempt(job)
    os.utime(film)
    outcome = wait_for(attempt.poll)
    assert outcome.code == 0
    assert "changed while it was read" in outcome.text
    assert not is_done(job)
    assert try_job(job).text == ""
    assert is_done(job)


def test_runs_that_end_in_unknown_ways_are_told(
    batch: Callable[..., tuple[int, str]], films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 is Python's code for an error that nobody foresaw; that is no code of ours."""
    monkeypatch.setattr(attempts, "child_command", lambda words: [sys.executable, "-c", "raise ValueError('odd')"])
    code, text = batch()
    assert code == ExitCode.ENVIRONMENT
    assert "stopped after 3 failures in a row" in text
    assert "ValueError: odd" in text


def test_names_that_would_steer_the_terminal(tmp_path: Path, video: Path, model: Path, capfd: Any) -> None:
    (tmp_path / "a\x1b[2J\nb.mp4").write_bytes(video.read_bytes())
    (tmp_path / "c\x1b[2J.mp4").write_text("no video")
    words = ["batch", f"{tmp_path}/*.mp4", "-o", str(tmp_path / "out"), "--model", str(model)]
    assert main([*words, "--dry-run"]) == 0
    assert main(words) == ExitCode.SOURCE
    captured = capfd.readouterr()
    assert "a\\x1b[2J\\nb.mp4" in captured.out
    assert "a\\x1b[2J\\nb.mp4: 24 frames" in captured.err
    assert "\x1b" not in captured.out + captured.err


def test_names_that_are_no_text(tmp_path: Path, video: Path, model: Path) -> None:
    odd = tmp_path / os.fsdecode(b"\xff odd.mp4")
    odd.write_bytes(video.read_bytes())
    words = ["-o", str(tmp_path / "out"), "--model", str(model)]
    command = [sys.executable, "-m", "edgedeblur", "batch", str(odd), *words]
    for more in ([], ["--dry-run"]):
        assert subprocess.run([*command, *more], cwd=ROOT, capture_output=True).returncode == 0
    assert frame_count(tmp_path / "out" / odd.name) == 24
