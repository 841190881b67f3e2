"""The report of a profile for people, in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runtime.measure.profiles.profile_report import DEFINITIONS

Report = Mapping[str, Any]
INDENTED = ("capture", "queue", "inference", "handover")  # parts of the frame age, one after the other
INSIDE = ("upload", "compute", "download")  # parts of the inference
CUDA_EVENTS = {"upload": "upload", "compute": "network (GPU compute)", "download": "download"}
HEADER = (
    ("device", "device"),
    ("cpu", "CPU"),
    ("cores", "cores"),
    ("gpu", "GPU"),
    ("driver", "driver"),
    ("power_mode", "power mode"),
    ("governor", "governor"),
    ("clocks_locked", "clocks locked"),
    ("model_file", "model file"),
    ("precision", "precision"),
    ("engine_key", "engine key"),
    ("shape", "shape"),
    ("in_flight", "in flight"),
    ("threads", "threads"),
    ("copies", "copies"),
    ("policy", "policy"),
    ("load_average", "load average"),
)


def report_text(report: Report) -> str:
    """Everything that fits a screen; the page has the rest."""
    parts = (_head, _speed_now, _table, _repeats, _warm_up, _machine, _cost, _overhead, _features, _rest)
    return "\n".join(line for part in parts for line in part(report))


def _head(report: Report) -> Iterator[str]:
    yield f"source   {report['source']}"
    yield f"model    {report['model']}"
    yield f"mode     {report['mode']}: {report['mode_means']}"
    header = report["header"]
    known = [f"{title} {_plain(header[key])}" for key, title in HEADER if header[key] is not None]
    yield from _wrapped("machine", known)
    unknown = [title for key, title in HEADER if header[key] is None]
    if unknown:
        yield f"n/a      {', '.join(unknown)} (why: --json, header.unreadable)"


def _speed_now(report: Report) -> Iterator[str]:
    fps, frames, deadline = report["fps"], report["frames"], report["deadline"]
    yield ""
    output = f"{fps['output']:.2f} unique frames/s" if fps["output"] else "too few frames to say"
    yield f"output   {output}"
    if fps["capacity"]:
        yield f"capacity {fps['capacity']:.2f}/s by the mean of the slowest stage, {DEFINITIONS[fps['bottleneck']][0]}"
    drops = ", ".join(f"{count} {cause.replace('_', ' ')}" for cause, count in frames["drops"].items() if count)
    yield f"frames   {frames['delivered']} delivered of {frames['captured']} captured; dropped: {drops or 'none'}"
    others = {how: count for how, count in frames["by_how"].items() if how != "deblurred"}
    if others:
        yield "         of these " + ", ".join(f"{count} {how}" for how, count in others.items())
    if deadline["share"] is None:
        yield f"deadline n/a ({deadline.get('why', 'no frame was measured')})"
    else:
        yield (
            f"deadline {deadline['missed']} of {report['ms']['age']['n']} frames "
            f"({100 * deadline['share']:.1f} %) were older than {deadline['budget_ms']:.1f} ms"
        )


def _table(report: Report) -> Iterator[str]:
    columns = [key for key in report["ms"]["age"] if key.startswith("p")] + ["max", "mean", "std", "n"]
    yield ""
    yield f"{'milliseconds':38}" + "".join(f"{column:>13}" for column in columns)
    for name, (title, _) in DEFINITIONS.items():
        row = report["ms"][name]
        title = "  " * (name in INDENTED) + "    " * (name in INSIDE) + title
        if row["n"]:
            yield f"{title:38}" + "".join(f"{_number(row[column]):>13}" for column in columns)
        else:
            yield f"{title:38}{'n/a (arrival-stamped)' if name == 'capture' else 'n/a (no GPU times)':>26}"
    jitter = report["jitter_ms"]
    yield (
        f"jitter: p99 - p50 of the pipeline latency {_number(jitter['p99_minus_p50'])} ms, "
        f"std of the output interval {_number(jitter['interval_std'])} ms"
    )
    yield f"percentiles by {report['percentile_rule']}"


def _repeats(report: Report) -> Iterator[str]:
    spread, count = report["spread"], len(report["repeats"])
    for name, title, unit in (
        ("fps", "unique frames/s", ""),
        ("age_p50", "pipeline latency p50", " ms"),
        ("inference_p50", "inference latency p50", " ms"),
    ):
        if name in spread:
            row = spread[name]
            yield (
                f"{title} over {count} repeats: median {row['median']:.2f}{unit}, "
                f"from {row['least']:.2f} to {row['most']:.2f}"
            )


def _warm_up(report: Report) -> Iterator[str]:
    warm_up = report["warm_up"]
    kept = "included above: the run was too short" if warm_up["included"] else "not in the table"
    yield (
        f"warm-up: {warm_up['frames']} frames, {warm_up['ms']:.0f} ms, {kept}; clocks {warm_up['clocks']}; first frame "
        f"{warm_up['first_frame_ms']:.1f} ms, out {warm_up['first_out_ms'] / 1000:.2f} s after the start, of which the "
        f"model took {warm_up['load_s']:.2f} s to load"
    )


def _machine(report: Report) -> Iterator[str]:
    power, unreadable = report["power"], report["unreadable"]
    if power["watts_mean"] is None:
        yield f"power: n/a ({unreadable.get('watts', 'not readable')})"
    else:
        yield (
            f"power: {power['watts_mean']:.2f} W in the mean ({power['watts_of']}), "
            f"{power['joules_per_frame']:.3f} J/frame"
        )
    temperatures = report["temperatures_c"]
    hottest = [_hottest(temperatures[when]) for when in ("start", "end")]
    yield f"heat: {' → '.join(hottest)}" if all(hottest) else f"heat: n/a ({unreadable.get('temperatures')})"
    seen, events = report["throttling"]["seen"], report["throttling"]["events"]
    counted = ", ".join(f"{count} x {cause}" for cause, count in events.items() if count)
    if seen is None and not counted:
        yield f"throttling: n/a ({unreadable.get('throttling')})"
    else:
        yield f"throttling: {', '.join(filter(None, [*(seen or []), counted])) or 'none seen'}"


def _cost(report: Report) -> Iterator[str]:
    cost = report["profiler_cost"]
    text = f"profiler: taking down a frame's stamps costs {cost['record_us']:.1f} µs"
    ratios = [ratio for ratio in cost["speed_ratio"] if ratio is not None]
    if ratios:
        text += (
            f"; {cost['measure']} recording, in turns: median {cost['speed_ratio_median']:.3f}, "
            f"from {min(ratios):.3f} to {max(ratios):.3f}"
        )
    yield text


def _overhead(report: Report) -> Iterator[str]:
    speed = report.get("speed")
    if speed:
        yield ""
        yield f"{'repeat':>8}{'bare loop':>14}{'pipeline':>14}{'ratio':>10}   frames/s, {speed['frames']} frames each"
        rows = zip(speed["bare_fps"], speed["pipeline_fps"], speed["ratio"], strict=True)
        for number, row in enumerate(rows, 1):
            yield f"{number:>8}{row[0]:>14.2f}{row[1]:>14.2f}{row[2]:>10.3f}"
        low, high = min(speed["ratio"]), max(speed["ratio"])
        yield (
            f"pipeline / bare loop: median {speed['ratio_median']:.3f}, from {low:.3f} to {high:.3f}; "
            f"the fastest repeats {speed['ratio_of_fastest']:.3f}"
        )
        yield (
            f"processor time a frame, all threads: bare loop {speed['bare_cpu_ms']:.2f} ms, "
            f"pipeline {speed['pipeline_cpu_ms']:.2f} ms"
        )


def _features(report: Report) -> Iterator[str]:
    if report.get("features"):
        from runtime.measure.profiles.features import features_text

        yield ""
        yield from features_text(report["features"])
        yield ""


def _rest(report: Report) -> Iterator[str]:
    for name, title in CUDA_EVENTS.items():
        row = report["gpu_ms"][name]
        if row["n"]:
            yield f"{title}, ms by CUDA events: p50 {row['p50']:.3f}, p95 {row.get('p95') or row['max']:.3f}, " + (
                f"max {row['max']:.3f}"
            )
    if psnr := report.get("psnr"):
        yield (
            f"PSNR: {psnr['before_db']:.2f} dB before, {psnr['after_db']:.2f} dB after "
            f"({psnr['frames']} frames of {psnr['of']})"
        )
    yield from (f"{name}: {seconds:.3f} s" for name, seconds in report.get("start_up_s", {}).items())
    if memory := report.get("memory"):
        yield (
            f"memory over {memory['frames']} frames: {memory['after_tenth_mib']:.1f} MiB after a tenth of them, "
            f"{memory['growth_mib']:+.1f} MiB at the most after that"
        )
    yield from (f"caution: {caution}" for caution in report["cautions"])
    if report["interrupted"]:
        yield "interrupted: this is what was measured until then"


def _hottest(celsius: Mapping[str, float]) -> str:
    place = max(celsius, key=lambda name: celsius[name], default=None)
    return f"{celsius[place]:.0f} °C ({place})" if place is not None else ""


def _number(value: float | int | str | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _plain(value: object) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _wrapped(name: str, words: list[str], width: int = 110) -> Iterator[str]:
    line = f"{name:8} "
    for place, word in enumerate(words):
        piece = word + (", " if place + 1 < len(words) else "")
        if len(line) + len(piece) > width and line.strip() not in ("", name):
            yield line.rstrip()
            line = " " * 9
        line += piece
    yield line.rstrip()
