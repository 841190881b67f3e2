"""`edgedeblur val` as a user runs it: models beside each other, and every way of measuring."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgedeblur import ExitCode
from tests.training.val_material import SIZE, onnx_file, scene, val, write, write_pairs
from training.checkpoint import save_checkpoint
from training.config import PRESETS
from training.cost import macs, parameters
from training.evaluation.metrics import psnr, ssim
from training.network import SAPHNet


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh network: its residual is zero."""
    path = tmp_path_factory.mktemp("runs") / "best.pt"
    save_checkpoint(path, SAPHNet(PRESETS["edge-n"]), "edge-n", {}, {})
    return path


@pytest.fixture(scope="module")
def lighter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four grey levels lighter, and it knows what it is not made of."""
    return onnx_file(tmp_path_factory.mktemp("models") / "lighter.onnx", min_size="9x9")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A GoPro-shaped set of two sequences of a scene that moves; inputs flicker between 3 levels less and as it is."""
    wide = scene(7, (44, 90))
    for sequence in ("GOPR1", "GOPR2"):
        for index in range(4):
            sharp = wide[:, 2 * index : 2 * index + 60]
            write(tmp_path / "set" / "test" / sequence / "sharp" / f"{index:06}.png", sharp)
            write(tmp_path / "set" / "test" / sequence / "blur" / f"{index:06}.png", sharp - np.uint8(3 * (index % 2)))
    return tmp_path / "set"


def val_json(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    capsys.readouterr()
    assert val(*words, "--json") == ExitCode.OK
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def decibels(error: float) -> float:
    return float(20 * np.log10(255 / error))


def test_models_stand_beside_the_input(
    pairs: Path, lighter: Path, identity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = val_json(capsys, "--model", lighter, identity, "--data", pairs)
    assert report["model"] == str(lighter)
    before, after = ([decibels(error) for error in errors] for errors in ((1, 2, 6), (3, 2, 2)))
    assert [report["pairs"][name]["psnr_blurred"] for name in "012"] == pytest.approx(before)
    assert [report["pairs"][name]["psnr"] for name in "012"] == pytest.approx(after)
    assert report["mean"]["psnr"] == pytest.approx(np.mean(after))
    assert report["mean"]["psnr_blurred"] == pytest.approx(np.mean(before))
    assert list(report["methods"]) == ["input", "lighter.onnx", "best.pt"]
    assert report["methods"]["best.pt"]["psnr"] == pytest.approx(np.mean(before))
    assert report["methods"]["best.pt"]["gain"] == pytest.approx(0)
    assert report["methods"]["lighter.onnx"]["gain"] == pytest.approx(np.mean(after) - np.mean(before))
    assert report["methods"]["lighter.onnx"]["ms"] > 0
    assert "ms" not in report["methods"]["input"]
    assert report["sequences"] == {}


def test_ssim_is_of_the_frames_on_disk(pairs: Path, lighter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blurred, sharp = (cv2.imread(str(pairs / side / "2.png")) for side in ("blur", "sharp"))
    found = val_json(capsys, "--model", lighter, "--data", pairs)["pairs"]["2"]
    assert found["ssim_blurred"] == pytest.approx(ssim(blurred, sharp))  # type: ignore[arg-type]
    assert found["psnr_blurred"] == pytest.approx(psnr(blurred, sharp))  # type: ignore[arg-type]


def test_costs_are_those_of_the_network_for_the_first_frames_size(
    pairs: Path, identity: Path, lighter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = PRESETS["edge-n"]
    other = onnx_file(tmp_path / "other.onnx", config=json.dumps({"levels": 1, "unknown": 1}))
    broken = onnx_file(tmp_path / "broken.onnx", config=json.dumps({"widths": [24, 64]}))
    named = onnx_file(tmp_path / "named.onnx", config=json.dumps({"levels": 2}))
    methods = val_json(capsys, "--model", identity, lighter, other, broken, named, "--data", pairs)["methods"]
    assert methods["best.pt"]["gmacs"] == pytest.approx(macs(config, SIZE) / 1e9)
    assert methods["best.pt"]["parameters"] == parameters(config)
    assert methods["named.onnx"]["parameters"] > methods["best.pt"]["parameters"]
    for unknown in ("lighter.onnx", "other.onnx", "broken.onnx"):
        assert not {"gmacs", "parameters"} & methods[unknown].keys()


def test_the_table_names_everything(pairs: Path, identity: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert val("--model", identity, "--data", pairs) == ExitCode.OK
    printed = capsys.readouterr()
    for text in ("PSNR", "gain", "SSIM", "ms/frame", "GMACs", "parameters", "best.pt on cpu", "GMACs at 44x60"):
        assert text in printed.out
    assert f"pairs in {pairs}: 3 frames" in printed.out
    assert "flicker" not in printed.out
    assert "Wiener" not in printed.out + printed.err


def test_models_of_one_name_go_by_their_paths(
    pairs: Path, identity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "best.pt"
    again.write_bytes(identity.read_bytes())
    methods = val_json(capsys, "--model", identity, again, "--data", pairs)["methods"]
    assert list(methods) == ["input", str(identity), str(again)]


def test_videos_have_flicker_and_a_line_each(video: Path, lighter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = val_json(capsys, "--model", lighter, "--data", video)
    assert list(report["sequences"]) == ["GOPR1", "GOPR2"]
    for sequence in report["sequences"].values():
        for method in ("input", "lighter.onnx"):  # the model adds what stays: it flickers as its input does
            assert sequence[method]["flicker"] == pytest.approx(3)
    assert report["methods"]["input"]["flicker"] == pytest.approx(3)
    assert "flicker" not in report["pairs"]["GOPR2/000000"]  # follows another sequence
    assert report["pairs"]["GOPR2/000001"]["flicker"] == pytest.approx(3)
    assert val("--model", lighter, "--data", video) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines if line.startswith("GOPR1  ")] == [
        ["GOPR1", "input", "4"],
        ["GOPR1", "lighter.onnx", "4"],
    ]


def test_frames_of_a_video_follow_each_other_as_they_are_counted(
    lighter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without leading zeros: 10 comes after 9. The input's error grows by a level a frame."""
    sharp = scene(0)
    for index in range(1, 12):
        write(tmp_path / "test" / "GOPR1" / "sharp" / f"{index}.png", sharp)
        write(tmp_path / "test" / "GOPR1" / "blur" / f"{index}.png", sharp - np.uint8(index))
    report = val_json(capsys, "--model", lighter, "--data", tmp_path)
    assert list(report["pairs"]) == [f"GOPR1/{index}" for index in range(1, 12)]
    assert report["methods"]["input"]["flicker"] == pytest.approx(1)


def test_baselines_join_where_their_kernels_are_known(
    tmp_path: Path, identity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = np.zeros((3, 9), np.float32)
    kernel[1] = np.arange(1, 10)
    sharp = scene(3, (64, 96))
    mirrored = kernel[::-1, ::-1].copy() / kernel.sum()
    blurred = cv2.filter2D(sharp.astype(np.float32), cv2.CV_32F, mirrored, borderType=cv2.BORDER_REFLECT)
    write(tmp_path / "sharp" / "a.png", sharp)
    write(tmp_path / "blur" / "a.png", np.rint(blurred).astype(np.uint8))
    assert val("--model", identity, "--data", tmp_path, "--baselines") == ExitCode.OK
    printed = capsys.readouterr()
    assert "unsharp mask" in printed.out
    assert "Wiener and Richardson-Lucy are left out: there is no kernel/" in printed.err
    (tmp_path / "kernel").mkdir()
    np.save(tmp_path / "kernel" / "a.npy", kernel)
    methods = val_json(capsys, "--model", identity, "--data", tmp_path, "--baselines")["methods"]
    assert methods["Wiener (oracle)"]["gain"] > 5
    assert methods["Richardson-Lucy (oracle)"]["gain"] > 5
    assert methods["unsharp mask"]["ms"] > 0


def test_sharp_frames_are_to_be_left_alone(
    pairs: Path, identity: Path, lighter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    methods = val_json(capsys, "--model", identity, lighter, "--data", pairs, "--sharp-input")["methods"]
    assert methods["best.pt"]["psnr"] == 100
    assert methods["lighter.onnx"]["psnr"] == pytest.approx(decibels(4))
    assert val("--model", identity, lighter, "--data", pairs, "--sharp-input") == ExitCode.OK
    printed = capsys.readouterr().out
    assert "best.pt leaves sharp frames alone: 100.00 dB to its input at worst" in printed
    assert "lighter.onnx changes sharp frames too much: 36.09 dB to its input at worst, expected at least 40" in printed
    photographs = val_json(capsys, "--model", lighter, "--data", pairs / "sharp", "--sharp-input", "--unpaired")
    assert photographs["mean"] == pytest.approx({"psnr": decibels(4)})
    assert sorted(photographs["frames"]) == ["0.png", "1.png", "2.png"]


def test_frames_without_sharp_partners_have_change_and_flicker(
    video: Path, lighter: Path, identity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames, rows = video / "test" / "GOPR1" / "sharp", tmp_path / "rows.csv"
    report = val_json(capsys, "--model", lighter, identity, "--data", frames, "--unpaired", "--csv", rows)
    assert report["methods"]["lighter.onnx"]["change"] == pytest.approx(4)
    assert report["methods"]["lighter.onnx"]["flicker"] == pytest.approx(0, abs=1e-6)
    assert report["methods"]["lighter.onnx"]["unsteadiness"] == pytest.approx(0, abs=1e-6)
    assert report["methods"]["best.pt"]["change"] == 0
    assert "psnr" not in report["mean"]
    assert rows.read_text().splitlines()[0] == "sequence,frame,method,change,flicker,ms"
    assert val("--model", lighter, "--data", frames, "--unpaired") == ExitCode.OK
    assert "change: RMS of output - input, grey levels" in capsys.readouterr().out


def test_frames_follow_each_other_as_they_are_counted(
    lighter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["f1.png", "f2.png", "f10.png", "f11a.png"]
    for name in reversed(names):
        write(tmp_path / "frames" / name, scene(0))
    assert list(val_json(capsys, "--model", lighter, "--data", tmp_path / "frames", "--unpaired")["frames"]) == names


def test_files_hold_a_row_for_each_frame_and_method_and_the_worst_and_best(
    pairs: Path, lighter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, picture = tmp_path / "rows.csv", tmp_path / "worst.png"
    words = ("--model", lighter, "--data", pairs, "--csv", rows, "--pictures", picture)
    assert val(*words) == ExitCode.OK
    with rows.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [(row["frame"], row["method"]) for row in found] == [
        (n, m) for n in "012" for m in ("input", "lighter.onnx")
    ]
    assert float(found[5]["psnr"]) == pytest.approx(decibels(2))
    assert [row["ms"] == "" for row in found] == [True, False] * 3
    image = cv2.imread(str(picture))
    assert image is not None
    assert image.shape[0] == 3 * 354  # one worst and two best
    before = rows.read_bytes()
    assert val(*words) == ExitCode.USAGE
    assert "is there already" in capsys.readouterr().err
    assert rows.read_bytes() == before
    assert val(*words, "--force") == ExitCode.OK
