"""The table that `make gpu` writes."""

from __future__ import annotations

from tests.gpu.table import tables


def test_every_check_has_a_row_and_every_grid_a_table() -> None:
    checks = {
        "check_speed": {
            "outcome": "passed",
            "fps": 61.23456,
            "us": {"32": {"ours": 8.5, "theirs": 14.25}, "64": {"ours": 9}},
        },
        "check_engine": {"outcome": "skipped", "reason": "no tensorrt | here", "seconds": 0.1},
        "check_broken": {"outcome": "failed", "reason": "Traceback:\n  line\nAssertionError: 3 dB", "seconds": 2.0},
    }
    text = tables({"device": "Orin", "time": "2026-01-01 00:00:00", "checks": checks})
    assert text.startswith("Orin, 2026-01-01")
    assert "| speed | passed |  | fps 61.23 |" in text
    assert "| engine | skipped | 0.1 | no tensorrt \\| here |" in text
    assert "| broken | failed | 2.0 | AssertionError: 3 dB |" in text
    assert text.endswith("speed: us:\n\n| | ours | theirs |\n|---|---|---|\n| 32 | 8.5 | 14.25 |\n| 64 | 9 |  |\n")


def test_a_machine_without_gpu() -> None:
    assert tables({"device": None, "time": "now", "checks": {}}).startswith("no GPU, now")
