"""Summary: what a run measured, as a dictionary for machines and as text for people."""

from __future__ import annotations

from typing import Any

from runtime.measure.timing import Timing
from runtime.pipeline import Pipeline

STAGES = {
    "age": "frame age (capture to sink)",
    "capture": "  capture to our memory",
    "queue": "  waiting for the network",
    "inference": "  inference",
    "upload": "    upload (GPU)",
    "compute": "    network (GPU compute)",
    "download": "    download (GPU)",
    "handover": "  waiting for the outputs",
    "sink": "sink (compose, encode, write)",
    "interval": "between two frames out",
}
SCHEMA = 1


def summarize(pipeline: Pipeline, timing: Timing, about: dict[str, Any]) -> dict[str, Any]:
    """Everything a run measured; times in milliseconds, rates in frames a second. about: what was run."""
    stages = {name: getattr(timing.stages, name).summary() for name in STAGES}
    age = stages["age"]
    jitter = age["p99"] - age["p50"] if isinstance(age["p99"], float) else None
    return {
        "schema": SCHEMA,
        **about,
        "captured": pipeline.captured,
        "delivered": timing.delivered,
        "drops": pipeline.drops(),
        "fps": timing.fps,
        "ms": stages,
        "jitter_ms": {"p99_minus_p50": jitter, "interval_std": stages["interval"]["std"]},
        "percentile_rule": "nearest rank (ceil)" + ("" if timing.stages.age.exact else " over a uniform sample"),
        "warm_up": {
            "frames": timing.warm_up,
            "included": timing.warm_up_included,
            "first_frame_ms": timing.first_frame_ms,
            "first_out_ms": timing.first_out_ms,
        },
        "psnr": pipeline.quality.summary(),
    }


def summary_text(summary: dict[str, Any]) -> str:
    """The summary for people."""
    lines = [f"{name:8} {summary[name]}" for name in ("source", "model", "policy", "mode") if name in summary]
    lines += [f"{'outputs':8} {output}" for output in summary.get("outputs", [])]
    return "\n".join([*lines, *_counts(summary), *_table(summary), *_notes(summary)])


def _counts(summary: dict[str, Any]) -> list[str]:
    drops = ", ".join(f"{count} {cause.replace('_', ' ')}" for cause, count in summary["drops"].items() if count)
    counts = (
        f"{'frames':8} {summary['delivered']} delivered of {summary['captured']} captured; dropped: {drops or 'none'}"
    )
    fps = f"{summary['fps']:.2f} unique frames/s" if summary["fps"] else "too few frames to say"
    return [counts, *_hows(summary), f"{'output':8} {fps}"]


def _hows(summary: dict[str, Any]) -> list[str]:
    """How the frames came to be, where not all of them went through the network, and how it was steered."""
    by_how, steering = summary.get("by_how", {}), summary.get("steering", {})
    lines = []
    if set(by_how) - {"deblurred"}:
        kinds = ", ".join(f"{count} {how}" for how, count in by_how.items())
        lines.append(f"{'':8} of those that went out: {kinds}; held, blank and passthrough do not count as delivered")
    if "rung" in steering:
        lines.append(f"{'ladder':8} {steering['steps']} steps; at the end: {steering['rung']}")
    return lines


def _table(summary: dict[str, Any]) -> list[str]:
    columns = ("p50", "p90", "p95", "p99", "max", "mean", "std", "n")
    lines = ["", f"{'milliseconds':40}" + "".join(f"{column:>12}" for column in columns)]
    for name, title in STAGES.items():
        row = summary["ms"][name]
        if row["n"]:
            lines.append(f"{title:40}" + "".join(f"{_cell(row[column]):>12}" for column in columns))
        elif name == "capture":
            lines.append(f"{title:40}{'n/a (arrival-stamped)':>24}")
    return lines


def _cell(value: float | int | str | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _notes(summary: dict[str, Any]) -> list[str]:
    warm_up = summary["warm_up"]
    kept = "included above: the run was too short" if warm_up["included"] else "not in the table"
    lines = [
        f"percentiles by {summary['percentile_rule']}; no outlier removed",
        f"warm-up: {warm_up['frames']} frames, {kept}; first frame {warm_up['first_frame_ms']:.1f} ms, "
        f"{warm_up['first_out_ms'] / 1000:.2f} s after the start",
    ]
    if summary["psnr"]:
        psnr = summary["psnr"]
        lines.append(
            f"PSNR: {psnr['before_db']:.2f} dB before, {psnr['after_db']:.2f} dB after "
            f"(mean of {psnr['frames']} frames against their sharp originals)"
        )
    return lines
