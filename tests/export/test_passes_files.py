"""Writing ONNX files: whole or not at all, never over a device, a folder or what the user did not give up."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import onnx_ir as ir
import pytest

from edgedeblur import ExitCode, Failure
from export.passes import whole_files
from export.passes.model_file import check_onnx_output, load_model, save_model
from export.passes.whole_files import write_whole
from tests.engines.frame_graph import frame_graph


def test_saved_model_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "m.onnx"
    save_model(ir.from_proto(frame_graph()), path)
    assert load_model(path).metadata_props["edgedeblur.preset"] == "stand-in"
    assert os.listdir(path.parent) == ["m.onnx"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_unwritable_file_is_an_environment_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Failure, match="cannot be written") as caught:
        save_model(ir.from_proto(frame_graph()), tmp_path / "file" / "m.onnx")
    assert caught.value.code == ExitCode.ENVIRONMENT


def test_full_disk_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Failure, match=r"m\.onnx cannot be written: No space left"):
        save_model(ir.from_proto(frame_graph()), path)
    assert (os.listdir(tmp_path), path.read_bytes()) == (["m.onnx"], b"old")


def test_interrupted_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert os.listdir(tmp_path) == []


def test_users_partial_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "m.onnx.partial").write_text("mine")
    save_model(ir.from_proto(frame_graph()), tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx.partial").read_text() == "mine"


@pytest.mark.parametrize("device", ["/dev/null", "/dev/full"])
def test_devices_are_not_replaced(device: str, tmp_path: Path) -> None:
    link = tmp_path / "m.onnx"
    link.symlink_to(device)
    with pytest.raises(Failure, match="is a device") as caught:
        save_model(ir.from_proto(frame_graph()), link)
    assert caught.value.code == ExitCode.ENVIRONMENT
    assert link.is_symlink()
    assert stat.S_ISCHR(os.stat(device).st_mode)


def test_name_as_long_as_the_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("m" * 250 + ".onnx")
    check_onnx_output(path, tmp_path / "m.pt", force=False)
    write_whole({path: b"1"})
    assert path.read_bytes() == b"1"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"model")
    return path


def refusal(path: Path, source: Path, force: bool = False) -> tuple[str, ExitCode]:
    with pytest.raises(Failure) as caught:
        check_onnx_output(path, source, force)
    return str(caught.value), caught.value.code


@pytest.mark.parametrize("name", ["m", "m.pt", "m.ONNX", ".onnx", "m.onnx.txt"])
def test_output_of_another_suffix(source: Path, name: str) -> None:
    message, code = refusal(source.with_name(name), source)
    assert "ends in .onnx" in message
    assert code == ExitCode.USAGE


@pytest.mark.parametrize("force", [False, True])
def test_output_that_is_the_input(source: Path, force: bool) -> None:
    (source.parent / "folder").mkdir()
    link, hard = source.with_name("link.onnx"), source.with_name("hard.onnx")
    link.symlink_to(source)
    os.link(source, hard)
    for path in (source, source.parent / "folder" / ".." / "m.onnx", link, hard):
        message, code = refusal(path, source, force)
        assert "is the input" in message
        assert code == ExitCode.USAGE


def test_output_that_exists(source: Path) -> None:
    other = source.with_name("other.onnx")
    other.write_bytes(b"")
    message, code = refusal(other, source)
    assert "add --force" in message
    assert code == ExitCode.USAGE
    check_onnx_output(other, source, force=True)
    assert other.read_bytes() == b""


def test_output_that_is_no_file_or_has_no_place(source: Path) -> None:
    folder, device = source.with_name("folder.onnx"), source.with_name("device.onnx")
    folder.mkdir()
    device.symlink_to("/dev/full")
    places = {folder: "is a folder", device: "is a device", source / "m.onnx": "Not a directory"}
    for path, expected in {**places, source.with_name("m" * 300 + ".onnx"): "too long"}.items():
        message, code = refusal(path, source, force=True)
        assert expected in message
        assert code == ExitCode.ENVIRONMENT


def test_output_folder_without_permission(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by trying: tests may run as an administrator, whom no mode bits stop."""

    def read_only(path: Path, data: bytes) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("export.passes.model_file.write_durably", read_only)
    message, code = refusal(source.with_name("new.onnx"), source)
    assert "new.onnx cannot be written: Read-only file system" in message
    assert code == ExitCode.ENVIRONMENT


def test_checking_makes_nothing(source: Path) -> None:
    check_onnx_output(source.parent / "a" / "b" / "m.onnx", source, force=False)
    assert os.listdir(source.parent) == ["m.onnx"]


def test_temporary_names_are_hidden_and_differ(tmp_path: Path) -> None:
    names = {whole_files.temporary_name(tmp_path / "m.onnx").name for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith(".m.onnx.") for name in names)
