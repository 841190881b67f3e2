"""`edgedeblur run` and `profile` as a whole: what they print, and what they load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgedeblur import ExitCode, main
from tests.runtime.conftest import Run, picture
from tests.runtime.pictures import write_png
from tests.runtime.stand_in import write_model


def test_the_summary_is_json_on_stdout_alone(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "test://64x48", "--frames", "40", "--json", "--model", str(model)]) == 0
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    assert summary["delivered"] == summary["captured"] == 40
    assert summary["outputs"] == ["null://: frames were measured and not kept"]
    assert set(summary["drops"].values()) == {0}
    assert summary["psnr"]["before_db"] == summary["psnr"]["after_db"]  # this model gives back its input
    assert summary["ms"]["age"]["p50"] >= summary["ms"]["inference"]["p50"] > 0
    assert "null://" in captured.err


def test_a_camera_that_is_too_fast_drops_and_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slow = write_model(tmp_path / "slow.onnx", rounds=12)
    assert main(["run", "test://640x360@300", "--frames", "15", "--json", "--model", str(slow)]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["policy"] == "newest frame wins"
    assert summary["drops"]["superseded"] > 0
    assert summary["captured"] == summary["delivered"] + sum(summary["drops"].values())
    assert summary["ms"]["capture"]["n"] > 0


def test_people_get_a_table(run: Run) -> None:
    code, text = run("test://64x48", "--frames", 500, "--stats", 0.01)
    assert code == 0
    for words in ("frame age", "p50", "p99", "n too small", "unique frames/s", "PSNR", "nearest rank", "frames/s now"):
        assert words in text


def printed_to_full_device(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgedeblur", "run", *map(str, arguments)]
    with open("/dev/full", "w") as full:
        return subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)


def test_a_summary_that_cannot_be_printed(model: Path) -> None:
    result = printed_to_full_device("test://64x48", "--frames", 3, "--model", model)
    assert result.returncode == ExitCode.ENVIRONMENT
    assert "cannot print the summary: No space left" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr


def test_why_a_run_failed_is_told_even_where_its_summary_cannot_be(model: Path, tmp_path: Path) -> None:
    for index, size in enumerate([(36, 52), (36, 52), (20, 30)]):
        write_png(tmp_path / "in" / f"{index}.png", picture(index, size))
    result = printed_to_full_device(tmp_path / "in", tmp_path / "out.mp4", "--model", model)
    assert result.returncode == ExitCode.SOURCE
    assert "2.png is 30x20" in result.stderr
    assert "cannot print" not in result.stderr
    assert "Exception ignored" not in result.stderr


def test_profile_compares_with_a_bare_loop(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--frames", "20", "--repeats", "2", "--memory-frames", "300", "--model", str(model)]
    assert main(["profile", "test://64x48", *arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["speed"]["ratio"]) == 2
    assert report["memory"]["frames"] == 300
    assert set(report["start_up_s"]) == {"edgedeblur --help", "import runtime"}
    assert main(["profile", "test://64x48", *arguments]) == 0
    assert "pipeline / bare loop: median" in capsys.readouterr().out


def test_nothing_of_the_runtime_loads_torch_or_more_than_it_needs() -> None:
    script = """
import importlib, pkgutil, sys
import runtime
assert not {"numpy", "av", "onnxruntime", "cv2"} & set(sys.modules), "import runtime loads too much"
for module in pkgutil.iter_modules(runtime.__path__):
    if module.name != "__main__":
        importlib.import_module(f"runtime.{module.name}")
print(sorted({"torch", "onnx", "cv2", "av", "onnxruntime"} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_option_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("run", "profile"):
        with pytest.raises(SystemExit) as end:
            main([verb, "--help"])
        assert end.value.code == 0
        text = capsys.readouterr().out
        assert "--model" in text
        assert "(default: None)" not in text
