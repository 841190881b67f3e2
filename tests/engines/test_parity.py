"""An engine against what its file computes; ONNX Runtime stands in for the engine, with right and wrong files."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

import edgedeblur
from edgedeblur import ExitCode, Failure
from engines import making, parity
from engines.parity import Parity, check_parity, measure, references, why_not_here
from export.passes.golden_file import Pair, golden_bytes, golden_path
from runtime.sessions.gpu import Gpu
from runtime.sessions.models import WEIGHTS
from runtime.sessions.onnx_session import OnnxSession
from runtime.sessions.size_range import SizeRange, fixed_size
from tests.engines.conftest import Build
from tests.engines.frame_graph import frame_graph

PORTABLE = ("--toolkit", "tensorrt_rtx", "--compute-capability", "portable")
RANGE = SizeRange((32, 48), (48, 80), (64, 96))


def changed(part: int, change: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """The stand-in with every deformable convolution changed: part 1 is its kernel, 2 what its offsets are added to."""
    model = frame_graph()
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {node.output[0]: node for node in model.graph.node}
    for node in model.graph.node:
        if node.op_type == "DeformConv":
            tensor = tensors[node.input[1] if part == 1 else makers[node.input[2]].input[2]]
            values = np.ascontiguousarray(change(numpy_helper.to_array(tensor)))
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return bytes(model.SerializeToString())


# Kernels with height and width exchanged: the mistake that square cases cannot see.
def transposed() -> bytes:
    return changed(1, lambda kernel: kernel.transpose(0, 1, 3, 2))


@pytest.fixture
def wrong_file(tmp_path: Path) -> Path:
    path = tmp_path / "wrong.onnx"
    path.write_bytes(transposed())
    return path


def golden_of(onnx_file: Path, *sizes: tuple[int, int]) -> list[Pair]:
    session = OnnxSession(onnx_file)
    frames = [np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8) for seed, size in enumerate(sizes)]
    return [(frame, session.infer(frame)) for frame in frames]


def expected(onnx_file: Path, sizes: SizeRange, *golden: tuple[int, int]) -> list[parity.Reference]:
    return references(onnx_file.read_bytes(), onnx_file, "fp32", golden_of(onnx_file, *golden), sizes)


def test_right_engine_is_equal_and_a_wrong_one_is_far(onnx_file: Path, wrong_file: Path) -> None:
    right = measure(OnnxSession(onnx_file), expected(onnx_file, fixed_size((64, 96)), (61, 90)))
    assert (right.worst, len(right.frames)) == (999.0, 2)
    check_parity(right, "fp32", None)
    wrong = measure(OnnxSession(wrong_file), expected(onnx_file, fixed_size((64, 96)), (61, 90)))
    with pytest.raises(Failure, match=r"probe frame \d \(64x96\), expected at least 54 dB") as caught:
        check_parity(wrong, "fp32", None)
    assert caught.value.code == ExitCode.QUALITY
    assert f"{wrong.worst:.1f} dB" in str(caught.value)
    check_parity(wrong, "fp32", wrong.worst - 1)


def test_sampling_elsewhere_is_seen_in_fp16_too(onnx_file: Path, wrong_file: Path) -> None:
    wrong_file.write_bytes(changed(2, lambda positions: positions + 8))
    wrong = measure(OnnxSession(wrong_file), expected(onnx_file, fixed_size((64, 96)), (61, 90)))
    with pytest.raises(Failure, match=r"expected at least 48\.1 dB"):
        check_parity(wrong, "fp16", None)


def test_frames_of_a_range(onnx_file: Path) -> None:
    """Golden frames where they fit, and every size the engine was tuned for."""
    names = [item.name for item in expected(onnx_file, RANGE, (40, 70), (61, 100))]
    assert names[0] == "golden frame 0 (40x70)"
    assert [name.split("(")[1] for name in names[1:]] == [
        f"{size})" for size in ("32x48", "48x80", "64x96") for _ in range(2)
    ]


def test_golden_frames_of_the_engines_own_size_need_no_onnx_runtime(
    onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = golden_of(onnx_file, (61, 90), (64, 96))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    data = onnx_file.read_bytes()
    assert [item.name for item in references(data, onnx_file, "fp32", golden, fixed_size((64, 96)))] == [
        "golden frame 1 (64x96)"
    ]
    with pytest.raises(Failure, match=r"ONNX Runtime does not run m\.onnx here") as caught:
        references(data, onnx_file, "fp32", golden, fixed_size((64, 128)))
    assert caught.value.code == ExitCode.ENVIRONMENT


def test_an_onnx_runtime_that_computes_something_else_is_no_judge(onnx_file: Path, wrong_file: Path) -> None:
    with pytest.raises(Failure, match=r"ONNX Runtime on this machine is \d+\.\d dB from the golden outputs"):
        references(onnx_file.read_bytes(), onnx_file, "fp32", golden_of(wrong_file, (61, 90)), fixed_size((64, 96)))


def test_worst_frame_is_named() -> None:
    frame = np.full((9, 16, 3), 100, np.uint8)

    class Drifting:
        calls = 0

        def infer(self, frame: np.ndarray) -> np.ndarray:
            self.calls += 1
            return frame + np.uint8(self.calls == 2)

    found = measure(Drifting(), [parity.Reference(name, (frame, frame)) for name in ("first", "second", "third")])
    assert (found.worst, found.worst_frame, found.frames) == (48.13, "second", ("first", "second", "third"))
    check_parity(found, "fp16", None)  # one grey level everywhere
    with pytest.raises(Failure, match=r"48\.1 dB on second, expected at least 60 dB"):
        check_parity(found, "int8", 60.0)


def test_why_an_engine_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    ada = Gpu("RTX 4090", 89, False)
    assert why_not_here(None, ["89"]) == "this machine has no GPU"
    assert why_not_here(ada, ["86", "120"]) == "it is for sm86, sm120 and this GPU, RTX 4090, is sm89"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "PyCUDA" in str(why_not_here(ada, ["89"]))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert why_not_here(ada, ["86", "89"]) is None


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """From now on the engines that are built here compute what the ONNX file given computes."""

    def set_file(onnx_file: Path) -> None:
        @contextlib.contextmanager
        def running(*_: Any) -> Iterator[OnnxSession]:
            yield OnnxSession(onnx_file)

        monkeypatch.setattr(making, "why_not_here", lambda *_: None)
        monkeypatch.setattr(making, "running", running)

    return set_file


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_wrong_engine_is_not_kept(
    rtx: None, onnx_file: Path, wrong_file: Path, on_device: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    on_device(wrong_file)
    before = written(onnx_file.parent)
    assert edgedeblur.main(["build", str(onnx_file), "--size", "64x96", *PORTABLE, "--fp32"]) == ExitCode.QUALITY
    error = capsys.readouterr().err
    assert "the engine computes something else than the file it was built from" in error
    assert "dB on probe frame" in error
    assert written(onnx_file.parent) == before


def test_wrong_engine_takes_no_right_ones_place(
    build: Build, onnx_file: Path, wrong_file: Path, on_device: Any, tmp_path: Path
) -> None:
    engine = tmp_path / "a.engine"
    build(onnx_file, "--save-engine", str(engine))
    before = engine.read_bytes(), engine.with_suffix(".json").read_bytes()
    on_device(wrong_file)
    words = ["build", str(onnx_file), "--size", "64x96", *PORTABLE, "--save-engine", str(engine), "--force", "--fp32"]
    assert edgedeblur.main(words) == ExitCode.QUALITY
    assert (engine.read_bytes(), engine.with_suffix(".json").read_bytes()) == before


def test_right_engine_says_how_near_it_is(
    build: Build, tmp_path: Path, on_device: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shipped network, for a range of sizes, with a golden file beside it."""
    onnx_file = tmp_path / "m.onnx"
    shutil.copy(WEIGHTS / "edge-n.onnx", onnx_file)
    golden_path(onnx_file).write_bytes(golden_bytes(onnx_file.read_bytes(), golden_of(onnx_file, (61, 90), (40, 70))))
    on_device(onnx_file)
    sizes = ("--min-size", "32x48", "--opt-size", "48x80", "--max-size", "64x96")
    found = build(onnx_file, "--fp32", *sizes, size="")["quality"]["parity"]
    assert found["psnr"] == 999.0
    assert found["frames"][0] == "golden frame 0 (61x90)"
    assert len(found["frames"]) == 8
    words = ["build", str(onnx_file), *sizes, *PORTABLE, "--fp32", "--min-psnr", "1000"]
    assert edgedeblur.main(words) == ExitCode.QUALITY, "an engine that is there is held to what is asked now"
    assert "expected at least 1000 dB" in capsys.readouterr().err


def test_lower_limit_accepts_an_engine(build: Build, onnx_file: Path, wrong_file: Path, on_device: Any) -> None:
    on_device(wrong_file)
    result = build(onnx_file, "--fp32", "--min-psnr", "5")
    assert 5 < result["quality"]["parity"]["psnr"] < 54


def test_golden_file_of_another_model_stops_the_build(
    rtx: None, onnx_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = golden_path(onnx_file)
    for content, message in (
        (golden_bytes(b"older", golden_of(onnx_file, (9, 16))), "another m.onnx"),
        (b"", "damaged"),
    ):
        golden.write_bytes(content)
        assert edgedeblur.main(["build", str(onnx_file), "--size", "64x96", *PORTABLE]) == ExitCode.MODEL
        error = capsys.readouterr().err
        assert message in error
        assert "export again" in error
        assert written(onnx_file.parent) == {"m.onnx", "m.golden.npz"}


def test_engine_that_was_not_compared_says_why(
    build: Build, onnx_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = build(onnx_file)
    assert result["quality"]["parity"] is None
    sidecar = json.loads(Path(result["engine"]).with_suffix(".json").read_text())
    assert sidecar["onnx"]["sha256"] == hashlib.sha256(onnx_file.read_bytes()).hexdigest()
    assert edgedeblur.main(["build", str(onnx_file), "--size", "64x96", *PORTABLE, "--force"]) == 0
    assert "the engine was not compared with its file: " in capsys.readouterr().err


def test_parity_reads_back() -> None:
    found = Parity(50.0, "golden frame 0 (9x16)", ("golden frame 0 (9x16)",))
    assert found.as_json() == {
        "psnr": 50.0,
        "worst_frame": "golden frame 0 (9x16)",
        "frames": ["golden frame 0 (9x16)"],
    }
