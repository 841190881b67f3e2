"""Tables of a profile's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from runtime.measure.profiles.profile_report import DEFINITIONS
from runtime.report.markup import DASH, Content, table, tag

PARTS = ("upload", "compute", "download")  # of the inference
Report = Mapping[str, Any]


def stages_table(report: Report) -> Element:
    """One row a stage, one column a percentile."""
    columns = [key for key in report["ms"]["age"] if key.startswith("p")] + ["max", "mean", "std", "n"]
    rows: list[list[Content]] = []
    for name, (title, _) in DEFINITIONS.items():
        row = report["ms"][name]
        key = tag("span", title, class_=f"key {name}{' sub' if name in PARTS else ''}")
        if row["n"]:
            rows.append([key, *(figure(row[column]) for column in columns)])
        else:
            why = "n/a (arrival-stamped)" if name == "capture" else "n/a (no GPU times)"
            rows.append([key, *[DASH] * (len(columns) - 1), why])
    return table(["stage", *columns], rows, range(1, len(columns) + 1))


def drops_table(frames: Report) -> Element:
    """Causes that there were with their counts as bars; other ways out beside them."""
    dropped = {cause.replace("_", " "): count for cause, count in frames["drops"].items() if count}
    most = max([*dropped.values(), 1])
    rows: list[list[Content]] = [[cause, str(count), _bar(count / most, "drop")] for cause, count in dropped.items()]
    others = {how: count for how, count in frames["by_how"].items() if how != "deblurred"}
    rows += [[f"delivered as {how}", str(count), ""] for how, count in others.items()]
    return _with_bars(["cause", "frames", ""], rows)


def layers_table(layers: list[dict[str, Any]]) -> Element:
    """Every layer in the order they run, with its share of all their times."""
    total = sum(layer["ms"] for layer in layers) or 1.0
    most = max(layer["ms"] for layer in layers) or 1.0
    rows: list[list[Content]] = [
        [
            tag("bdi", layer["name"]),
            str(layer.get("type") or DASH),
            str(layer.get("precision") or DASH),
            f"{layer['ms']:.4f}",
            f"{100 * layer['ms'] / total:.1f} %",
            _bar(layer["ms"] / most, "plain"),
        ]
        for layer in layers
    ]
    made = table(["layer", "type", "precision", "ms", "share", ""], rows, (3, 4), class_="scroll tall")
    return _mark_bars(made)


def facts_table(rows: Mapping[str, Content]) -> Element:
    """Names and what they are."""
    body = tag("tbody", *(tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in rows.items()))
    return tag("table", body)


def figure(value: float | int | str | None) -> str:
    if value is None:
        return DASH
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _bar(share: float, class_: str) -> Content:
    return tag("span", class_=f"bar {class_}", style=f"width: {100 * share:.2f}%") if share > 0 else ""


def _with_bars(head: list[str], rows: list[list[Content]]) -> Element:
    return _mark_bars(table(head, rows, (1,)))


def _mark_bars(made: Element) -> Element:
    """The last column is for bars."""
    for row in made.iter("tr"):
        row[-1].set("class", "bars")
    return made
