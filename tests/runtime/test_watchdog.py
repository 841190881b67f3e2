"""The watchdog: what is frozen, what is black, what is damaged, and what only looks so."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.frame import Image
from runtime.live.damage import WINDOW_S, Damage
from runtime.live.watchdog import STRIDE, Verdict, Watchdog

MS = 1_000_000
TIMEOUT_NS = 300 * MS


def verdicts(pictures: list[Image], period_ms: int = 100) -> list[Verdict]:
    watchdog = Watchdog()
    return [watchdog.look(image, 10**9 + i * period_ms * MS, TIMEOUT_NS) for i, image in enumerate(pictures)]


def noise(seed: int, size: tuple[int, int] = (45, 83), low: int = 0, high: int = 256) -> Image:
    return np.random.default_rng(seed).integers(low, high, (*size, 3), dtype=np.uint8)


def test_a_picture_that_stays_is_frozen_until_it_changes() -> None:
    still = noise(0)
    seen = verdicts([noise(1), still, still.copy(), still.copy(), still.copy(), still.copy(), noise(2)])
    assert seen == ["live", "live", "live", "live", "frozen", "frozen", "live"]


@pytest.mark.parametrize(
    "place", [(0, 0, 0), (STRIDE // 2, STRIDE // 2, 1), (44, 82, 2)], ids=["seen", "between", "last"]
)
def test_one_level_of_one_pixel_is_a_change(place: tuple[int, int, int]) -> None:
    pictures = [noise(0) for _ in range(8)]
    for number, image in enumerate(pictures):
        image[place] = number
    assert set(verdicts(pictures)) == {"live"}


def test_another_size_is_another_picture() -> None:
    turning = [(20, 30), (30, 20)] * 4
    assert set(verdicts([np.full((*size, 3), 90, np.uint8) for size in turning])) == {"live"}


def test_a_slow_source_is_not_frozen_between_two_frames() -> None:
    assert verdicts([noise(0), noise(1), noise(2)], period_ms=5000) == ["live"] * 3


@pytest.mark.parametrize("level", [0, 3, 15])
def test_no_light_is_black_and_not_frozen(level: int) -> None:
    seen = verdicts([np.full((45, 83, 3), level, np.uint8)] * 6)
    assert seen == ["live", "live", "live", "black", "black", "black"]


def test_the_noise_of_a_sensor_in_the_dark_is_black() -> None:
    assert verdicts([noise(i, low=0, high=12) for i in range(6)])[-1] == "black"


def test_a_flash_of_darkness_is_nothing() -> None:
    dark = np.zeros((45, 83, 3), np.uint8)
    assert set(verdicts([noise(0), dark, dark, noise(1), dark, dark, noise(2)])) == {"live"}


def test_a_night_with_lights_is_not_black() -> None:
    pictures = [noise(i, low=0, high=12) for i in range(6)]
    for image in pictures:
        image[10:20, 10:40] = 230
    assert set(verdicts(pictures)) == {"live"}


def test_a_view_with_gaps_between_its_rows_is_compared_too() -> None:
    wide = noise(0, (45, 166))
    seen = verdicts([wide[:, ::2] for _ in range(6)])
    assert seen[-1] == "frozen"


def test_damage_is_told_once_and_forgotten() -> None:
    damage, corrupt, reasons = Damage(), 0, []
    for frame in range(100):  # ten a second; from the second to the fourth second every other one is damaged
        corrupt += 20 <= frame < 40
        damage.add(corrupt, frame * 100 * MS)
        reasons.append(damage.reason)
    assert not any(reasons[:20])
    told = {reason for reason in reasons if reason}
    assert len(told) == 1
    assert f"of the last {WINDOW_S} s were damaged" in told.pop()
    assert not reasons[-1]


def test_a_little_damage_is_normal() -> None:
    damage = Damage()
    for frame in range(300):
        damage.add(frame // 30, frame * 33 * MS)
        assert not damage.reason


def test_damage_of_long_ago_is_forgotten_by_a_stream_that_paused() -> None:
    damage = Damage()
    damage.add(9, 10**9)
    assert damage.reason == "90% of the frames of the last 5 s were damaged"
    damage.add(9, 7 * 10**9)
    assert not damage.reason
