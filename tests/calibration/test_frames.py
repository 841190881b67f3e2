"""Which frames are calibrated on and measured on: from any source, in bounded memory, whatever is wrong with it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibration.frames import choose as calibration_frames
from calibration.frames.choose import Sample, Selection, choose_frames, evaluation_frames
from edgedeblur import ExitCode, Failure
from runtime.frame import Image

SIZE = (20, 30)
ANY = (1, 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """23 pictures, the i-th of grey 10 * i with a little noise."""
    rng = np.random.default_rng(0)
    for index in range(23):
        write(tmp_path / f"{index}.png", 10 * index + rng.integers(0, 9, (*SIZE, 3)))
    return tmp_path


def write(path: Path, image: NDArray[np.integer] | int) -> None:
    """A picture file; a number is one of SIZE that is grey all over."""
    picture = np.full((*SIZE, 3), image) if isinstance(image, int) else image
    assert cv2.imwrite(str(path), picture.astype(np.uint8))


def names(samples: list[Sample]) -> list[str]:
    return [sample.name for sample in samples]


def test_a_folder_is_covered_and_the_rest_is_held_out(folder: Path) -> None:
    found = choose_frames(str(folder), 5, 3, ANY)
    assert found.source == f"{folder}, 23 pictures"
    assert found.seen == 23
    assert found.held_out
    assert len(found.calibration) == 5
    assert len(found.evaluation) == 3
    assert not set(names(found.calibration)) & set(names(found.evaluation))
    assert found.calibration[0].why == "nearest to the average"
    assert "brightest" in {sample.why for sample in found.calibration}
    assert min(sample.image.mean() for sample in found.calibration) < 30
    for sample in found.calibration + found.evaluation:
        assert sample.why
        assert sample.features is not None
        assert sample.features.brightness == pytest.approx(sample.image.mean(), abs=1)
        assert sample.sharp is None
        assert (sample.image == cv2.imread(str(folder / sample.name))).all()


def test_prefixes_of_a_choice_are_the_choices_of_fewer(folder: Path) -> None:
    """With every frame a candidate; the report measures how the result settles as frames are added."""
    most = names(choose_frames(str(folder), 17, 0, ANY).calibration)
    for count in (6, 9):
        assert names(choose_frames(str(folder), count, 0, ANY).calibration) == most[:count]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(length=st.integers(1, 30), count=st.integers(1, 12), evaluation=st.integers(0, 6))
def test_numbers_and_determinism(
    length: int, count: int, evaluation: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(length):
        write(folder / f"{index}.png", np.full((6, 9, 3), index * 8))
    found, again = (choose_frames(str(folder), count, evaluation, ANY) for _ in range(2))
    assert names(found.calibration + found.evaluation) == names(again.calibration + again.evaluation)
    assert found.seen == length
    calibration, measured = set(names(found.calibration)), set(names(found.evaluation))
    assert len(calibration) == len(found.calibration) <= count
    assert len(measured) == len(found.evaluation) <= evaluation
    if found.held_out:
        assert not calibration & measured
        assert len(calibration) == min(count, length - len(measured))
    else:
        assert evaluation > 0
        assert length <= min(3, count)
        assert found.evaluation == found.calibration[:evaluation]
    if length >= count + evaluation:
        assert (len(calibration), len(measured)) == (count, evaluation)


def test_a_few_frames_share_themselves_out(folder: Path) -> None:
    found = choose_frames(str(folder), 32, 8, ANY)
    assert found.held_out
    assert (len(found.calibration), len(found.evaluation)) == (18, 5)


def test_one_frame_is_both(tmp_path: Path) -> None:
    write(tmp_path / "only.png", 90)
    found = choose_frames(str(tmp_path / "only.png"), 8, 4, ANY)
    assert names(found.calibration) == names(found.evaluation) == ["only.png"]
    assert (found.seen, found.held_out) == (1, False)
    assert names(evaluation_frames(str(tmp_path / "only.png"), 8, ANY)) == ["only.png"]


@pytest.mark.parametrize("grey", [0, 77])
def test_a_frozen_or_dark_camera(grey: int, tmp_path: Path) -> None:
    for index in range(9):
        write(tmp_path / f"{index}.png", grey)
    found = choose_frames(str(tmp_path), 4, 2, ANY)
    assert len({*names(found.calibration), *names(found.evaluation)}) == 6
    assert [sample.why for sample in found.calibration[1:]] == ["like one before it"] * 3


def test_pictures_of_different_sizes_keep_them(tmp_path: Path) -> None:
    sizes = [(20, 30), (30, 20), (7, 11), (40, 50)]
    for index, size in enumerate(sizes):
        write(tmp_path / f"{index}.png", np.full((*size, 3), 40 * index))
    found = choose_frames(str(tmp_path), 3, 1, (7, 11))
    chosen = {sample.name: sample.image.shape[:2] for sample in found.calibration + found.evaluation}
    assert chosen == {f"{index}.png": size for index, size in enumerate(sizes)}
    for choose in (
        lambda: choose_frames(str(tmp_path), 3, 1, (8, 8)),
        lambda: evaluation_frames(str(tmp_path), 1, (8, 8)),
    ):
        with pytest.raises(
            Failure, match=r"2\.png of .* is 7x11; this model needs at least 8x8 \(height x width\)"
        ) as caught:
            choose()
        assert caught.value.code == ExitCode.SOURCE


def test_pairs_bring_their_sharp_ones(tmp_path: Path) -> None:
    for index in range(6):
        write(tmp_path / f"{index}_blur.png", 30 * index)
        write(tmp_path / f"{index}_sharp.png", 30 * index + 5)
    found = choose_frames(str(tmp_path), 3, 2, ANY)
    measured = evaluation_frames(str(tmp_path), 3, ANY)
    assert names(measured) == ["0_blur.png", "2_blur.png", "4_blur.png"]
    for sample in found.calibration + found.evaluation + measured:
        assert sample.sharp is not None
        assert (sample.sharp == sample.image + 5).all()


def test_damaged_pictures_are_told_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "3.png").write_bytes((folder / "4.png").read_bytes()[:40])
    (folder / "7.png").write_bytes(b"")
    found = choose_frames(str(folder), 4, 2, ANY)
    assert found.seen == 21
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"{folder}, 23 pictures: 2 damaged, left out; picture '{folder / '3.png'}'" in told


def test_sources_without_a_frame(tmp_path: Path) -> None:
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "1.png").write_bytes(b"\x89PNG")
    (tmp_path / "empty").mkdir()
    for name, message in (("none.mp4", "does not exist"), ("empty", "no pictures"), ("damaged", "cannot be read")):
        for choose in (choose_frames_of, evaluation_frames_of):
            with pytest.raises(Failure, match=message) as caught:
                choose(str(tmp_path / name))
            assert caught.value.code == ExitCode.SOURCE


def choose_frames_of(uri: str) -> Selection:
    return choose_frames(uri, 4, 2, ANY)


def evaluation_frames_of(uri: str) -> list[Sample]:
    return evaluation_frames(uri, 4, ANY)


@pytest.mark.parametrize("uri", ["test://64x48", "test://64x48@500"])
def test_a_source_without_end_gives_a_bounded_number(uri: str) -> None:
    start = time.monotonic()
    found = choose_frames(uri, 3, 2, ANY)
    assert time.monotonic() - start < 10
    assert found.seen == calibration_frames.CANDIDATES * (3 + 2)
    assert "test scene 64x48" in found.source
    assert all(sample.sharp is not None and sample.name.startswith("frame ") for sample in found.calibration)
    assert names(evaluation_frames(uri, 3, ANY)) == ["frame 0", "frame 1", "frame 2"]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A video of 60 frames with one of them dark."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for index in range(60):
        writer.write(textured(index, 30 if index == 47 else 120))
    writer.release()
    return path


def test_all_of_a_video_is_looked_at(clip: Path) -> None:
    found = choose_frames(str(clip), 15, 3, ANY)
    assert found.seen == 60
    assert ("frame 47", "darkest") in [(sample.name, sample.why) for sample in found.calibration]
    for sample in found.calibration + found.evaluation:
        assert sample.features is not None
        assert (sample.features.motion > 0) == (sample.name != "frame 0")
    assert names(evaluation_frames(str(clip), 4, ANY)) == ["frame 0", "frame 16", "frame 32", "frame 48"]


def test_a_source_is_closed_when_its_frames_are_refused(clip: Path) -> None:
    with pytest.raises(Failure, match="at least 99x99") as caught:
        choose_frames(str(clip), 2, 1, (99, 99))
    assert caught.tb is not None  # holds on to all that was open
    opened = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    assert str(clip) not in opened


def test_names_that_are_no_text_can_be_written_to_a_report(folder: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/\xff"))
    odd.mkdir()
    (folder / "0.png").rename(odd / os.fsdecode(b"\xfe.png"))
    found = choose_frames(str(odd), 1, 1, ANY)
    assert found.calibration[0].name == r"\udcfe.png"
    assert json.dumps([found.source, *names(found.calibration)], ensure_ascii=False).encode()


def textured(index: int, grey: int) -> Image:
    columns = np.sin((np.arange(64) + 2 * index) / 5) * 20 + grey
    return np.broadcast_to(columns[None, :, None], (48, 64, 3)).astype(np.uint8)


def held_at_most(monkeypatch: pytest.MonkeyPatch, frames: int) -> None:
    monkeypatch.setattr(calibration_frames, "MEMORY", frames * SIZE[0] * SIZE[1] * 3)


def test_too_little_memory_says_how_many_frames_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held_at_most(monkeypatch, 12)
    with pytest.raises(Failure, match=r"10 frames of 20x30 .* are too many to hold; use --frames 9 or fewer") as caught:
        choose_frames(str(folder), 10, 4, ANY)
    assert caught.value.code == ExitCode.USAGE
    found = choose_frames(str(folder), 9, 4, ANY)
    assert (found.seen, len(found.calibration), len(found.evaluation), found.held_out) == (23, 9, 3, True)


def test_pairs_take_twice_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(9):
        write(tmp_path / f"{index}_blur.png", 20 * index)
        write(tmp_path / f"{index}_sharp.png", 20 * index)
    held_at_most(monkeypatch, 12)
    with pytest.raises(Failure, match="use --frames 5 or fewer"):
        choose_frames(str(tmp_path), 6, 2, ANY)


@pytest.mark.parametrize(("memory", "taken"), [(17, 5), (12, 4), (3, 1), (1, 1)])
def test_what_is_measured_on_fits_into_memory_with_what_graphs_make_of_it(
    memory: int, taken: int, folder: Path
) -> None:
    """Each frame, the FP32 graph's output of it and that of another graph."""
    assert len(evaluation_frames(str(folder), 20, ANY, memory * SIZE[0] * SIZE[1] * 3)) == taken


def test_pairs_that_are_measured_on_have_their_sharp_ones_beside_that(tmp_path: Path) -> None:
    for index in range(9):
        write(tmp_path / f"{index}_blur.png", 20 * index)
        write(tmp_path / f"{index}_sharp.png", 20 * index)
    assert len(evaluation_frames(str(tmp_path), 9, ANY, 12 * SIZE[0] * SIZE[1] * 3)) == 3


def test_a_source_that_fits_is_not_refused_for_what_was_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held_at_most(monkeypatch, 23)
    assert len(choose_frames(str(folder), 1000, 4, ANY).calibration) == 19


def test_a_source_without_end_is_refused_at_once() -> None:
    with pytest.raises(Failure, match="100000 frames of 360x640") as caught:
        choose_frames("test://640x360", 100_000, 8, ANY)
    assert caught.value.code == ExitCode.USAGE


def test_memory_is_bounded_by_the_largest_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small frames first: the sample shrinks when the large ones come."""
    for index in range(20):
        write(tmp_path / f"{index}.png", np.full((*SIZE, 3), index) if index < 14 else np.full((40, 60, 3), index))
    held_at_most(monkeypatch, 16)
    found = choose_frames(str(tmp_path), 3, 1, ANY)
    assert found.seen == 20
    assert len(found.calibration) + len(found.evaluation) == 4
    with pytest.raises(Failure, match=r"4 frames of 40x60 .* use --frames 3 or fewer"):
        choose_frames(str(tmp_path), 4, 1, ANY)
