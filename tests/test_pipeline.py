"""The whole pipeline with the files it makes: train → val → export → calibrate → fine-tune → build → inspect → run."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest

import edgedeblur
from edgedeblur import main


def test_from_training_to_sharp_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install -e '.[engines]'")
    run, pairs = tmp_path / "runs", tmp_path / "pairs"
    tiny = ["--patch", "32", "--batch", "2", "--steps", "4", "--validate-every", "2", "--val-crops", "1"]
    assert main(["train", *tiny, "--workers", "0", "--project", str(run), "--name", "first"]) == 0
    checkpoint = run / "first" / "best.pt"

    _write_pairs(pairs)
    capsys.readouterr()
    assert main(["val", "--model", str(checkpoint), "--data", str(pairs), "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)["mean"]

    model = tmp_path / "first.onnx"
    assert main(["export", str(checkpoint), "-o", str(model), "--data", str(pairs / "blur")]) == 0
    capsys.readouterr()
    assert main(["val", "--model", str(model), "--data", str(pairs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mean"] == pytest.approx(trained, rel=1e-3)

    int8 = tmp_path / "first.int8.onnx"
    assert main(["calibrate", str(model), "--data", str(pairs / "blur"), "--frames", "2", "-o", str(int8)]) == 0

    assert main(["build", str(int8), "--size", "64x96", "--save-engine", str(tmp_path / "int8.engine")]) == 0
    words = ["build", str(model), "--size", "64x96", "--precision", "fp16", "--engine-dir", str(tmp_path / "engines")]
    assert main(words) == 0
    (engine,) = (tmp_path / "engines").rglob("*.engine")
    assert main(["inspect", str(engine)]) == 0
    assert "fp16" in capsys.readouterr().out

    tuned = run / "edge-n-qat" / "best.pt"
    qat = ["--init", str(checkpoint), "--qat", str(int8.with_suffix(".plan.json")), "--data", str(pairs)]
    assert main(["train", *tiny, *qat, "--workers", "0", "--project", str(run)]) == 0
    assert main(["export", str(tuned), "-o", str(tmp_path / "tuned.onnx")]) == 0
    same_plan = ["--plan", str(tuned.with_name("plan.json")), "--max-psnr-drop", "5"]
    assert main(["calibrate", str(tmp_path / "tuned.onnx"), "--data", str(pairs / "blur"), *same_plan]) == 0

    for made in (model, int8, tmp_path / "tuned.int8.onnx"):
        output = tmp_path / f"{made.stem}.mp4"
        assert main(["run", "test://96x64", str(output), "--model", str(made), "--frames", "5"]) == 0
        with av.open(str(output)) as video:
            assert sum(1 for _ in video.decode(video=0)) == 5


@pytest.mark.parametrize("weights", ["edge-n.onnx", "edge-n.gather.onnx", "edge-s.onnx"])
def test_shipped_weights_sharpen_the_moving_scene(weights: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = Path(edgedeblur.__file__).parent / "runtime" / "weights" / weights
    assert model.stat().st_size < 12e6
    assert main(["run", "test://640x360", "--model", str(model), "--frames", "12", "--json"]) == 0
    psnr = json.loads(capsys.readouterr().out)["psnr"]
    assert psnr["after_db"] > psnr["before_db"] + 0.03


def _write_pairs(folder: Path) -> None:
    """Three pairs of the runtime's own moving scene."""
    import cv2

    from runtime.sources.source import frames_of, open_source

    for side in ("blur", "sharp"):
        (folder / side).mkdir(parents=True)
    for frame, index in zip(frames_of(open_source("test://96x64")), range(3), strict=False):
        assert frame.reference is not None
        cv2.imwrite(str(folder / "blur" / f"{index}.png"), frame.image)
        cv2.imwrite(str(folder / "sharp" / f"{index}.png"), frame.reference)
