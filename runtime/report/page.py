"""The report of a profile as one page that needs nothing else: who reads it has the numbers and what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import Element

from runtime.measure.profiles.profile_report import ALSO_DEFINED, DEFINITIONS, POINTS_ARE
from runtime.measure.profiles.stamps import Stamps
from runtime.report import charts, stacks
from runtime.report.markup import html_text, tag
from runtime.report.sections import header_section, headline, layers_section, machine_section, overhead_section
from runtime.report.style import STYLE
from runtime.report.tables import drops_table, stages_table

# Nothing is loaded and nothing runs, whatever the name of a file holds.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
LEGEND = {
    "capture": "capture delay",
    "queue": "queue wait",
    "upload": "pre (upload)",
    "compute": "network",
    "download": "post (download)",
    "inference": "inference",
    "handover": "output wait",
}

Report = Mapping[str, Any]


def report_page(report: Report, stamps: Stamps) -> str:
    """One HTML document. stamps: of every recorded frame, the warm-up included; at least one of them unique."""
    sections = (
        headline(report),
        _over_time(report, stamps),
        _distribution(report, stamps),
        _stages(report, stamps),
        _repeats(report),
        _drops(report),
        layers_section(report),
        overhead_section(report),
        machine_section(report),
        header_section(report),
        _definitions(report),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"edgedeblur profile: {report['source']}"),
        tag("style", STYLE),
    )
    body = tag("body", *(element for section in sections for element in section))
    return html_text(tag("html", head, body, lang="en"))


def _measured(report: Report, stamps: Stamps) -> Stamps:
    return stamps.unique if report["warm_up"]["included"] else stamps.measured


def _over_time(report: Report, stamps: Stamps) -> Iterator[Element]:
    yield tag("h2", "Latency over time")
    about = "Every recorded frame. Gaps are blocks in which nothing was recorded, to see what recording costs."
    yield tag("p", about, class_="faint")
    yield _legend({"age": "pipeline latency (frame age)", "inference": "inference latency"})
    budget_ms = report["deadline"]["budget_ms"]
    yield tag("div", charts.latency_over_time(stamps, budget_ms), class_="scroll")


def _distribution(report: Report, stamps: Stamps) -> Iterator[Element]:
    age = _measured(report, stamps).stages_ms()["age"]
    yield tag("h2", "How the latency is spread")
    yield tag("div", charts.histogram(age), charts.cumulative(age), class_="pairs")


def _stages(report: Report, stamps: Stamps) -> Iterator[Element]:
    measured = _measured(report, stamps)
    yield tag("h2", "What the latency is made of")
    names = stacks.parts_of(measured).names
    yield _legend({name: LEGEND[name] for name in names})
    yield tag("h3", "Frames around each percentile of the pipeline latency")
    yield tag("div", stacks.stack_by_percentile(measured), class_="scroll")
    yield tag("h3", "Over time, means")
    yield tag("div", stacks.stack_over_time(stamps), class_="scroll")
    yield tag("h3", "All stages, milliseconds")
    yield stages_table(report)
    yield tag("p", f"Percentiles: {report['percentile_rule']}.", class_="faint")


def _repeats(report: Report) -> Iterator[Element]:
    repeats = report["repeats"]
    if not repeats:
        return
    yield tag("h2", f"Repeats: {len(repeats)}")
    yield tag("p", "Two runs differ only if they differ by more than these do: edgedeblur compare.", class_="faint")
    ages = [repeat["ms"]["age"]["p50"] for repeat in repeats]
    rates = [repeat["fps"] for repeat in repeats]
    drawn = [
        charts.repeats_strip(values, unit)
        for values, unit in ((ages, "latency p50, ms"), (rates, "unique frames/s"))
        if None not in values
    ]
    yield tag("div", *drawn, class_="pairs")


def _drops(report: Report) -> Iterator[Element]:
    frames = report["frames"]
    yield tag("h2", "Frames that did not come out")
    text = f"{frames['delivered']} unique frames delivered of {frames['captured']} captured, over the whole run."
    yield tag("p", text, class_="faint")
    if any(frames["drops"].values()) or set(frames["by_how"]) - {"deblurred"}:
        yield drops_table(frames)
    none = [cause.replace("_", " ") for cause, count in frames["drops"].items() if not count]
    yield tag("p", f"None for: {', '.join(none)}.", class_="faint")


def _definitions(report: Report) -> Iterator[Element]:
    yield tag("h2", "What the numbers mean")
    yield tag("p", f"One clock, CLOCK_MONOTONIC; every frame passes: {POINTS_ARE}.", class_="faint")
    rows = [(title, meaning) for title, meaning in DEFINITIONS.values()] + list(ALSO_DEFINED.items())
    body = tag("tbody", *(tag("tr", tag("th", name, scope="row"), tag("td", meaning)) for name, meaning in rows))
    yield tag("table", body)


def _legend(entries: Mapping[str, str]) -> Element:
    return tag("div", *(tag("span", text, class_=f"key {name}") for name, text in entries.items()), class_="legend")
