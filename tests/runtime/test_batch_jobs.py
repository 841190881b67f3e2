"""Which files a batch takes, where their results go, and when one is finished."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgedeblur import ExitCode, Failure
from runtime.batch import records
from runtime.batch.jobs import Job, jobs_of, leftovers, model_stamp
from runtime.batch.records import is_done, is_ours, partial_path, record_path, settle, state_of_source

MODEL = {"model": "m.onnx", "sha256": "1"}


@pytest.fixture
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files by name only, in a folder that is the current one."""
    names = (
        "v/1.mp4",
        "v/2.mkv",
        "v/3.avi",
        "v/deep/1.mp4",
        "v/[odd].mp4",
        "w/1.mp4",
        "shots/b/1.png",
        "shots/b/2.png",
    )
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def places(root: Path, *patterns: str, out: str = "out") -> dict[str, str]:
    """input → output, both below `root`."""
    jobs = jobs_of(patterns, Path(out), [], MODEL)
    return {str(job.source.relative_to(root)): str(job.output.relative_to(root)) for job in jobs}


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["v/*.mp4"], {"v/1.mp4": "out/1.mp4", "v/[odd].mp4": "out/[odd].mp4"}),
        (["v/[odd].mp4"], {"v/[odd].mp4": "out/[odd].mp4"}),
        (["v/deep/1.mp4", "v/2.mkv"], {"v/deep/1.mp4": "out/1.mp4", "v/2.mkv": "out/2.mkv"}),
        (["*/1.mp4"], {"v/1.mp4": "out/v/1.mp4", "w/1.mp4": "out/w/1.mp4"}),
        (["v/**/1.mp4"], {"v/1.mp4": "out/1.mp4", "v/deep/1.mp4": "out/deep/1.mp4"}),
        (["v/3.*"], {"v/3.avi": "out/3.avi.mp4"}),  # a suffix that outputs do not have
        (["shots/*"], {"shots/b": "out/b"}),
        (["shots/b/"], {"shots/b": "out/b"}),
        (["v/1.mp4", "v/1.*"], {"v/1.mp4": "out/1.mp4"}),
    ],
)
def test_where_results_go(videos: Path, patterns: list[str], found: dict[str, str]) -> None:
    assert places(videos, *patterns) == found


def test_results_are_no_inputs_of_the_next_batch(videos: Path) -> None:
    shutil.copytree("w", "v/out")
    assert places(videos, "v/**/1.mp4", out="v/out") == {"v/1.mp4": "v/out/1.mp4", "v/deep/1.mp4": "v/out/deep/1.mp4"}


def test_results_that_are_reached_by_a_link_are_no_inputs_either(videos: Path) -> None:
    """Nor is an input overwritten by its own result."""
    (videos / "link").symlink_to("v")
    shutil.copytree("w", "v/out")
    found = {"link/1.mp4": "v/out/1.mp4", "link/deep/1.mp4": "v/out/deep/1.mp4"}
    assert places(videos, "link/**/1.mp4", out="v/out") == found
    with pytest.raises(Failure, match="outside of"):
        places(videos, "v/*.mp4", out="link")


def test_a_folder_that_is_linked_into_itself_is_gone_through_once(videos: Path) -> None:
    (videos / "v/deep/loop").symlink_to("..")
    (videos / "v/other").symlink_to("../w")
    found = {"v/1.mp4": "out/1.mp4", "v/deep/1.mp4": "out/deep/1.mp4", "v/other/1.mp4": "out/other/1.mp4"}
    assert places(videos, "v/**/1.mp4") == found


def test_a_folder_that_may_not_be_read_is_passed_over(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (videos / "shots/lost+found").mkdir()
    read = Path.iterdir

    def refuse(path: Path) -> Any:
        if path.name == "lost+found":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert places(videos, "shots/*") == {"shots/b": "out/b"}
    with pytest.raises(Failure, match="holds no pictures"):
        places(videos, "shots/lost+found")


def test_a_result_in_the_folder_of_another_result_is_refused(videos: Path) -> None:
    """A folder is replaced as a whole, with all that lies in it."""
    (videos / "shots/b/c").mkdir()
    (videos / "shots/b/c/1.png").write_text("c")
    with pytest.raises(Failure, match=r"out/b/c' would lie in '.*out/b'"):
        places(videos, "shots/**/")
    shutil.copy("shots/b/1.png", "shots/1.png")
    shutil.rmtree("shots/b")
    assert places(videos, "shots/**/") == {"shots": "out/shots"}  # and not `out` itself


@pytest.mark.parametrize(
    ("pattern", "code", "words"),
    [
        ("none/*.mp4", ExitCode.SOURCE, "finds no video"),
        ("none.mp4", ExitCode.SOURCE, "finds no video"),
        ("shots/b/*.png", ExitCode.USAGE, "edgedeblur run FOLDER/"),
        ("v", ExitCode.USAGE, "'v/*'"),
    ],
)
def test_what_is_no_job(videos: Path, pattern: str, code: int, words: str) -> None:
    with pytest.raises(Failure) as caught:
        places(videos, pattern)
    assert caught.value.code == code
    assert words in str(caught.value)


def test_two_inputs_with_one_output_are_refused(videos: Path) -> None:
    with pytest.raises(Failure, match=r"v/1.mp4' and '.*w/1.mp4' would both become"):
        places(videos, "v/1.mp4", "w/1.mp4")


def test_a_model_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    model.write_text("one")
    first = model_stamp(str(model))
    model.write_text("two")
    assert model_stamp(str(model)) != first
    assert len(model_stamp("auto")["sha256"]) == 64
    with pytest.raises(Failure) as caught:
        model_stamp(str(tmp_path / "none.onnx"))
    assert caught.value.code == ExitCode.MODEL


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "in.mp4").write_text("blurred")
    (tmp_path / "out").mkdir()
    return Job(tmp_path / "in.mp4", tmp_path / "out" / "in.mp4", (), MODEL)


def finish(job: Job, result: str = "sharp") -> None:
    read = state_of_source(job)
    partial = partial_path(job)
    partial.write_text(result)
    settle(job, partial, read, {"frames": 3})


def test_a_result_with_its_record_is_finished(job: Job) -> None:
    assert not is_done(job)
    finish(job)
    assert is_done(job)
    assert job.output.read_text() == "sharp"
    assert sorted(path.name for path in job.output.parent.iterdir()) == ["in.mp4", "in.mp4.json"]
    assert '"frames": 3' in record_path(job.output).read_text()


def later(path: Path) -> None:
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda job: later(job.source),
        lambda job: job.source.write_text("blurred more"),
        lambda job: job.output.unlink(),
        lambda job: job.output.write_text("shar"),
        lambda job: later(job.output),
        lambda job: record_path(job.output).unlink(),
        lambda job: record_path(job.output).write_text("{"),
        lambda job: record_path(job.output).write_text("[]"),
        lambda job: job.source.unlink(),
        lambda job: job.made_by.update(sha256="2"),
        lambda job: job.made_by.update(options=["--view", "split"]),
    ],
)
def test_what_makes_a_file_be_done_again(job: Job, change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(job.made_by, "sha256", "1")  # the dictionary is every test's
    monkeypatch.setitem(job.made_by, "options", [])
    finish(job)
    change(job)
    assert not is_done(job)


def test_killed_between_record_and_result_it_is_not_finished(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(job)

    def killed(partial: Path, output: Path) -> None:
        raise OSError("killed")

    monkeypatch.setattr(records, "_put", killed)
    with pytest.raises(OSError, match="killed"):
        finish(job, "SHARP")  # as long as the old one
    assert not is_done(job)
    assert is_ours(job)
    assert not list(leftovers(job.output.parent))


def test_a_folder_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.png").write_text("blurred")
    job = Job(tmp_path / "in", tmp_path / "out" / "in", (), MODEL)
    for names in (["1.png", "2.png"], ["1.png"]):
        partial = partial_path(job)
        partial.mkdir(parents=True)
        for name in names:
            (partial / name).write_text("sharp")
        settle(job, partial, state_of_source(job), {})
        assert is_done(job)
        assert sorted(path.name for path in job.output.iterdir()) == names
    assert not list(leftovers(tmp_path / "out"))
    (tmp_path / "in" / "2.png").write_text("one more")
    assert not is_done(job)


def test_a_folder_that_cannot_be_replaced_is_still_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    job = Job(tmp_path / "in", tmp_path / "out", (), MODEL)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "1.png").write_text("the old one")
    partial = partial_path(job)
    partial.mkdir()
    rename = Path.rename

    def fail(path: Path, target: Path) -> Any:
        if path == partial:
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="No space left"):
        settle(job, partial, state_of_source(job), {})
    assert (tmp_path / "out" / "1.png").read_text() == "the old one"
    assert not list(leftovers(tmp_path))


def test_leftovers_are_what_partial_paths_are_called(tmp_path: Path, job: Job) -> None:
    half, folder = partial_path(job), partial_path(Job(tmp_path, tmp_path / "out" / "in", ()))
    half.write_text("half")
    folder.mkdir()
    (folder / "1.png").write_text("half")
    for name in (".hidden.mp4", "a.part.mp4", ".0123.part.mp4", "in.mp4"):
        (job.output.parent / name).write_text("kept")
    assert set(leftovers(tmp_path / "out")) == {half, folder}
