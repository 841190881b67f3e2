"""Every bad input: a clear message, the documented exit code, no traceback."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgedeblur import ExitCode, Failure
from runtime.sinks.sink import open_sink
from runtime.sources.address import without_credentials
from runtime.sources.source import SourceOptions, open_source
from tests.runtime.conftest import Run, picture
from tests.runtime.pictures import write_png
from tests.runtime.stand_in import write_model


def test_a_missing_file(run: Run, tmp_path: Path) -> None:
    code, text = run(tmp_path / "none.mp4")
    assert code == ExitCode.SOURCE
    assert "does not exist" in text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"this is no video\n" * 50, "not a video"),
        ("noise.mkv", bytes(range(256)) * 40, "not a video"),
        ("picture.png", b"no picture", "cannot be read"),
        ("empty.jpg", b"", "cannot be read"),
    ],
)
def test_a_file_that_is_no_video_or_picture(run: Run, tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    code, text = run(tmp_path / name, tmp_path / "out.mp4")
    assert code == ExitCode.SOURCE
    assert words in text
    assert not (tmp_path / "out.mp4").exists()


def test_a_recording_without_its_index(run: Run, tmp_path: Path, video: Path) -> None:
    data = video.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(
        data[: data.rindex(b"moov") - 4].replace(b"moov", b"gone").replace(b"moof", b"gone")
    )
    code, text = run(tmp_path / "cut.mp4")
    assert code == ExitCode.SOURCE
    assert "cut.mp4" in text


def test_sound_without_pictures(run: Run, tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    code, text = run(tmp_path / "sound.wav")
    assert code == ExitCode.SOURCE
    assert "no video stream" in text


def test_a_folder_or_glob_without_pictures(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    for uri in (tmp_path, f"{tmp_path}/*.png"):
        code, text = run(uri)
        assert code == ExitCode.SOURCE
        assert "no pictures" in text


def test_damaged_pictures_are_left_out_and_counted(run: Run, tmp_path: Path) -> None:
    for index in (0, 2):
        write_png(tmp_path / "in" / f"{index}.png", picture(index))
    (tmp_path / "in" / "1.png").write_bytes(b"damaged")
    code, text = run(tmp_path / "in", f"{tmp_path}/out/")
    assert code == 0
    assert "1.png' cannot be read" in text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "2.png"]


def test_mixed_sizes_to_pictures_are_fine_and_to_a_video_end_it_playable(run: Run, tmp_path: Path) -> None:
    for index, size in enumerate([(36, 52), (36, 52), (20, 30)]):
        write_png(tmp_path / "in" / f"{index}.png", picture(index, size))
    assert run(tmp_path / "in", f"{tmp_path}/out/")[0] == 0
    assert len(list((tmp_path / "out").iterdir())) == 3
    code, text = run(tmp_path / "in", tmp_path / "out.mp4")
    assert code == ExitCode.SOURCE
    assert "2.png is 30x20" in text
    assert run(tmp_path / "out.mp4")[1].count("2 delivered") == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (8, 9)])
def test_pictures_too_small_for_the_model(run: Run, tmp_path: Path, size: tuple[int, int]) -> None:
    write_png(tmp_path / "tiny.png", picture(0, size))
    code, text = run(tmp_path / "tiny.png", tmp_path / "out.mp4")
    assert code == ExitCode.SOURCE
    assert "too small" in text
    assert not (tmp_path / "out.mp4").exists()


def test_a_picture_too_large_for_any_model(run: Run, tmp_path: Path) -> None:
    write_png(tmp_path / "long.png", picture(0, (16, 20000)))
    code, text = run(tmp_path / "long.png")
    assert code == ExitCode.SOURCE
    assert "too large" in text


@pytest.mark.parametrize(
    ("uri", "code", "words"),
    [
        ("", ExitCode.USAGE, "has no name"),
        ("file://", ExitCode.USAGE, "has no name"),
        (f"test://{'9' * 5000}x48", ExitCode.USAGE, "test://WIDTHxHEIGHT"),
        ("a" * 300, ExitCode.ENVIRONMENT, "File name too long"),
        ("0", ExitCode.USAGE, "/dev/video0"),
        ("12", ExitCode.USAGE, "/dev/video12"),
        ("test://1x1", ExitCode.USAGE, "16 to 4096"),
        ("test://640x360@none", ExitCode.USAGE, "test://WIDTHxHEIGHT"),
        ("ftp://host/file.mp4", ExitCode.USAGE, "expected one of"),
        ("v4l2://camera", ExitCode.USAGE, "/dev/videoN"),
        ("csi://0", ExitCode.ENVIRONMENT, "nvarguscamerasrc"),
        ("/dev/video99", ExitCode.SOURCE, "cameras here"),
        ("v4l2:///dev/video99", ExitCode.SOURCE, "no camera /dev/video99"),
    ],
)
def test_uris(run: Run, uri: str, code: ExitCode, words: str) -> None:
    found, text = run(uri)
    assert found == code
    assert words in text


def test_a_closed_port_is_named_without_the_password(run: Run) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code, text = run(f"rtsp://someone:sec@ret@127.0.0.1:{port}/stream")
    assert code == ExitCode.SOURCE
    assert f"rtsp://127.0.0.1:{port}/stream" in text
    assert "refused" in text
    assert "someone" not in text
    assert "ret@" not in text


def test_a_server_that_never_answers_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        # The kernel completes the connection; nobody reads from it.
        start = time.monotonic()
        with pytest.raises(Failure, match="cannot be opened"):
            open_source(f"rtsp://127.0.0.1:{server.getsockname()[1]}/x", SourceOptions(timeout_s=0.5))
        assert time.monotonic() - start < 4


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("rtsp://host:554/a", "rtsp://host:554/a"),
        ("rtsp://user:pass@host/a", "rtsp://host/a"),
        ("rtsp://user:p@ss/w@host/a", "rtsp://host/a"),
    ],
)
def test_credentials_are_never_named(uri: str, name: str) -> None:
    assert without_credentials(uri) == name


def test_models(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"corrupt")
    (tmp_path / "m.pt").write_bytes(b"corrupt")
    for name in ("bad.onnx", "m.pt", "none.onnx"):
        code, text = run("test://64x48", "--model", tmp_path / name)
        assert code == ExitCode.MODEL
        assert name in text


def test_a_model_that_fails_on_a_frame_keeps_what_was_written(run: Run, tmp_path: Path) -> None:
    model = write_model(tmp_path / "big.onnx", min_size="30x30")
    for index, size in enumerate([(36, 52), (36, 52), (20, 30)]):
        write_png(tmp_path / "in" / f"{index}.png", picture(index, size))
    code, _ = run(tmp_path / "in", tmp_path / "out.mp4", "--model", model)
    assert code == ExitCode.SOURCE
    assert run(tmp_path / "out.mp4")[1].count("2 delivered") == 1


def test_a_picture_too_small_for_the_model_is_left_out_of_pictures(run: Run, tmp_path: Path) -> None:
    for index, size in enumerate([(8, 40), (36, 52), (4, 4), (20, 30)]):
        write_png(tmp_path / "in" / f"{index}.png", picture(index, size))
    code, text = run(tmp_path / "in", f"{tmp_path}/out/", "null://")
    assert code == 0
    assert "note: picture '2.png' was left out: frames of 4x4 are too small" in text
    assert "2 delivered of 4 captured; dropped: 2 too small" in text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1.png", "3.png"]


def test_pictures_that_are_all_too_small_or_damaged(run: Run, tmp_path: Path) -> None:
    write_png(tmp_path / "in" / "0.png", picture(0, (4, 4)))
    write_png(tmp_path / "in" / "1.png", picture(0, (5, 5)))
    (tmp_path / "in" / "2.png").write_bytes(b"damaged")
    code, text = run(tmp_path / "in", f"{tmp_path}/out/")
    assert code == ExitCode.SOURCE
    assert "frames of 4x4 are too small" in text
    assert not list((tmp_path / "out").iterdir())


def test_a_video_of_small_frames_ends_at_its_first(run: Run, tmp_path: Path, video: Path) -> None:
    model = write_model(tmp_path / "big.onnx", min_size="100x100")
    code, text = run(video, f"{tmp_path}/out/", "--model", model)
    assert code == ExitCode.SOURCE
    assert text.count("too small") == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--drop", "latest"],
        ["--input-width", "640"],
        ["null://", "null://"],
        ["out.gif"],
        [""],
        ["file://"],
        ["rtsp://@:port/out"],
        ["ftp://host/out.mp4"],
        ["http://localhost:8080"],
        ["--also", "test://64x48", "null://", "null://"],
        ["--reconnect-interval", "50"],
        ["--also", "test://64x48", "--input-save", "raw.mp4"],
    ],
)
def test_options_that_make_no_sense(run: Run, options: list[str]) -> None:
    assert run("test://64x48", *options)[0] == ExitCode.USAGE


@pytest.mark.parametrize(
    ("option", "value"),
    [("--stats", value) for value in ("inf", "nan", "0", "1e300")]
    + [("--threads", value) for value in ("99999999999", "-1")]
    + [("--input-rate", value) for value in ("1e400", "1e-12", "1e999999999", "0", "1001", "0/0", "1.2/3", "9" * 5000)],
)
def test_numbers_out_of_range(run: Run, capfd: pytest.CaptureFixture[str], option: str, value: str) -> None:
    with pytest.raises(SystemExit) as end:
        run("test://64x48", f"{option}={value}")
    assert end.value.code == ExitCode.USAGE
    assert f"argument {option}" in capfd.readouterr().err


@contextmanager
def as_nobody() -> Iterator[None]:
    """Permissions hold for root only once it is somebody else."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A folder that nobody may enter."""
    (tmp_path / "locked").mkdir(mode=0)
    yield tmp_path / "locked"
    (tmp_path / "locked").chmod(0o700)


@pytest.mark.parametrize("name", ["", "in.mp4", "in.png", "*.png"])
def test_an_input_without_permission(locked: Path, name: str) -> None:
    with as_nobody(), pytest.raises(Failure, match=r"no permission to reach .*locked") as caught:
        open_source(str(locked / name))
    assert caught.value.code == ExitCode.ENVIRONMENT


@pytest.mark.parametrize("name", ["out.mp4", "out/", "%06i.png", "new/out.mkv"])
def test_an_output_without_permission(locked: Path, name: str) -> None:
    with as_nobody(), pytest.raises(Failure, match=r"no permission to .*locked") as caught:
        open_sink(f"{locked}/{name}")
    assert caught.value.code == ExitCode.ENVIRONMENT


def test_a_display_needs_a_desktop(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    code, text = run("test://64x48", "display://")
    assert code == ExitCode.ENVIRONMENT
    assert "DISPLAY" in text
