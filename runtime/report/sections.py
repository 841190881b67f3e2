"""Sections of a profile's page that are words and figures: the headline, the machine, what made the numbers."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import Element

from runtime.measure.profiles.profile_report import DEFINITIONS
from runtime.report.markup import Content, table, tag
from runtime.report.tables import facts_table, figure, layers_table

Report = Mapping[str, Any]


def headline(report: Report) -> Iterator[Element]:
    """What was run, the figures that people quote, and what to know before quoting them."""
    yield tag("h1", "Profile: ", tag("bdi", report["source"]))
    yield tag("p", tag("bdi", report["model"]))
    yield tag("p", tag("span", report["mode"], class_="mode"), " ", report["mode_means"] + ".")
    yield tag("div", *_tiles(report), class_="tiles")
    if report["interrupted"]:
        yield tag("p", tag("b", "Interrupted: this is what was measured until then."))
    if report["cautions"]:
        yield tag("ul", *(tag("li", caution) for caution in report["cautions"]), class_="cautions")


def layers_section(report: Report) -> Iterator[Element]:
    layers = report.get("layers")
    if layers:
        yield tag("h2", f"Layers: {len(layers)}")
        about = (
            "By the toolkit's own profiler, which waits after every layer: shares matter, their sum is more than a "
            f"frame takes ({sum(layer['ms'] for layer in layers):.3f} ms)."
        )
        yield tag("p", about, class_="faint")
        yield layers_table(layers)


def overhead_section(report: Report) -> Iterator[Element]:
    """The pipeline beside a bare loop, and what the profiler itself costs."""
    yield tag("h2", "What it costs around the network")
    speed, cost = report.get("speed"), report["profiler_cost"]
    if speed:
        rows: list[list[Content]] = [
            [str(number), f"{bare:.2f}", f"{ours:.2f}", f"{ratio:.3f}"]
            for number, (bare, ours, ratio) in enumerate(
                zip(speed["bare_fps"], speed["pipeline_fps"], speed["ratio"], strict=True), 1
            )
        ]
        yield table(["repeat", "bare loop, frames/s", "pipeline, frames/s", "ratio"], rows, (1, 2, 3))
        text = (
            f"Pipeline / bare loop around the network: median {speed['ratio_median']:.3f}, the fastest repeats "
            f"{speed['ratio_of_fastest']:.3f}. Processor time a frame, all threads: {speed['bare_cpu_ms']:.2f} ms, in "
            f"the pipeline {speed['pipeline_cpu_ms']:.2f} ms."
        )
        yield tag("p", text)
    if report.get("features"):
        yield from _features(report["features"])
    text = f"The profiler itself: taking down the stamps of a frame costs {cost['record_us']:.1f} µs"
    ratios = [ratio for ratio in cost["speed_ratio"] if ratio is not None]
    if ratios:
        text += (
            f"; {cost['measure']} recording, in turns: median {cost['speed_ratio_median']:.3f}, from {min(ratios):.3f} "
            f"to {max(ratios):.3f}"
        )
    yield tag("p", text + ".")


def _features(features: Report) -> Iterator[Element]:
    titles = {"pipeline": "all features off", "page": "the page, one viewer", "recording": "recording to mp4"}
    rows: list[list[Content]] = [
        [
            titles[name],
            f"{statistics.median(features['fps'][name]):.2f}",
            f"{row['ratio_median']:.3f}",
            f"{min(row['ratio']):.3f} to {max(row['ratio']):.3f}",
            f"{row['ratio_of_fastest']:.3f}",
            f"{row['cpu_ratio_median']:.3f}",
        ]
        for name, row in features["ways"].items()
    ]
    head = ["pipeline with", "frames/s", "beside the bare loop", "rounds from", "fastest rounds", "processor time"]
    yield table(head, rows, (1, 2, 3, 4, 5))


def machine_section(report: Report) -> Iterator[Element]:
    """Heat, clocks, power and throttling over the run; n/a with the reason where nothing is readable."""
    yield tag("h2", "The machine meanwhile")
    unreadable = report["unreadable"]
    temperatures, clocks, power = report["temperatures_c"], report["clocks_mhz"], report["power"]
    rows: list[list[Content]] = [
        [f"{place}, °C", _one(temperatures["start"].get(place)), _one(celsius), ""]
        for place, celsius in temperatures["end"].items()
    ]
    rows += [
        [f"{name} clock, MHz", _whole(clocks["start"].get(name)), _whole(mhz), _whole(clocks["least"].get(name))]
        for name, mhz in clocks["end"].items()
    ]
    if rows:
        yield table(["", "at the start", "at the end", "least"], rows, (1, 2, 3))
    facts: dict[str, Content] = {
        "temperatures": "as above" if temperatures["end"] else _not(unreadable, "temperatures"),
        "mean power": _not(unreadable, "watts")
        if power["watts_mean"] is None
        else f"{power['watts_mean']:.2f} W ({power['watts_of']}), {power['joules_per_frame']:.4f} J/frame",
        "throttling": _throttling(report),
        "processor": _processor(report),
        "start-up": ", ".join(f"{name}: {seconds:.3f} s" for name, seconds in report.get("start_up_s", {}).items())
        or "n/a (not measured)",
    }
    if report.get("memory"):
        memory = report["memory"]
        facts["memory"] = (
            f"{memory['after_tenth_mib']:.1f} MiB after a tenth of {memory['frames']} frames, "
            f"{memory['growth_mib']:+.1f} MiB at the most after that"
        )
    yield facts_table(facts)


def header_section(report: Report) -> Iterator[Element]:
    """Everything that changes a number."""
    yield tag("h2", "Measured on and with")
    header = report["header"]
    reasons = header["unreadable"]
    rows: dict[str, Content] = {}
    for name, value in header.items():
        if name in ("unreadable", "versions", "size"):  # the shape says it
            continue
        words = f"n/a ({reasons[name]})" if name in reasons else "none" if value is None else _plain(value)
        rows[name.replace("_", " ")] = tag("bdi", words)
    rows["versions"] = ", ".join(f"{name} {version}" for name, version in header["versions"].items())
    names = list(rows)
    half = -(-len(names) // 2)
    columns = ({name: rows[name] for name in part} for part in (names[:half], names[half:]))
    yield tag("div", *map(facts_table, columns), class_="pairs")


def _tiles(report: Report) -> Iterator[Element]:
    age, fps, spread = report["ms"]["age"], report["fps"], report["spread"]
    rated = f"{fps['output']:.2f}" if fps["output"] else "n/a"
    # What the mode is about comes first: back to back, a frame's age is mostly the queue before the network.
    heads = [
        (f"{age['p50']:.1f}", "ms", "pipeline latency, p50", _spread(spread.get("age_p50"), "ms")),
        (rated, "/s", "output FPS, unique frames", _spread(spread.get("fps"), "")),
    ]
    first, second = heads if report["mode"] == "paced" else heads[::-1]
    yield _tile(*first, class_="tile headline")
    yield _tile(*second)
    tail = next((name for name in ("p99", "p95") if isinstance(age.get(name), float)), "max")
    yield _tile(f"{age[tail]:.1f}", "ms", f"pipeline latency, {tail}", f"max {age['max']:.1f} ms, n {age['n']}")
    if fps["capacity"]:
        slowest = DEFINITIONS[fps["bottleneck"]][0]
        yield _tile(f"{fps['capacity']:.2f}", "/s", "capacity (not a frame rate)", f"by the mean of {slowest}")
    yield _deadline_tile(report["deadline"])
    jitter = report["jitter_ms"]
    std = "n/a" if jitter["interval_std"] is None else f"{jitter['interval_std']:.2f}"
    p99 = "n too small" if jitter["p99_minus_p50"] is None else f"{jitter['p99_minus_p50']:.2f} ms"
    yield _tile(std, "ms", "jitter, std of the interval", f"p99 - p50 of latency: {p99}")
    if psnr := report.get("psnr"):
        gain = psnr["after_db"] - psnr["before_db"]
        text = f"{psnr['before_db']:.2f} → {psnr['after_db']:.2f} dB, {psnr['frames']} frames"
        yield _tile(f"{gain:+.2f}", "dB", "PSNR gained", text)
    power = report["power"]
    if power["watts_mean"] is not None:
        yield _tile(f"{power['watts_mean']:.1f}", "W", power["watts_of"], f"{power['joules_per_frame']:.3f} J/frame")
    warm_up = report["warm_up"]
    yield _tile(
        f"{warm_up['first_out_ms'] / 1000:.2f}",
        "s",
        "to the first frame, cold",
        f"model {warm_up['load_s']:.2f} s, first inference {warm_up['first_frame_ms']:.1f} ms",
    )


def _deadline_tile(deadline: Report) -> Element:
    if deadline["share"] is None:
        return _tile("n/a", "", "deadline misses", deadline.get("why", "no frame was measured"))
    return _tile(f"{100 * deadline['share']:.1f}", "%", "deadline misses", f"budget {deadline['budget_ms']:.1f} ms")


def _tile(value: str, unit: str, title: str, below: str, class_: str = "tile") -> Element:
    number = tag("b", value, " ", tag("small", unit))
    return tag("div", number, tag("span", title), tag("span", below), class_=class_)


def _spread(row: Report | None, unit: str) -> str:
    return f"repeats {row['least']:.1f} to {row['most']:.1f} {unit}" if row else "one repeat: no spread"


def _throttling(report: Report) -> str:
    seen, events = report["throttling"]["seen"], report["throttling"]["events"]
    counted = [f"{count} x {cause}" for cause, count in events.items() if count]
    if seen is None and not counted:
        return _not(report["unreadable"], "throttling")
    return ", ".join([*(seen or []), *counted]) or "none seen"


def _processor(report: Report) -> str:
    shares = report["processor"]
    if not shares:
        return "n/a (/proc/stat does not say)"
    return f"{100 * shares['others']:.0f} % taken by other programs, {100 * shares['stolen']:.0f} % by other machines"


def _not(unreadable: Mapping[str, str], name: str) -> str:
    return f"n/a ({unreadable.get(name, 'not readable here')})"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def _one(value: float | None) -> str:
    return figure(None) if value is None else f"{value:.1f}"


def _whole(value: float | None) -> str:
    return figure(None) if value is None else f"{value:.0f}"
