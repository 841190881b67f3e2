"""The back-off: never longer than its limit, which doubles, and spread over all of it."""

from __future__ import annotations

import random
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.live.backoff import Backoff

seconds = st.floats(0.001, 100)


@given(seconds, seconds, st.integers(0, 5000), st.integers())
def test_no_wait_is_longer_than_its_limit(initial_s: float, more_s: float, failed: int, seed: int) -> None:
    most_s = initial_s + more_s
    backoff = Backoff(initial_s, most_s, random.Random(seed))
    backoff.attempts = failed
    limit_s = most_s if failed > 60 else min(most_s, initial_s * 2**failed)
    assert 0 <= backoff.next_s() <= limit_s
    assert backoff.attempts == failed + 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 8), st.integers())
def test_waits_are_spread_evenly_up_to_the_limit(failed: int, seed: int) -> None:
    chance = random.Random(seed)
    shares = []
    for _ in range(400):
        backoff = Backoff(1, 30, chance)
        backoff.attempts = failed
        shares.append(backoff.next_s() / min(30, 2**failed))
    assert mean(shares) == pytest.approx(0.5, abs=0.12)
    assert min(shares) < 0.1
    assert max(shares) > 0.9


def test_a_reset_begins_anew() -> None:
    backoff = Backoff(1, 30)
    for _ in range(20):
        backoff.next_s()
    backoff.reset()
    assert all(Backoff(1, 30).next_s() <= 1 for _ in range(50))
    assert backoff.next_s() <= 1


def test_two_cameras_do_not_come_back_together() -> None:
    first, second = Backoff(1, 30), Backoff(1, 30)
    assert [first.next_s() for _ in range(5)] != [second.next_s() for _ in range(5)]
