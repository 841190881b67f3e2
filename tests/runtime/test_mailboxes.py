"""The mailbox: order, what is lost and counted, and that every wait ends."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.mailboxes import Mailbox
from runtime.stop import Stop


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 4))
def test_latest_keeps_the_newest_in_order_and_counts_the_rest(puts: list[bool], slots: int) -> None:
    box: Mailbox[int] = Mailbox(slots, latest=True)
    stop, given_in, taken = Stop(), 0, []
    for put in puts:
        if put:
            assert box.put(given_in, stop)
            given_in += 1
        elif len(box) and (item := box.get(stop)) is not None:
            taken.append(item)
    box.close()
    while (item := box.get(stop)) is not None:
        taken.append(item)
    assert taken == sorted(set(taken))
    assert given_in == len(taken) + box.superseded
    assert not given_in or taken[-1] == given_in - 1


@given(st.lists(st.integers(), max_size=50), st.integers(1, 3))
def test_without_latest_every_item_arrives_in_order(items: list[int], slots: int) -> None:
    box: Mailbox[int] = Mailbox(slots, latest=False)
    stop = Stop()

    def put_all() -> None:
        for item in items:
            assert box.put(item, stop)
        box.close()

    giver = threading.Thread(target=put_all)
    giver.start()
    taken = []
    while (item := box.get(stop)) is not None:
        taken.append(item)
    giver.join(5)
    assert taken == items
    assert box.superseded == 0


@pytest.mark.parametrize("end", ["stop", "close"])
@pytest.mark.parametrize("wait", ["put", "get"])
def test_a_wait_ends(end: str, wait: str) -> None:
    box: Mailbox[int] = Mailbox(1, latest=False)
    stop = Stop()
    results: list[object] = []
    if wait == "put":
        box.put(1, stop)
        waiter = threading.Thread(target=lambda: results.append(box.put(2, stop)))
    else:
        waiter = threading.Thread(target=lambda: results.append(box.get(stop)))
    waiter.start()
    time.sleep(0.05)
    stop.set() if end == "stop" else box.close()
    waiter.join(1)
    assert not waiter.is_alive()
    assert results == [False if wait == "put" else None]


def test_what_is_left_at_close_can_still_be_taken() -> None:
    box: Mailbox[int] = Mailbox(2, latest=False)
    stop = Stop()
    box.put(1, stop)
    box.put(2, stop)
    box.close()
    assert not box.put(3, stop)
    assert [box.get(stop), box.get(stop), box.get(stop)] == [1, 2, None]


def test_a_mailbox_needs_a_slot() -> None:
    with pytest.raises(ValueError, match="at least one slot"):
        Mailbox(0, latest=True)


def test_a_child_stop_leaves_its_parent_alone() -> None:
    parent = Stop()
    child = Stop(parent)
    child.set()
    assert child.is_set()
    assert not parent.is_set()
    other = Stop(parent)
    parent.set()
    assert other.is_set()
    assert other.wait_until(time.monotonic_ns() + 10**10)
