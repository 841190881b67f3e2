"""The first part of the report's page, what a decision rests on: the verdict, quality, the share of INT8."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import Element

from calibration.measure.quality import ASSUMED_DB
from calibration.report.charts import shares_bar
from calibration.report.figures import largest_drop, shares
from calibration.report.refusal import refusal
from calibration.report.tables import counted, precision, quality_table
from runtime.report.markup import DASH, Content, number, tag

Report = Mapping[str, Any]


def headline(report: Report) -> Iterator[Element]:
    """Whether the graph may be used, and the figures that say so."""
    verdict = "passed" if report["passed"] else "refused"
    yield tag("h1", tag("bdi", report["output"]), " ", tag("span", verdict, class_=f"verdict {verdict}"))
    yield tag("p", f"{report['precision'].upper()} graph of ", tag("bdi", report["model"]), class_="faint")
    mean, of_mean = _largest_drop(report, "drop_db")
    worst, of_worst = _largest_drop(report, "worst_drop_db")
    tiles = [
        _tile(f"{mean} dB", "lost in the mean", *of_mean),
        _tile(f"{report['budget_db']:g} dB", "allowed"),
        _tile(f"{worst} dB", "lost on the worst frame", *of_worst),
        _tile(counted(len(report["half"]), "node"), "with values that FP16 cannot hold: FP32"),
    ]
    if report["precision"] == "int8":
        tiles.insert(-1, _tile(f"{shares(report['macs'])['int8']:.1%}", "of multiply-accumulates in INT8"))
    yield tag("div", *tiles, class_="tiles")
    if not report["passed"]:
        reason = refusal(report)
        yield tag("p", f"{reason[0].upper()}{reason[1:]}.")


def _tile(figure: str, *meaning: Content) -> Element:
    return tag("div", tag("b", figure), tag("span", *meaning), class_="tile")


def _largest_drop(report: Report, key: str) -> tuple[str, list[Content]]:
    """The graph's largest drop over all sets, and the words that name the set; a dash where none was measured."""
    found = largest_drop(report, report["precision"], key)
    if found is None:
        return DASH, []
    value, line = found
    return number(value, ".3f"), [
        ", ",
        tag("bdi", line["set"]),
        "" if line["truth"] else " (estimated: no sharp frames)",
    ]


def quality(report: Report) -> Iterator[Element]:
    """What each precision reaches on each set, and how far the figures can be trusted."""
    notes = [
        "PSNR and SSIM are against the sharp frames; a drop is what is lost of FP32's PSNR, positive where the graph "
        "is worse. In FP16 and INT8 the rounding to FP16 is computed, not left to the machine that measured."
    ]
    if not all(line["truth"] for line in report["quality"]):
        notes.append(
            "(estimated): this set has no sharp frames. The drop is worked out from the distance to FP32, as if FP32 "
            f"were {ASSUMED_DB:g} dB from the sharp frames and the graph's error independent of FP32's."
        )
    notes.append(_held_out(report["frames"]))
    if report["evaluations"]:
        notes.append("The search measured on crops of these very frames, so the figures may flatter what it chose.")
    yield tag("h2", "Quality")
    yield quality_table(report["quality"])
    yield from (tag("p", note, class_="faint") for note in notes)


def _held_out(frames: Mapping[str, Any]) -> str:
    if frames["held_out"] is None:
        return "The sets were given apart; whether frames of theirs were also calibrated on is not checked."
    if frames["held_out"]:
        return "Held out: none of them is a calibration frame; whether two show the same picture is not checked."
    return "There were too few frames to hold any out: these were calibrated on, and the figures flatter."


def compute(macs: Mapping[str, Any]) -> Iterator[Element]:
    """How much of the network's work is done in which precision."""
    height, width = macs["size"]
    parts = shares(macs)
    yield tag("h2", "Multiply-accumulates by precision")
    yield shares_bar(list(parts.items()), ", ".join(f"{key.upper()} {share:.1%}" for key, share in parts.items()))
    legend = (tag("span", precision(key), f" {macs[key] / 1e9:.2f} G, {share:.1%}") for key, share in parts.items())
    yield tag("div", *legend, class_="legend")
    yield tag("p", f"For a frame of {height}x{width} (height x width).", class_="faint")
