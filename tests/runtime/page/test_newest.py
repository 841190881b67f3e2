"""What viewers are offered: the newest frame at a bounded rate, held only while somebody looks."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.frame import Frame, Image, now_ns
from runtime.measure.timing import Delivery
from runtime.page.newest import MOST_FPS, SHARE, Newest
from runtime.page.pace import LADDER, MOST_TRY_S, TRY_S, Pace
from runtime.page.pictures import MOST_FORMS, Form, Pictures

SOON = 10**10


def delivery(done_ns: int, size: tuple[int, int] = (12, 16)) -> Delivery:
    image = np.zeros((*size, 3), np.uint8)
    return Delivery(Frame(image, 0, done_ns), done_ns, sharp=image.copy(), done_ns=done_ns)


def offers(newest: Newest, fps: float, seconds: float, jitter_ms: float = 0) -> int:
    """How many of the frames of a camera are offered."""
    start = newest._offer[0]
    for index in range(int(fps * seconds)):
        shift = jitter_ms * (1 if index % 2 else -1)
        newest.watch(delivery(10**12 + int((index / fps + shift / 1000) * 1e9)))
    return newest._offer[0] - start


@pytest.mark.parametrize(("fps", "expected"), [(5, 5), (10, 10), (15, 15), (24, 15), (30, 15), (50, 15), (120, 15)])
@pytest.mark.parametrize("jitter_ms", [0, 3])
def test_the_rate_is_that_of_the_camera_up_to_a_limit(fps: float, expected: float, jitter_ms: float) -> None:
    newest = Newest()
    with newest.watched():
        assert offers(newest, fps, 10, jitter_ms) == pytest.approx(expected * 10, rel=0.11)


def test_after_a_pause_no_burst_follows() -> None:
    newest = Newest()
    with newest.watched():
        newest.watch(delivery(10**9))
        assert offers(newest, 120, 1) <= MOST_FPS + 2


def test_dear_pictures_are_offered_less_often() -> None:
    newest = Newest()
    with newest.watched():
        newest.spent(0.5 * SHARE * len(os.sched_getaffinity(0)))
        assert offers(newest, 30, 10) == pytest.approx(20, abs=3)


def test_a_frame_is_held_only_while_somebody_looks() -> None:
    """Results are memory that the session wants back."""
    newest = Newest()
    item = delivery(10**9)
    seen = _picture(item)
    newest.watch(item)
    del item
    assert seen() is None
    with newest.watched():
        first, second = delivery(2 * 10**9), delivery(3 * 10**9)
        kept, replaced = _picture(second), _picture(first)
        newest.watch(first)
        newest.watch(second)
        del first, second
        gc.collect()
        assert replaced() is None
        assert kept() is not None
        found = newest.after(0, 1, 0)[1]
        assert found is not None
        assert found.sharp is kept()
        del found
    gc.collect()
    assert kept() is None


def test_waiting_keeps_no_frame() -> None:
    newest = Newest()
    with newest.watched():
        item = delivery(10**9)
        seen = _picture(item)
        newest.watch(item)
        number, found = newest.after(0, 1, 0)
        assert found is item
        del item, found
        waiting = threading.Thread(target=lambda: newest.after(number, 1, now_ns() + SOON))
        waiting.start()
        time.sleep(0.15)
        newest._offer = (number, None)
        time.sleep(0.1)
        gc.collect()
        assert seen() is None
        newest.watch(delivery(2 * 10**9))
        waiting.join(5)
        assert not waiting.is_alive()


def test_a_viewer_of_every_third_offer_gets_every_third() -> None:
    newest = Newest()
    seen = []
    with newest.watched():
        number = 0
        for index in range(1, 31):
            newest.watch(delivery(index * 10**9))
            number, item = newest.after(number, 3, 0)
            if item is not None:
                seen.append(number)
    assert seen == list(range(3, 31, 3))


def test_a_viewer_put_aside_with_the_lock_does_not_stop_the_pipeline() -> None:
    newest = Newest()
    with newest.watched(), newest._changed:
        watching = threading.Thread(target=newest.watch, args=(delivery(10**9),))
        watching.start()
        watching.join(5)
        assert not watching.is_alive()
    assert newest.viewers == 0


def test_one_encoding_serves_all_viewers_of_a_form_and_forms_that_nobody_wants_are_forgotten() -> None:
    newest = Newest()
    pictures = Pictures(newest, lambda: 1.0)
    with newest.watched():
        for index in range(1, 400):
            newest.watch(delivery(index * 10**9, (32, 48)))
            form = Form("output", 48, 50 if index < 200 else 60)
            one = pictures.after(0, 1, form, 0)
            assert one is not None
            assert pictures.after(0, 1, form, 0) is one
            if index in (100, 380):
                newest.watch(delivery(index * 10**9 + 5 * 10**8, (48, index)))
                pictures.after(0, 1, Form("input", 48, 50), 0)
        assert len(pictures._encoders) == 2
    assert pictures.encoded == 401


def test_ever_new_forms_fill_no_memory() -> None:
    newest = Newest()
    pictures = Pictures(newest, lambda: 1.0)
    with newest.watched():
        newest.watch(delivery(10**9, (32, 48)))
        for quality in range(1, 101):
            for view in ("output", "input"):
                assert pictures.after(0, 1, Form(view, 48, quality), 0) is not None
        assert len(pictures._encoders) == MOST_FORMS
        assert len(pictures._done) == MOST_FORMS
        assert Form("input", 48, 100) in pictures._encoders  # what was asked for last stays


def test_strength_mixes_what_is_seen() -> None:
    newest = Newest()
    strength = [1.0]
    pictures = Pictures(newest, lambda: strength[0])
    brightness = []
    with newest.watched():
        for index, strength[0] in enumerate((1.0, 0.5, 0.0), 1):
            item = delivery(index * 10**9, (32, 48))
            assert item.sharp is not None
            item.sharp[:] = 200
            newest.watch(item)
            picture = pictures.after(index - 1, 1, Form("output", None, 90), 0)
            assert picture is not None
            brightness.append(_decoded(picture.jpeg).mean())
    assert brightness == pytest.approx([200, 100, 0], abs=3)


def _picture(item: Delivery) -> weakref.ref[Image]:
    assert item.sharp is not None
    return weakref.ref(item.sharp)


def _decoded(jpeg: bytes) -> Image:
    from tests.runtime.page.mjpeg import decoded

    return decoded(jpeg)


BEST = Form("pair", 960, 90)


def run(pace: Pace, bytes_per_s: float, seconds: float, start_s: float = 0.0) -> list[int]:
    """The steps of a link that takes so much; a picture's bytes are those of its level."""
    now_s, steps = start_s, []
    while now_s < start_s + seconds:
        size = (pace.form.width or 0) ** 2 * pace.form.quality / 3000
        took_s = size / bytes_per_s
        now_s += max(took_s, pace.every / MOST_FPS)
        pace.sent(took_s, now_s)
        steps.append(pace.step)
    return steps


def test_a_good_link_gets_the_best() -> None:
    assert set(run(Pace(BEST), 10e6, 60)) == {0}


def test_a_slow_link_gets_less_soon_and_then_stays() -> None:
    pace = Pace(BEST)
    steps = run(pace, 60e3, 120)
    assert steps[5] >= 2
    changes = [one != other for one, other in zip(steps[-200:], steps[-199:], strict=False)]
    assert sum(changes) <= 6  # it does not swing
    assert max(steps) < len(LADDER)


def test_a_link_that_recovers_gets_the_best_again() -> None:
    pace = Pace(BEST)
    assert run(pace, 20e3, 30)[-1] >= 3
    assert run(pace, 20e6, len(LADDER) * MOST_TRY_S, 30)[-1] == 0


@given(st.lists(st.floats(0, 100), max_size=200))
def test_whatever_a_link_does_there_is_a_level(times_s: list[float]) -> None:
    pace, now_s = Pace(Form("pair", 320, 20)), 0.0
    for took_s in times_s:
        now_s += took_s + 0.01
        pace.sent(took_s, now_s)
        assert 0 <= pace.step < len(LADDER)
        assert (pace.form.width or 0) <= 320
        assert pace.form.quality <= 20
        assert TRY_S <= pace._try_s <= MOST_TRY_S
