"""The guard: every way in which a network fails is caught, and honest outputs pass."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedeblur import ExitCode
from runtime.frame import Image
from runtime.sessions.models import ModelOptions, open_session
from runtime.sessions.onnx_session import OnnxSession
from runtime.sources.scene import render_loop
from runtime.steering.gated_session import FRAMES_TO_OPEN, GatedSession
from runtime.steering.guard_check import main
from runtime.steering.guarded_session import GuardedSession
from runtime.steering.trust import BLOCK, distrust
from tests.runtime.conftest import picture
from tests.runtime.stand_in import write_model
from tests.runtime.steering.bad_models import FAULTS, write_bad_model
from tests.runtime.steering.pictures import sharp_picture, write_pairs

SIZE = (180, 244)  # (height, width): no multiple of a block on either side


def silent(text: str) -> None:
    pass


@pytest.fixture(scope="module")
def scene() -> list[tuple[Image, Image]]:
    return render_loop(SIZE)[::6]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_network_that_fails_is_guarded(fault: str, tmp_path: Path, scene: list[tuple[Image, Image]]) -> None:
    said: list[str] = []
    with closing(GuardedSession(OnnxSession(write_bad_model(tmp_path / "bad.onnx", fault)), said.append)) as session:
        for blurred, _ in scene:
            session.submit(blurred)
            result = session.result()
            assert result.how == "guarded"
            assert result.image is blurred
    assert session.guarded == len(scene)
    assert said[0].startswith("guard: ")
    assert len(said) == 1 + (len(scene) >= 10)


@pytest.mark.parametrize("name", ["edge-n", "edge-s"])
def test_the_shipped_weights_are_trusted(name: str, scene: list[tuple[Image, Image]]) -> None:
    inner, _ = open_session(ModelOptions(name), lambda: SIZE)
    with closing(GuardedSession(inner, silent)) as session:
        for blurred, sharp in scene[:3]:
            for frame in (blurred, sharp, sharp // 5, 255 - sharp // 4):
                session.submit(np.ascontiguousarray(frame))
                assert session.result().how == "deblurred"
    assert session.guarded == 0


def test_a_perfect_output_is_trusted(scene: list[tuple[Image, Image]]) -> None:
    assert [distrust(blurred, sharp) for blurred, sharp in scene] == [""] * len(scene)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_block_of_nan_is_caught_wherever_it_is(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(70, 400)), data.draw(st.integers(70, 500))
    level = data.draw(st.integers(20, 235))
    side = 2 * BLOCK + 40  # so that one whole block and the rows between the blocks are in it
    y, x = (data.draw(st.integers(0, max(0, length - side))) for length in (height, width))
    before = np.full((height, width, 3), level, np.uint8)
    after = before.copy()
    after[y : y + side, x : x + side] = data.draw(st.sampled_from([0, 255]))
    assert distrust(before, after)


@pytest.mark.parametrize("rows", [0, 1])
def test_damage_in_every_second_row_is_seen(rows: int) -> None:
    before = picture(20, (203, 331))
    after = before.copy()
    after[rows::2] = 255
    assert distrust(before, after)


def test_noise_that_is_taken_away_is_no_fault() -> None:
    clean = picture(25, SIZE)
    noisy = np.clip(clean + np.random.default_rng(3).normal(0, 12, clean.shape), 0, 255).astype(np.uint8)
    assert distrust(noisy, clean) == ""


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200))
def test_frames_of_every_size_are_judged(height: int, width: int) -> None:
    frame = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert distrust(frame, frame) == ""
    assert distrust(np.full_like(frame, 90), np.full_like(frame, 0))


def test_what_is_at_the_edge_of_a_large_frame_is_seen() -> None:
    before = np.full((1080, 1920, 3), 120, np.uint8)
    for edge in (np.s_[:80], np.s_[-80:], np.s_[:, :40], np.s_[:, -40:]):
        after = before.copy()
        after[edge] = 0
        assert distrust(before, after)


def test_frames_that_did_not_see_the_network_are_not_judged(model: Path) -> None:
    with closing(GuardedSession(GatedSession(OnnxSession(model)), silent)) as session:
        frame = sharp_picture((120, 200))
        hows = []
        for _ in range(FRAMES_TO_OPEN + 2):
            session.submit(frame)
            hows.append(session.result().how)
    assert hows[-1] == "sharp"
    assert session.guarded == 0


def test_a_good_result_is_passed_on_as_it_is(tmp_path: Path) -> None:
    inner = OnnxSession(write_model(tmp_path / "good.onnx", gain=1.02))
    with closing(GuardedSession(inner, silent)) as session:
        frame = picture(20)
        assert (session.infer(frame) == inner.infer(frame)).all()
        assert session.describe() == inner.describe()
        assert session.min_size == inner.min_size


def test_the_command_shows_how_far_from_the_limits_a_network_is(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_pairs(tmp_path / "pairs", render_loop(SIZE)[:3])
    assert main(["--data", str(folder), "--model", str(model)]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "9 judged, 0 distrusted" in said
    assert [float(value) for value in said.splitlines()[1].split()[-4:-1]] == [10, 0, 0]  # the stand-in changes nothing
    bad = write_bad_model(tmp_path / "bad.onnx", "colour cast")
    assert main(["--data", str(folder), "--model", str(bad)]) == ExitCode.QUALITY
    assert "000002, output: colour drift of the picture is 12, trusted up to 10" in capsys.readouterr().out
