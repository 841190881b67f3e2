"""The lock of a build: one at a time, handed on however often, and nothing left behind."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.files import build_lock

HOLDERS, TURNS = 6, 300


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads change places at every few instructions, as processes on many cores do."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_many_take_turns(hasty_threads: None, tmp_path: Path) -> None:
    path, inside, done = tmp_path / ".m.engine.lock", [0], []

    def hold() -> None:
        for _ in range(TURNS):
            with build_lock(path):
                inside[0] += 1
                assert inside[0] == 1
                inside[0] -= 1
        done.append(True)

    threads = [threading.Thread(target=hold, daemon=True) for _ in range(HOLDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=15)
    assert len(done) == HOLDERS
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("look", [1, 2])
def test_a_file_that_vanishes_while_it_is_looked_at(look: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What other builds do between any two steps of ours: remove the file that they held."""
    path, looks, really = tmp_path / ".m.engine.lock", [0], Path.stat

    def stat(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        looks[0] += self == path
        if self == path and looks[0] == look:
            path.unlink()
        return really(self, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", stat)
    with build_lock(path):
        assert os.listdir(tmp_path) == [path.name]
    assert list(tmp_path.iterdir()) == []
