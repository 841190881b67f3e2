"""Figures that a verdict rests on, read from a report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

PRECISIONS = ("int8", "fp16", "fp32")

Report = Mapping[str, Any]


def shares(macs: Mapping[str, Any]) -> dict[str, float]:
    """Precision → its share of all multiply-accumulates, 0 to 1."""
    total = sum(macs[key] for key in PRECISIONS) or 1
    return {key: macs[key] / total for key in PRECISIONS}


def largest_drop(report: Report, precision: str, key: str = "drop_db") -> tuple[float, Report] | None:
    """dB that a precision loses on the set where that is most, and the set; None where it was not measured.

    key: "drop_db", in the mean of a set, or "worst_drop_db", on one frame.
    """
    found = [
        (float(row[key]), line)
        for line in report["quality"]
        for row in line["rows"]
        if row["precision"] == precision and row[key] is not None and math.isfinite(row[key])
    ]
    return max(found, key=lambda pair: pair[0], default=None)
