"""Lines that are told sparingly."""

from __future__ import annotations

import pytest

from runtime.live import sparingly
from runtime.live.sparingly import Sparingly


def test_lines_that_were_held_back_are_counted_and_the_newest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10**9]
    monkeypatch.setattr(sparingly, "now_ns", lambda: now[0])
    said: list[str] = []
    line = Sparingly(said.append, burst=2, every_s=10)
    for number in range(5):
        line.say(f"{number}")
    line.tick()
    assert said == ["0", "1"]
    now[0] += 11 * 10**9
    line.tick()
    line.tick()
    assert said[2:] == ["4 (lines left out before it: 2)"]
    now[0] += 1000 * 10**9
    for number in range(5, 9):
        line.say(f"{number}")
    assert said[3:] == ["5", "6"]  # a long silence saves up no more than one burst
