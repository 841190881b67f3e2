"""Outputs: what they refuse, and what stays of them when the disk is full."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame
from runtime.page.page_options import page_options
from runtime.sinks.sink import SinkOptions, open_sink
from runtime.sources.image_source import read_image
from runtime.sources.source import frames_of, open_source
from tests.full_disk import full_disk
from tests.runtime.conftest import Run, picture

NOISE = np.random.default_rng(0).integers(0, 256, (8, 120, 160, 3), dtype=np.uint8)


def write_noise(path: Path, written: list[int]) -> None:
    """200 frames that compress badly; `written` holds the numbers of those that the sink took."""
    sink = open_sink(str(path), SinkOptions(frame_rate=Fraction(10)))
    try:
        for index in range(200):
            sink.write(NOISE[index % 8], Frame(NOISE[index % 8], index, 0, time=Fraction(index, 10)))
            written.append(index)
    finally:
        sink.close()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_full_disk_leaves_a_playable_video(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    written: list[int] = []
    with full_disk(600_000), pytest.raises(Failure, match=r"cannot write .*File too large.*playable") as caught:
        write_noise(path, written)
    assert caught.value.code == ExitCode.ENVIRONMENT
    kept = len(list(frames_of(open_source(str(path)))))
    assert len(written) - 25 <= kept <= len(written) + 1


def test_a_full_device(run: Run, tmp_path: Path) -> None:
    (tmp_path / "full.mp4").symlink_to("/dev/full")
    code, text = run("test://64x48", tmp_path / "full.mp4", "--frames", 80)
    assert code == ExitCode.ENVIRONMENT
    assert "No space left" in text


def test_a_full_disk_leaves_whole_pictures(tmp_path: Path) -> None:
    sink = open_sink(f"{tmp_path}/out/")
    sink.write(NOISE[0], Frame(NOISE[0], 0, 0))
    with full_disk(1000), pytest.raises(Failure, match="the 1 pictures before it are whole") as caught:
        sink.write(NOISE[1], Frame(NOISE[1], 1, 0))
    assert caught.value.code == ExitCode.ENVIRONMENT
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["000000.png"]
    assert (read_image(tmp_path / "out" / "000000.png") == NOISE[0]).all()


@pytest.mark.parametrize("target", ["file/out.mp4", "file/out/", "file/%06i.png"])
def test_an_unwritable_place(run: Run, tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_text("in the way")
    code, text = run("test://64x48", tmp_path / target if not target.endswith("/") else f"{tmp_path}/{target}")
    assert code == ExitCode.ENVIRONMENT
    assert "file" in text
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_read_only_file_system(run: Run) -> None:
    code, text = run("test://64x48", "/proc/out.mp4")
    assert code == ExitCode.ENVIRONMENT
    assert "/proc" in text


def test_what_is_there_is_kept_without_force(run: Run, tmp_path: Path, video: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_text("something else")
    code, text = run(video, out)
    assert code == ExitCode.USAGE
    assert "--force" in text
    assert out.read_text() == "something else"
    assert run(video, out, "--force")[0] == 0
    assert len(list(frames_of(open_source(str(out))))) == 24


def test_force_keeps_what_is_there_when_no_frame_comes(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(b"damaged")
    (tmp_path / "out.mp4").write_text("dear")
    assert run(tmp_path / "in.png", tmp_path / "out.mp4", "--force")[0] == ExitCode.SOURCE
    assert (tmp_path / "out.mp4").read_text() == "dear"


def test_the_input_is_never_written_over(run: Run, tmp_path: Path, video: Path) -> None:
    (tmp_path / "link.mp4").symlink_to(video)
    before = video.read_bytes()
    for out in (video, tmp_path / "link.mp4"):
        code, text = run(video, out, "--force")
        assert code == ExitCode.USAGE
        assert "also the input" in text
    assert video.read_bytes() == before
    sink = open_sink(f"{tmp_path}/in/")
    sink.write(picture(0), Frame(picture(0), 0, 0))
    assert run(tmp_path / "in", f"{tmp_path}/in/", "--force")[0] == ExitCode.USAGE


def test_pictures_keep_names_or_take_numbers(run: Run, tmp_path: Path) -> None:
    sink = open_sink(f"{tmp_path}/in/")
    for name in ("b10.png", "b9.jpg", "b10.jpg"):
        sink.write(picture(3), Frame(picture(3), 0, 0, name=name))
    names = f"{tmp_path}/in", f"{tmp_path}/same/", tmp_path / "n" / "%04i.jpg"
    assert run(*names)[0] == 0
    assert sorted(path.name for path in (tmp_path / "same").iterdir()) == ["b10-000000.png", "b10.png", "b9.png"]
    assert sorted(path.name for path in (tmp_path / "n").iterdir()) == ["0000.jpg", "0001.jpg", "0002.jpg"]
    assert np.abs(read_image(tmp_path / "n" / "0001.jpg").astype(int) - picture(3)).max() <= 3
    assert run(*names)[0] == ExitCode.USAGE


@pytest.mark.parametrize(
    ("there", "pattern"), [("shot[1]-0000.png", "shot[1]-%04d.png"), ("a*b7.jpg", "a*b%i.jpg"), ("   3.png", "%4d.png")]
)
def test_names_with_glob_characters_are_found_too(run: Run, tmp_path: Path, there: str, pattern: str) -> None:
    (tmp_path / there).write_text("dear")
    code, text = run("test://64x48", tmp_path / pattern, "--frames", 8)
    assert code == ExitCode.USAGE
    assert "--force" in text
    assert (tmp_path / there).read_text() == "dear"
    assert run("test://64x48", tmp_path / pattern, "--frames", 8, "--force")[0] == 0


def test_other_pictures_are_not_in_the_way(run: Run, tmp_path: Path) -> None:
    for name in ("shot-x.png", "shot-1.jpg", "another-1.png"):
        (tmp_path / name).write_text("dear")
    assert run("test://64x48", tmp_path / "shot-%i.png", "--frames", 1)[0] == 0


@pytest.mark.parametrize("pattern", ["%i%i.png", "%04d-%d.jpg"])
def test_a_pattern_holds_one_number(run: Run, tmp_path: Path, pattern: str) -> None:
    code, text = run("test://64x48", tmp_path / pattern)
    assert code == ExitCode.USAGE
    assert "more than one number" in text


@pytest.mark.parametrize(
    ("name", "again"),
    [("o.mp4", "./o.mp4"), ("o.mp4", "file://o.mp4"), ("o.mp4", "p/../o.mp4"), ("o.mp4", "link.mp4"), ("p", "p/")],
)
def test_one_output_in_two_spellings(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, again: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.mp4").symlink_to("o.mp4")
    (tmp_path / "p").mkdir()
    code, text = run("test://64x48", name, again)
    assert code == ExitCode.USAGE
    assert "the same output twice" in text


def test_one_stream_under_two_passwords(run: Run) -> None:
    code, text = run("test://64x48", "rtsp://me:secret@host/x", "rtsp://you:secret@host/x")
    assert code == ExitCode.USAGE
    assert "the same output twice: rtsp://host/x" in text
    assert "secret" not in text


@pytest.mark.parametrize("uri", ["rtmp://me:secret@host/x", "RTSP://me:secret@host/x", "http://me:secret@host/x"])
def test_a_kind_of_output_that_there_is_not(uri: str) -> None:
    with pytest.raises(Failure) as caught:
        open_sink(uri)
    assert caught.value.code == ExitCode.USAGE
    assert "secret" not in str(caught.value)


def test_a_page_in_another_form_is_told_the_forms_that_work() -> None:
    with pytest.raises(Failure) as caught:
        open_sink("http://0.0.0.0:8080")
    forms = re.findall(r"http://\S+\w", str(caught.value).replace("ADDRESS:PORT", "127.0.0.1:8081"))
    assert [page_options(form, None, {}).port for form in forms] == [8080, 8081]


def test_several_outputs_at_once(run: Run, tmp_path: Path, video: Path) -> None:
    code, text = run(video, tmp_path / "a.mp4", f"{tmp_path}/b/", "null://", "--view", "side-by-side")
    assert code == 0
    assert len(list((tmp_path / "b").iterdir())) == 24
    (first, *_) = frames_of(open_source(str(tmp_path / "a.mp4")))
    assert first.size == (36, 104)
    assert text.count("\noutputs  ") == 3
