"""What `edgedeblur val` says and keeps when something is wrong: bad input, interruption, no memory, no LPIPS."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from edgedeblur import ExitCode, Failure
from tests.training.val_material import onnx_file, scene, val, write, write_pairs
from training.evaluation.measure import memory_for

ENDLESS = """<ir_version: 9, opset_import: ["" : 19]>
g (uint8[H, W, 3] frame) => (uint8[A, B, C] sharp) {
  shape = Shape(frame)
  times = Constant<value_ints=[33554432, 33554432, 1]>()
  huge = Mul(shape, times)
  sharp = ConstantOfShape<value = uint8[1] {0}>(huge)
}"""
CROPPED = """<ir_version: 9, opset_import: ["" : 19]>
g (uint8[H, W, 3] frame) => (uint8[A, W, 3] sharp) {
  one = Constant<value_ints=[1]>()
  many = Constant<value_ints=[99999]>()
  sharp = Slice(frame, one, many)
}"""
FIXED = '<ir_version: 9, opset_import: ["" : 19]> g (uint8[32, 48, 3] frame) => (uint8[32, 48, 3] sharp) '
FIXED += "{ sharp = Identity(frame) }"


@pytest.fixture(scope="module")
def lighter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four grey levels lighter, and it knows what it is not made of."""
    return onnx_file(tmp_path_factory.mktemp("models") / "lighter.onnx", min_size="9x9")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs")


def test_an_unreadable_frame_is_named_and_the_rows_before_it_are_kept(
    pairs: Path, lighter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pairs / "sharp" / "2.png").write_bytes(b"broken off")
    rows, picture = tmp_path / "rows.csv", tmp_path / "a.png"
    words = ("--model", lighter, "--data", pairs, "--csv", rows, "--pictures", picture)
    assert val(*words) == ExitCode.SOURCE
    printed = capsys.readouterr()
    assert f"{pairs / 'sharp' / '2.png'} is empty or not a picture" in printed.err
    assert "so far: 2 frames" in printed.out
    assert rows.read_text().count("\n") == 5
    assert picture.is_file()


def test_interrupting_keeps_the_rows(lighter: Path, tmp_path: Path) -> None:
    for index in range(2000):
        for side in ("blur", "sharp"):
            path = tmp_path / "pairs" / side / f"{index}.png"
            write(path, scene(0)) if index == 0 else path.hardlink_to(path.with_name("0.png"))
    rows = tmp_path / "rows.csv"
    words = ["--model", str(lighter), "--data", str(tmp_path / "pairs"), "--csv", str(rows)]
    with subprocess.Popen(
        [sys.executable, "-m", "edgedeblur", "val", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        shown = [process.stdout.readline() for _ in range(4)]  # the header and three frames
        process.send_signal(signal.SIGINT)
        rest, errors = process.stdout.read(), process.stderr.read()
    assert process.returncode == ExitCode.INTERRUPTED
    assert "Traceback" not in errors
    assert "so far: " in rest
    assert 3 <= len(rows.read_text().splitlines()[1:]) / 2 < 2000
    assert shown[1].split()[0] in rows.read_text()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("--model {}/m.engine --data {}/pairs", 2, "expected a .pt or an .onnx"),
        ("--model {}/m.onnx {}/m.onnx --data {}/pairs", 2, "twice"),
        ("--model {}/m.onnx --data {}/pairs --csv {}/none/a.csv", 3, "none is not a folder"),
        ("--model {}/m.onnx --data {}/pairs --pictures {}/a.jpg", 2, "ends in .png"),
        ("--model {}/m.onnx --data {}/pairs --pictures {}/a.png --unpaired", 2, "--pictures needs blurred frames"),
        ("--model {}/m.onnx --data {}/pairs --baselines --sharp-input", 2, "--baselines needs blurred frames"),
        ("--model {}/none.onnx --data {}/pairs", 5, "does not exist"),
        ("--model {}/shape.onnx --data {}/pairs", 5, "edgedeblur.min_size is 'small'; expected HEIGHTxWIDTH"),
        ("--model {}/large.onnx --data {}/pairs", 4, "expected at least 64x11"),
        ("--model {}/cropped.onnx --data {}/pairs", 5, "turned a frame of (44, 60, 3) into (43, 60, 3)"),
        ("--model {}/fixed.onnx --data {}/pairs", 5, "failed on a frame of (44, 60, 3)"),
        ("--model {}/endless.onnx --data {}/pairs", 7, "out of memory at"),
        ("--model {}/m.onnx --data {}/tiny", 4, "expected at least 11x11"),
        ("--model {}/m.onnx --data {}/tiny/blur --unpaired", 4, "expected at least 16x16"),
        ("--model {}/m.onnx --data {}/pairs/blur --unpaired --split test", 2, "--split belongs to sets of pairs"),
        ("--model {}/m.onnx --data {}/pairs/blur --unpaired --variant blur", 2, "--variant belongs to sets of pairs"),
        ("--model {}/m.onnx --data {}/tiny --unpaired", 4, "holds no pictures"),
        ("--model {}/m.onnx --data {}/pairs/sharp", 4, "holds no pairs"),
        ("--model {}/m.onnx --data {}/sizes", 4, "expected one size"),
    ],
)
def test_mistakes_get_a_message_and_their_code(
    words: str, code: int, message: str, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx_file(tmp_path / "m.onnx")
    onnx_file(tmp_path / "shape.onnx", min_size="small")
    onnx_file(tmp_path / "large.onnx", min_size="64x1")
    onnx_file(tmp_path / "cropped.onnx", CROPPED)
    onnx_file(tmp_path / "fixed.onnx", FIXED)
    onnx_file(tmp_path / "endless.onnx", ENDLESS)
    for side, height in (("blur", 44), ("sharp", 40)):
        write(tmp_path / "sizes" / side / "a.png", scene(0)[:height])
        write(tmp_path / "tiny" / side / "a.png", scene(0)[:10, :30])
    assert val(*words.format(*[tmp_path] * 3).split()) == code
    assert message in capsys.readouterr().err


def test_running_out_of_memory_names_the_frame_and_other_errors_are_not_taken_for_it() -> None:
    frame = np.zeros((720, 1280, 3), np.uint8)
    for allocate in (lambda: np.empty(2**50), lambda: torch.empty(2**50)):
        with (
            pytest.raises(Failure, match=r"out of memory at a\.png, 720x1280; use smaller frames") as caught,
            memory_for(Path("a.png"), frame),
        ):
            allocate()
        assert caught.value.code == ExitCode.MEMORY
    with pytest.raises(RuntimeError, match="shape"), memory_for(Path("a.png"), frame):
        torch.zeros(2, 3) @ torch.zeros(2, 3)


def test_lpips_is_left_out_with_a_reason_and_never_fetched(
    pairs: Path, lighter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--model", lighter, "--data", pairs)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert val(*words) == ExitCode.OK
    assert capsys.readouterr().err == ("LPIPS is left out: the package 'lpips' is not installed (pip install lpips)\n")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    assert val(*words) == ExitCode.OK
    assert "alexnet-owt-7be5be79.pth is not there, and val downloads nothing" in capsys.readouterr().err
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "alexnet-owt-7be5be79.pth").write_bytes(b"no weights")
    monkeypatch.setitem(sys.modules, "lpips", None)  # what an installed package that cannot be imported looks like
    assert val(*words) == ExitCode.OK
    assert "the package 'lpips' cannot be used" in capsys.readouterr().err
