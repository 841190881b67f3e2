"""Golden files: small, always the same, true to PyTorch and to ONNX Runtime, and refused when of another file."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

import edgedeblur
from edgedeblur import ExitCode, Failure
from export.golden import SIZES, golden_pairs
from export.passes import golden_file
from export.passes.golden_file import golden_bytes, golden_path, read_golden
from export.passes.model_file import save_model
from tests.conftest import random_network
from tests.engines.frame_graph import frame_graph
from tests.full_disk import full_disk

Paths = Callable[[str], Path]


def read(onnx: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    return read_golden(golden_path(onnx), onnx, hashlib.sha256(onnx.read_bytes()).hexdigest())


def test_what_export_stores_is_what_onnx_runtime_computes(exported: Paths) -> None:
    onnx = exported("edge-n")
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    pairs = read(onnx)
    assert [frame.shape[:2] for frame, _ in pairs] == list(SIZES)
    assert golden_path(onnx).stat().st_size < 1_000_000
    for frame, sharp in pairs:
        found = session.run(None, {"frame": frame})[0]
        assert np.abs(found.astype(int) - sharp).max() <= 1
        assert np.abs(sharp.astype(int) - frame).mean() > 1, "a network that changes nothing would prove nothing"
        assert frame.std() > 20


def test_the_same_network_gives_the_same_bytes() -> None:
    first, again = (golden_bytes(b"onnx", golden_pairs(random_network("edge-n"))) for _ in range(2))
    assert first == again
    assert first != golden_bytes(b"another", golden_pairs(random_network("edge-n")))


def test_a_size_of_ones_own_and_nothing_written_over(
    checkpoint: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = tmp_path / "m.golden.npz"
    golden.write_text("mine")
    words = ["export", str(checkpoint("edge-n")), "-o", str(tmp_path / "m.onnx"), "--golden"]
    assert edgedeblur.main([*words, "90x128"]) == ExitCode.USAGE
    assert "m.golden.npz is there already" in capsys.readouterr().err
    assert golden.read_text() == "mine"
    assert edgedeblur.main([*words, "90", "--force"]) == ExitCode.USAGE
    assert "--golden is '90'" in capsys.readouterr().err
    assert edgedeblur.main([*words, "90x128", "--force"]) == 0
    assert read(tmp_path / "m.onnx")[-1][0].shape == (90, 128, 3)


def test_both_files_or_none(tmp_path: Path) -> None:
    def large(_: bytes) -> dict[Path, bytes]:
        return {tmp_path / "m.golden.npz": bytes(1_000_000)}

    with full_disk(500_000), pytest.raises(Failure, match=r"m\.golden\.npz cannot be written"):
        save_model(ir.from_proto(frame_graph()), tmp_path / "m.onnx", large)
    assert list(tmp_path.iterdir()) == []


def saved(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, **arrays)
    return file.getvalue()


def about(schema: str = "edgedeblur.golden/1", belongs: object = "00") -> np.ndarray:
    return np.frombuffer(json.dumps({"schema": schema, "onnx_sha256": belongs}).encode(), np.uint8)


FRAME = np.zeros((5, 7, 3), np.uint8)
WHOLE = golden_bytes(b"", [(FRAME, FRAME)])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"holiday", "damaged"),
        (WHOLE[: len(WHOLE) // 2], "damaged"),
        (WHOLE.replace(b"frame_0", b"frame_1"), "damaged"),
        (saved(a=FRAME), "damaged"),
        (saved(about=np.array([1, "x"], object)), "damaged"),
        (saved(about=np.frombuffer(b"[]", np.uint8)), "damaged"),
        (saved(about=np.frombuffer(b"[" * 100_000, np.uint8)), "damaged"),
        (WHOLE.replace(b"PK\1\2-\3-", b"PK\1\2-\3\x7f"), "damaged"),  # of a zip to come
        (saved(about=about(belongs=5), frame_0=FRAME, sharp_0=FRAME), "another m.onnx"),
        (saved(about=about("else/1"), frame_0=FRAME, sharp_0=FRAME), "schema 'else/1'"),
        (saved(about=about(belongs="12"), frame_0=FRAME, sharp_0=FRAME), "another m.onnx"),
        (saved(about=about(), frame_0=FRAME, sharp_0=FRAME[1:]), "frame_0 is uint8"),
        (saved(about=about(), frame_0=FRAME.astype(float), sharp_0=FRAME), "frame_0 is float64"),
        (saved(about=about(), frame_0=FRAME, sharp_0=FRAME.astype(float)), "sharp_0 float64"),
        (saved(about=about(), frame_0=FRAME[:0], sharp_0=FRAME[:0]), r"frame_0 is uint8 \(0, 7, 3\)"),
        (saved(about=about()), "holds no frames"),
    ],
)
def test_files_that_do_not_belong(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.golden.npz"
    path.write_bytes(content)
    with pytest.raises(Failure, match=message) as caught:
        read_golden(path, tmp_path / "m.onnx", "00")
    assert caught.value.code == ExitCode.MODEL
    assert "edgedeblur export" in str(caught.value)


def test_a_small_file_that_claims_to_be_huge_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = golden_bytes(b"", [(np.zeros((999, 999, 3), np.uint8),) * 2])
    assert len(large) < 20_000
    path = tmp_path / "m.golden.npz"
    path.write_bytes(large)
    monkeypatch.setattr(golden_file, "LARGEST_BYTES", 5_000_000)
    with pytest.raises(Failure, match=r"its frames are 59\d\d\d\d\d bytes, more than 5000000"):
        read_golden(path, tmp_path / "m.onnx", hashlib.sha256(b"").hexdigest())


def test_what_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "m.golden.npz"
    os.mkfifo(pipe)
    with pytest.raises(Failure, match="no regular file"):
        read_golden(pipe, tmp_path / "m.onnx", "00")


def test_none_is_no_error(tmp_path: Path) -> None:
    assert read_golden(tmp_path / "m.golden.npz", tmp_path / "m.onnx", "00") == []
