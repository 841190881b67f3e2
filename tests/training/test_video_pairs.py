"""Pairs from sharp video: true blur without ghosts, nothing across cuts, the same sample again, messages."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

import edgedeblur
from tests.training.films import SCENERY, SIZE, Image, film, pan, picture, view
from training.data import video_frames
from training.data.pairs import open_pairs
from training.data.samples import identity
from training.data.video_exposure import Exposure
from training.data.video_frames import FrameStore
from training.data.video_index import Clip, read_clip
from training.data.video_motion import frame_between, motion_between
from training.data.video_pairs import VideoConfig, VideoPairs, split_targets
from training.evaluation.metrics import psnr

PLAIN = VideoConfig(blur=(18.0, 18.0), scale=(1.0, 1.0), noise=(0.0, 0.0), anywhere_share=0.0, display_space_share=1.0)


def every_target(clip: Clip, config: VideoConfig = PLAIN) -> VideoPairs:
    return VideoPairs([(clip, int(number)) for number in clip.targets], config)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(dy=st.floats(-9, 9), dx=st.floats(-9, 9), fraction=st.floats(0.1, 0.9))
def test_frames_between_are_where_things_are_then(dy: float, dx: float, fraction: float) -> None:
    first, second = view(40, 60), view(40 + dy, 60 + dx)
    made = frame_between(first.astype(np.float32), second.astype(np.float32), motion_between(first, second), fraction)
    true = view(40 + fraction * dy, 60 + fraction * dx).astype(np.float32)
    faded = first * (1 - fraction) + second * fraction
    inner = slice(24, -24)
    error, error_faded = (float(np.mean((image - true)[inner, inner] ** 2)) for image in (made, faded))
    assert error < max(0.25 * error_faded, 20.0)


@pytest.mark.parametrize("step", [(0.0, 6.0), (7.0, 0.0)])
def test_made_blur_is_the_line_that_things_moved_along(step: tuple[float, float], tmp_path: Path) -> None:
    clip = read_clip(film(tmp_path / "pan.mkv", pan(14, step)))
    pairs = VideoPairs([(clip, number) for number in (4, 6, 9)], PLAIN)  # away from the ends
    inner = slice(12, -12)
    for seed in range(4):
        blurred, sharp = pairs.sample(np.random.default_rng(seed), 72)
        lines = [(length, 1) for length in range(13, 24)] + [(1, length) for length in range(13, 24)]  # or turned
        alike = {line: psnr(blurred[inner, inner], picture(cv2.blur(sharp, line))[inner, inner]) for line in lines}
        best = max(alike, key=lambda line: alike[line])
        assert alike[best] > 33
        assert max(best) == pytest.approx(18, abs=2)
        assert psnr(blurred, sharp) < 26


def boxes(count: int, step: float) -> list[Image]:
    """A textured box that moves by `step` pixels a frame before a grey wall."""
    frames = []
    for index in range(count):
        place = np.array([[1, 0, 20 + index * step], [0, 1, 30]], np.float32)
        frame = np.full((*SIZE, 3), 96, np.uint8)
        box = SCENERY[100:160, 200:250]
        frames.append(picture(cv2.warpAffine(box, place, SIZE[::-1], dst=frame, borderMode=cv2.BORDER_TRANSPARENT)))
    return frames


def test_interpolation_leaves_no_ghosts() -> None:
    # Seven pixels a frame: averaged as they are, three frames show three boxes.
    made = Exposure(boxes(9, 7.0), 4).averaged(1.5, 21, 1.0)  # (H, W, 3)
    fine = boxes(8 * 21 + 1, 1 / 3)  # a third of a pixel apart
    true, ghosts = np.mean(fine[4 * 21 - 31 : 4 * 21 + 32], axis=0), np.mean(boxes(9, 7.0)[3:6], axis=0)
    assert psnr(picture(made), picture(true)) > psnr(picture(ghosts), picture(true)) + 6
    edge = made[60, 20 + 4 * 7 - 10 : 20 + 4 * 7 + 11].mean(axis=1)  # from the wall into the box
    stairs = ghosts[60, 20 + 4 * 7 - 10 : 20 + 4 * 7 + 11].mean(axis=1)
    assert np.abs(np.diff(edge)).max() < 0.6 * np.abs(np.diff(stairs)).max()


def test_light_is_averaged_or_what_is_displayed(tmp_path: Path) -> None:
    stripes = np.kron(np.random.default_rng(0).integers(0, 2, (80, 90)), np.ones((8, 8)))[:, :, None].repeat(3, 2)
    frames = pan(9, (0.0, 5.0), (255 * stripes).astype(np.uint8))
    window = Exposure(frames, 4)
    light, shown = (float(window.averaged(2.0, 21, gamma).mean()) for gamma in (2.2, 1.0))
    assert shown == pytest.approx(float(frames[4].mean()), rel=0.1)
    assert light > shown + 8


def test_cuts_are_not_averaged_over(tmp_path: Path) -> None:
    red, blue = SCENERY.copy(), SCENERY.copy()[:, ::-1]
    red[..., 0] = blue[..., 2] = 0
    clip = read_clip(film(tmp_path / "cut.mkv", pan(9, (1.0, 4.0), red) + pan(11, (-1.0, 4.0), blue)))
    assert len(np.unique(clip.scenes)) == 2
    assert clip.targets.tolist() == [*range(1, 8), *range(10, 19)]
    pairs = every_target(clip)
    for seed in range(12):
        blurred, sharp = pairs.sample(np.random.default_rng(seed), 64)
        channel = 0 if sharp[..., 2].max() < 40 else 2
        assert blurred[..., 2 - channel].max() < 40 < blurred[..., channel].max()


def test_frames_that_do_not_belong_together_are_not_averaged_even_without_a_cut() -> None:
    one, other = pan(3, (0.0, 3.0)), pan(3, (0.0, 3.0), np.ascontiguousarray(SCENERY[::-1, ::-1]))
    assert Exposure(one, 1).reach(1.0) == 1.0
    assert Exposure([*one, *other], 2).reach(1.0) == 0
    assert Exposure([*one, *other], 1).reach(2.0) == 1.0  # as far as the last frame that belongs to it
    still = Exposure([*one[:2], other[0]], 1)
    assert still.speed() == 0
    assert np.abs(still.averaged(0, 1, 2.2) - one[1]).max() < 0.01


def test_frames_that_are_blurred_themselves_are_no_targets(tmp_path: Path) -> None:
    frames = pan(90, (1.0, 3.0))
    shaken, panned = {7, 8, 80}, set(range(30, 51))  # a little for a moment, and much for longer than a second's half
    for index in shaken | panned:
        frames[index] = picture(cv2.blur(frames[index], (3, 1) if index in shaken else (9, 9)))
    clip = read_clip(film(tmp_path / "shaky.mkv", frames))
    assert set(clip.targets.tolist()) == set(range(1, 89)) - shaken - panned
    assert "64 of 90 frames to learn from; left out 2 at the ends of 1 scenes, 24 blurred, 0 still" in clip.summary


def test_repeated_frames_are_not_taken_for_rest(tmp_path: Path) -> None:
    frames = [frame for frame in pan(8, (0.0, 5.0)) for _ in range(2)]
    clip = read_clip(film(tmp_path / "twice.mkv", frames))
    assert len(clip.times) == 8
    assert "8 repeated" in clip.summary
    blurred, sharp = every_target(clip).sample(np.random.default_rng(0), 64)
    assert psnr(blurred, sharp) < 26


def test_a_crop_as_large_as_the_frame_needs_no_margin(tmp_path: Path) -> None:
    assert int(389 * (256 / 389)) == 255  # floats: the frame, reduced to the crop's size, seems to be too small
    frames = [np.ascontiguousarray(SCENERY[:389, 5 * index : 5 * index + 420]) for index in range(5)]
    pairs = every_target(read_clip(film(tmp_path / "pan.mkv", frames)), dataclasses.replace(PLAIN, scale=(0.5, 0.5)))
    blurred, sharp = pairs.sample(np.random.default_rng(0), 256)
    assert blurred.shape == sharp.shape == (256, 256, 3)


class Indexed(Dataset[tuple[Image, Image]]):
    """Samples by number, as the training loop draws them."""

    def __init__(self, pairs: VideoPairs) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[Image, Image]:
        return self.pairs.sample(np.random.default_rng((5, index)), 48)


def test_a_sample_is_the_same_at_any_time_and_in_any_process(tmp_path: Path) -> None:
    path = film(tmp_path / "pan.mp4", pan(26, (1.0, 5.0)), "mpeg4", g="9", bf="2", b="4000000")
    config = dataclasses.replace(VideoConfig(), anywhere_share=0.3)
    pairs, later = (every_target(read_clip(path), config) for _ in range(2))
    straight = [Indexed(pairs)[index] for index in range(6)]
    backwards = [Indexed(later)[index] for index in reversed(range(6))][::-1]
    workers = list(DataLoader(Indexed(pairs), batch_size=None, num_workers=2))
    for one, other, third in zip(straight, backwards, workers, strict=True):
        assert one[0].shape == one[1].shape == (48, 48, 3)
        assert one[0].dtype == np.uint8
        assert all(np.array_equal(a, b) and np.array_equal(a, c) for a, b, c in zip(one, other, third, strict=True))
    assert not np.array_equal(straight[0][1], straight[1][1])


def test_frames_found_by_their_times_are_those_of_the_file_and_memory_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / "pan.mp4", pan(26, (1.0, 5.0)), "mpeg4", g="9", bf="2", b="4000000")
    clip = read_clip(path)
    assert len(clip.keys) >= 3
    with av.open(str(path)) as container:
        straight = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    store = FrameStore()
    monkeypatch.setattr(video_frames, "_MEMORY", 5 * straight[0].nbytes)
    for first in (20, 3, 8, 9, 17, 0, 3):
        found = store.frames(path, clip.times[first : first + 4], clip.keys)
        assert all(np.array_equal(a, b) for a, b in zip(found, straight[first : first + 4], strict=True))
        assert len(store._frames) <= 5
    assert np.array_equal(store.frames(path, clip.times[12:14], clip.keys[:0])[1], straight[13])  # without key frames


def test_a_video_that_changed_while_it_is_used_is_a_failure(tmp_path: Path) -> None:
    clip = read_clip(film(tmp_path / "pan.mkv", pan(20, (1.0, 5.0))))
    film(clip.path, pan(6, (1.0, 5.0)))
    with pytest.raises(edgedeblur.Failure, match="are not there any more; was the file changed"):
        VideoPairs([(clip, 15)], PLAIN).sample(np.random.default_rng(0), 64)


def test_training_and_validation_see_no_frame_in_common(tmp_path: Path) -> None:
    film(tmp_path / "a.mkv", pan(40, (1.0, 4.0)))
    film(tmp_path / "b.MKV", pan(22, (1.0, 4.0)))
    training, validation = open_pairs(tmp_path, 64)
    assert isinstance(training, VideoPairs)
    assert isinstance(validation, VideoPairs)
    assert {clip.path.name for clip, _ in validation.targets} == {"a.mkv", "b.MKV"}
    for clip, number in validation.targets:
        assert all(abs(number - other) > 8 for same, other in training.targets if same == clip)
    assert len(set(training.names + validation.names)) == len(training.names) + len(validation.names)
    whole, other = open_pairs(tmp_path / "a.mkv", 64, tmp_path / "b.MKV")
    assert (len(whole.names), len(other.names)) == (38, 20)


def test_a_video_of_the_same_name_is_other_data_for_a_resumed_run(tmp_path: Path) -> None:
    names, seen = set(), []
    for step in (4.0, 4.0, 5.0):
        pairs, _ = open_pairs(film(tmp_path / "a.mkv", pan(40, (1.0, step))), 64)
        names.add(tuple(pairs.names))
        seen.append(identity(pairs))
    assert len(names) == 1
    assert seen[0] == seen[1] != seen[2]


def test_videos_and_pictures_in_one_folder_are_refused_and_counted(tmp_path: Path) -> None:
    for name in ("a.mkv", "b.mkv"):
        film(tmp_path / name, pan(6, (1.0, 4.0)))
    cv2.imwrite(str(tmp_path / "cover.jpg"), view(40, 60))
    with pytest.raises(edgedeblur.Failure, match=r"holds 2 videos and 1 pictures; expected one kind: move") as raised:
        open_pairs(tmp_path, 64)
    assert raised.value.code == edgedeblur.ExitCode.SOURCE


def test_a_clip_too_short_to_divide_serves_for_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = read_clip(film(tmp_path / "short.mkv", pan(6, (1.0, 4.0))))
    training, validation = split_targets([clip])
    assert training == validation != []
    assert "trained and validated on" in capsys.readouterr().err


def broken(folder: Path) -> Path:
    """Files that go wrong, each in its own way."""
    film(folder / "two.mkv", pan(2, (0.0, 4.0)))
    film(folder / "still.mkv", [view(40, 60)] * 9)
    film(folder / "small.mkv", pan(14, (0.0, 4.0)))
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    whole = film(folder / "whole.mp4", pan(12, (0.0, 4.0)), "mpeg4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with av.open(str(folder / "sound.mka"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    return folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("two.mkv", r"0 of 2 frames to learn from; .*Expected a sharp video in which something moves, with at least 3"),
        ("still.mkv", r"0 of 1 frames to learn from; .* 8 repeated"),
        ("small.mkv", r"small.mkv is 120x168; expected at least 128x128 \(height x width\)"),
        ("empty.mp4", r"empty.mp4 is not a video that can be read \(Invalid data"),
        ("noise.mp4", r"noise.mp4 is not a video that can be read"),
        ("cut.mp4", r"cut.mp4 is not a video that can be read .* expected a whole .mp4"),
        ("sound.mka", r"sound.mka has no pictures in it"),
        ("none.mp4", r"none.mp4 is not a folder, nor a video"),
    ],
)
def test_what_is_wrong_with_a_video_is_said(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(edgedeblur.Failure, match=message) as raised:
        open_pairs(broken(tmp_path) / name, 128)
    assert raised.value.code == edgedeblur.ExitCode.SOURCE


def test_bad_videos_of_a_folder_are_skipped_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training, _ = open_pairs(broken(tmp_path), 96)
    assert {name.split("/")[0] for name in training.names} == {"small.mkv", "whole.mp4"}
    printed = capsys.readouterr().err
    assert printed.count("skipped: ") == 5
    assert "small.mkv: 12 of 14 frames to learn from" in printed
    with pytest.raises(edgedeblur.Failure, match="none of the 7 videos"):
        open_pairs(tmp_path, 512)


def test_a_damaged_stretch_is_counted_and_not_averaged_over(tmp_path: Path) -> None:
    path = film(tmp_path / "torn.avi", pan(30, (1.0, 4.0)), "mpeg4", g="5", b="4000000")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 6000] = bytes(6000)
    path.write_bytes(data)
    clip = read_clip(path)
    assert len(np.unique(clip.scenes)) == 2
    assert ", 0 damaged" not in clip.summary
    for seed in range(4):
        every_target(clip).sample(np.random.default_rng(seed), 64)


def test_train_learns_from_a_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = film(tmp_path / "mine.mkv", pan(24, (1.0, 4.0)))
    options = ["--patch", "32", "--batch", "2", "--steps", "2", "--val-crops", "2", "--workers", "1", "--device", "cpu"]
    assert edgedeblur.main(["train", *options, "--data", str(path), "--project", str(tmp_path / "runs")]) == 0
    assert "22 of 24 frames to learn from" in capsys.readouterr().err
    assert (tmp_path / "runs" / "edge-n" / "best.pt").is_file()
