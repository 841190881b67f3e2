"""The gate: sharp frames pass by, blurred and noisy ones do not, and nothing flickers; the command that measures it."""

from __future__ import annotations

import json
import math
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedeblur import ExitCode
from runtime.frame import Frame, Image
from runtime.measure.quality import psnr
from runtime.sessions.models import ModelOptions, open_session
from runtime.sessions.onnx_session import OnnxSession
from runtime.sinks.image_sink import ImageSink
from runtime.sinks.sink import SinkOptions
from runtime.steering.gate_check import MOST_DROP_DB, check_gate, main, summary_of
from runtime.steering.gated_session import FRAMES_TO_OPEN, TO_OPEN, TO_STAY_OPEN, Gate, GatedSession, is_sharp
from runtime.steering.sharpness import sharpness
from tests.runtime.stand_in import write_model
from tests.runtime.steering.pictures import moved, noisy, sharp_picture, write_pairs

SIZE = (150, 236)  # (height, width)


@pytest.mark.parametrize("size", [(100, 140), (150, 236), (280, 200), (90, 1400)])
@pytest.mark.parametrize("contrast", [0.4, 0.7, 1.0])
def test_a_sharp_picture_is_sharp_at_any_size_and_contrast(size: tuple[int, int], contrast: float) -> None:
    flatter = (128 + (sharp_picture(size, 2).astype(float) - 128) * contrast).astype(np.uint8)
    assert is_sharp(flatter, TO_OPEN)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 50), st.floats(0.6, 1.0), st.integers(1, 9))
def test_contrast_changes_nothing(seed: int, contrast: float, length: int) -> None:
    image = moved(sharp_picture(SIZE, seed), length)
    flatter = (128 + (image.astype(float) - 128) * contrast).round().astype(np.uint8)
    assert sharpness(flatter).ratio == pytest.approx(sharpness(image).ratio, rel=0.35, abs=0.05)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 50), st.integers(4, 20), st.floats(0, math.pi))
def test_a_picture_that_moved_is_not(seed: int, length: int, angle: float) -> None:
    assert not is_sharp(moved(sharp_picture(SIZE, seed), length, angle), TO_STAY_OPEN)


def test_the_ratio_falls_with_the_length_of_the_blur() -> None:
    image = sharp_picture(SIZE)
    for angle in (0.0, math.pi / 2):
        ratios = [sharpness(moved(image, length, angle)).ratio for length in (1, 2, 3, 5, 8)]
        assert ratios == sorted(ratios, reverse=True)
        assert ratios[0] > 3 * ratios[-1]


def test_blur_in_a_part_of_the_frame_counts() -> None:
    image = sharp_picture(SIZE)
    image[:, :80] = moved(image, 8)[:, :80]
    assert not is_sharp(image, TO_STAY_OPEN)


def test_noise_is_measured_and_hides_no_blur() -> None:
    image = sharp_picture(SIZE)
    assert sharpness(noisy(image, 4)).noise == pytest.approx(4, rel=0.25)
    assert not is_sharp(noisy(image, 6), TO_STAY_OPEN)
    assert not is_sharp(noisy(moved(image, 6), 2), TO_STAY_OPEN)


@pytest.mark.parametrize("size", [(1, 1), (24, 300), (300, 40), (25, 41)])
def test_of_tiny_and_empty_frames_nothing_is_known(size: tuple[int, int]) -> None:
    assert not is_sharp(np.full((*size, 3), 77, np.uint8), TO_STAY_OPEN)


def test_stripes_say_nothing_of_blur_along_them() -> None:
    stripes = np.zeros((*SIZE, 3), np.uint8)
    stripes[:, ::16] = 200
    assert not is_sharp(stripes, TO_STAY_OPEN)


def between_the_limits() -> Image:
    """A picture that keeps the gate open and does not open it."""
    sharp = sharp_picture(SIZE).astype(float)
    soft = moved(sharp_picture(SIZE), 3).astype(float)
    for share in np.linspace(0, 1, 60):
        image: Image = ((1 - share) * sharp + share * soft).astype(np.uint8)
        if is_sharp(image, TO_STAY_OPEN) and not is_sharp(image, TO_OPEN):
            return image
    raise AssertionError("no such picture")


def test_the_gate_opens_slowly_and_closes_at_once() -> None:
    gate, sharp, blurred = Gate(), sharp_picture(SIZE), moved(sharp_picture(SIZE), 6)
    assert [gate.lets_pass(sharp) for _ in range(FRAMES_TO_OPEN + 1)] == [False] * (FRAMES_TO_OPEN - 1) + [True] * 2
    assert not gate.lets_pass(blurred)
    assert not gate.lets_pass(sharp)


def test_a_frame_between_the_limits_does_not_flicker() -> None:
    gate, sharp, near = Gate(), sharp_picture(SIZE), between_the_limits()
    assert not any(gate.lets_pass(near) for _ in range(20))
    for _ in range(FRAMES_TO_OPEN):
        gate.lets_pass(sharp)
    assert all(gate.lets_pass(near) for _ in range(20))


def test_sharp_frames_do_not_reach_the_network(tmp_path: Path) -> None:
    inner = OnnxSession(write_model(tmp_path / "dim.onnx", gain=0.5))
    sharp, blurred = sharp_picture(SIZE), moved(sharp_picture(SIZE), 6)
    with closing(GatedSession(inner)) as session:
        results = []
        for frame in [sharp] * (FRAMES_TO_OPEN + 3) + [blurred] * 2:
            session.submit(frame)
            results.append(session.result())
        assert [result.how for result in results[-6:]] == ["sharp"] * 4 + ["deblurred"] * 2
        assert results[-4].image is sharp
        assert session.sharp == 4


def mixed_pairs() -> list[tuple[Image, Image]]:
    """Sharp and clean, sharp and noisy, moved a little and far, in turns."""
    pairs = []
    for seed in range(6):
        sharp = sharp_picture(SIZE, seed)
        inputs = [sharp, noisy(sharp, 1), noisy(sharp, 8), moved(sharp, 2), moved(sharp, 4, 0.7), moved(sharp, 9, seed)]
        pairs += [(image, sharp) for image in inputs]
    return pairs


@pytest.mark.parametrize("video", [False, True])
def test_gating_costs_no_quality_and_saves_its_share(tmp_path: Path, video: bool) -> None:
    pairs = mixed_pairs()
    if video:  # runs of frames, long enough for the gate to open in
        pairs = [pair for kind in range(6) for pair in pairs[kind::6] * 2]
    folder = write_pairs(tmp_path / "pairs", pairs)
    session, _ = open_session(ModelOptions("edge-n"), lambda: SIZE)
    with closing(session):
        verdicts = check_gate(session, folder, video)
    summary = summary_of(verdicts)
    assert summary["frames"] == len(pairs)
    assert summary["lost_db"] <= MOST_DROP_DB
    assert 0.15 < summary["gated"] / len(pairs) <= 0.34
    assert summary["with_gate_db"] >= summary["without_gate_db"]
    for verdict, (image, sharp) in zip(verdicts, pairs, strict=True):
        assert verdict.input_db == pytest.approx(min(60.0, psnr(image, sharp)))
        assert not verdict.sharp or verdict.input_db > 40


def test_the_command_prints_and_judges(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_pairs(tmp_path / "pairs", mixed_pairs()[:12])
    words = ["--data", str(folder), "--model", str(model)]
    assert main(words) == ExitCode.OK
    assert "gated    4 of 12" in capsys.readouterr().out
    assert main([*words, "--json", "--video"]) == ExitCode.OK
    report = json.loads(capsys.readouterr().out)
    assert report["frames"] == 12
    assert report["input_db"] == pytest.approx(report["without_gate_db"])  # the stand-in gives back its input


def test_the_command_fails_where_the_gate_costs_too_much(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A network that does wonders on frames that look sharp: their sharp ones are what it makes of them."""
    dim = write_model(tmp_path / "dim.onnx", gain=0.9)
    pairs = [(sharp, OnnxSession(dim).infer(sharp)) for sharp in map(sharp_picture, [SIZE] * 2, range(2))]
    folder = write_pairs(tmp_path / "pairs", pairs)
    assert main(["--data", str(folder), "--model", str(dim)]) == ExitCode.QUALITY
    assert "gated    2 of 2" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["all", "sharp", "one", "size"])
def test_what_are_no_pairs_is_said(
    tmp_path: Path, model: Path, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_pairs(tmp_path / "pairs", mixed_pairs()[:2])
    if missing == "all":
        folder = tmp_path / "nowhere"
    elif missing == "sharp":
        for path in (folder / "sharp").iterdir():
            path.unlink()
    elif missing == "one":
        (folder / "blur" / "000001.png").unlink()
    else:
        smaller = sharp_picture((60, 90))
        ImageSink(f"{folder / 'blur'}/%06i.png", SinkOptions(force=True)).write(smaller, Frame(smaller, 1, 0))
    code = main(["--data", str(folder), "--model", str(model)])
    said = capsys.readouterr()
    assert (code, "Traceback" in said.err) == (ExitCode.SOURCE, False)
    assert said.err.startswith("gate_check: ")
