"""Rows become one summary a method: what over frames is a mean, a median or a root mean square."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable

from training.evaluation.flicker import rms
from training.evaluation.rows import INPUT, Row

Summary = dict[str, float]

# A time is never too short by chance, only too long; RMS values add up as squares.
_OVER_FRAMES: dict[str, Callable[[list[float]], float]] = {"ms": statistics.median, "flicker": rms, "change": rms}


def by_method(rows: Iterable[Row]) -> dict[str, Summary]:
    """One summary a method, in the order of the rows.

    psnr, ssim, lpips: means; ms: median; flicker, change: RMS; each over the frames that have it. Beside them frames
    (their number), psnr_lowest, psnr_std (over the frames), gain (psnr over the input's) and unsteadiness (flicker over
    change) where there is what they are made of.
    """
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        values[row.method]["frames"].append(1)
        for key, value in row.values.items():
            values[row.method][key].append(value)
    found = {method: _summary(columns) for method, columns in values.items()}
    for method, summary in found.items():
        if method != INPUT and INPUT in found:
            summary["gain"] = summary["psnr"] - found[INPUT]["psnr"]
    return found


def by_sequence(rows: Iterable[Row]) -> dict[str, dict[str, Summary]]:
    """`by_method` of each video; a video of one frame is none."""
    videos: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.sequence:
            videos[row.sequence].append(row)
    found = {name: by_method(group) for name, group in videos.items()}
    return {name: methods for name, methods in found.items() if "flicker" in methods[INPUT]}


def _summary(columns: dict[str, list[float]]) -> Summary:
    summary = {key: _OVER_FRAMES.get(key, statistics.fmean)(values) for key, values in columns.items()}
    summary["frames"] = len(columns["frames"])
    if "psnr" in columns:
        summary["psnr_lowest"] = min(columns["psnr"])
        summary["psnr_std"] = statistics.pstdev(columns["psnr"])
    if summary.get("change") and "flicker" in summary:
        summary["unsteadiness"] = summary["flicker"] / summary["change"]
    return summary
