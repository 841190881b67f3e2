"""Mailbox: hands items from one thread to the next; the newest wins (live) or the giver waits (files)."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from runtime.stop import POLL_S, Stop

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """A first-in first-out queue of `slots` items.

    latest=True: `put` never waits; a full box loses its oldest item, which counts as superseded if `counts` says so.
    latest=False: `put` waits for room; nothing is lost.
    """

    def __init__(self, slots: int, latest: bool, counts: Callable[[Item], bool] = lambda item: True) -> None:
        if slots < 1:
            raise ValueError(f"a mailbox needs at least one slot, not {slots}")
        self.superseded = 0
        self._slots = slots
        self._latest = latest
        self._counts = counts
        self._items: deque[Item] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: Item, stop: Stop) -> bool:
        """Add an item; False if the box was closed or `stop` set before there was room."""
        with self._changed:
            while not self._latest and len(self._items) >= self._slots and not self._closed and not stop.is_set():
                self._changed.wait(POLL_S)
            if self._closed or stop.is_set():
                return False
            if len(self._items) >= self._slots:
                self.superseded += self._counts(self._items.popleft())
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self, stop: Stop) -> Item | None:
        """The oldest item; None when `stop` is set, or when the box is closed and empty."""
        with self._changed:
            while not self._items and not self._closed and not stop.is_set():
                self._changed.wait(POLL_S)
            if stop.is_set() or not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """No more items come: waiting givers give up, takers get what is left and then None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        with self._changed:
            return len(self._items)
