"""The report of a calibration as one page, for who ships the graph and for who reviews it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

from calibration.report.charts import settling_line
from calibration.report.crops import amplified_difference, data_uri, worst_region
from calibration.report.style import STYLE
from calibration.report.tables import counted, decibels, frames_table, layers_table, measured, nodes_table
from calibration.report.verdict import compute, headline, quality
from runtime.frame import Image
from runtime.report.markup import Content, html_text, number, tag

SIDE = 128  # pixels: the side of a crop; four of them, each twice as large, fit beside each other
ENLARGED = 2
AMPLIFIED = 16
# Nothing is loaded and nothing runs, whatever the name of a file holds.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

Report = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class WorstFrame:
    """A frame on which the graph did worst; pictures are whole, (H, W, 3) uint8 BGR of one shape."""

    set_name: str
    name: str
    drop_db: float
    psnr_to_fp32: float
    fp32: Image
    found: Image  # the quantised graph's output
    sharp: Image | None


def report_page(report: Report, worst: Sequence[WorstFrame]) -> str:
    """One HTML document that needs nothing else; the same for the same report and frames. Schema: `report_bytes`."""
    sections = (
        headline(report),
        quality(report),
        compute(report["macs"]),
        _layers(report),
        _worst(worst, report["precision"].upper()),
        _frames(report["frames"]),
        _nodes(report["half"]),
        _made(report),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{report['output']}: calibration"),
        tag("style", STYLE),
    )
    body = tag("body", *(element for section in sections for element in section))
    return html_text(tag("html", head, body, lang="en"))


def _layers(report: Report) -> Iterator[Element]:
    layers = report["layers"]
    if not layers:
        return
    known = sum(measured(layer) is not None for layer in layers)
    yield tag("h2", "Layers")
    yield tag(
        "p",
        f"Cost: PSNR lost with this layer alone in INT8, measured for {known} of {counted(len(layers), 'layer')}. "
        f"Range: the largest magnitude of its input that is represented (method: {report['method']}). "
        f"Bias corrected in {counted(report['bias_corrected'], 'layer')}; {counted(report['evaluations'], 'graph')} "
        "measured by the search.",
        class_="faint",
    )
    yield layers_table(layers)


def _worst(frames: Sequence[WorstFrame], name: str) -> Iterator[Element]:
    if not frames:
        return
    yield tag("h2", "Worst frames")
    yield tag(
        "p",
        f"The {SIDE}x{SIDE} pixels in which {name} and FP32 differ most, {ENLARGED} times as large and not smoothed. "
        f"Difference: {name} - FP32, amplified {AMPLIFIED} times around mid grey.",
        class_="faint",
    )
    for frame in frames:
        yield from _pictures(frame, name)


def _pictures(frame: WorstFrame, name: str) -> Iterator[Element]:
    region = worst_region(frame.found, frame.fp32, SIDE)
    rows, columns = region
    fp32, found = frame.fp32[region], frame.found[region]
    crops = [("FP32", fp32), (name, found), (f"difference x {AMPLIFIED}", amplified_difference(found, fp32, AMPLIFIED))]
    if frame.sharp is not None:
        crops.append(("sharp", frame.sharp[region]))
    height, width = frame.fp32.shape[:2]
    yield tag("h3", tag("bdi", frame.set_name), ", ", tag("bdi", frame.name))
    yield tag(
        "p",
        f"{number(frame.drop_db, '.3f')} dB lost{'' if frame.sharp is not None else ' (estimated: no sharp frame)'}; "
        f"PSNR to FP32: {decibels(frame.psnr_to_fp32)}; "
        f"rows {rows.start} to {rows.stop - 1}, columns {columns.start} to {columns.stop - 1} of {height}x{width}",
        class_="faint",
    )
    yield tag("div", *(_figure(*crop) for crop in crops), class_="crops")


def _figure(caption: str, crop: Image) -> Element:
    height, width = (ENLARGED * side for side in crop.shape[:2])
    picture = tag("img", src=data_uri(crop), alt=caption, width=str(width), height=str(height))
    return tag("figure", picture, tag("figcaption", caption))


def _frames(frames: Mapping[str, Any]) -> Iterator[Element]:
    chosen = frames["chosen"]
    yield tag("h2", "Calibration frames")
    about = f"{len(chosen)} chosen of {counted(frames['seen'], 'frame')} read from "
    units = ". Sharpness is in octaves of the mean squared Laplacian, the others are in grey levels."
    yield tag("p", about, tag("bdi", frames["source"]), units, class_="faint")
    yield frames_table(chosen)
    points = [(point["frames"], point["psnr_to_fp32"]) for point in frames["settling"]]
    finite = [(count, value) for count, value in points if value is not None and math.isfinite(value)]
    if finite:
        yield tag("h3", "How many frames are enough")
        meaning = "The graph calibrated on the first few of them: where the line is level, more add nothing."
        yield tag("p", meaning, class_="faint")
        yield tag("div", settling_line(finite, "PSNR to FP32, dB", "frames"), class_="scroll")


def _nodes(half: Sequence[Mapping[str, Any]]) -> Iterator[Element]:
    yield tag("h2", "Kept in FP32")
    if half:
        yield nodes_table(half)
    else:
        yield tag("p", "No node: nothing overflows or underflows in FP16.", class_="faint")


def _made(report: Report) -> Iterator[Element]:
    yield tag("h2", "Made from")
    lines: dict[str, Content] = {
        "model": tag("bdi", report["model"]),
        "SHA-256": tag("code", report["model_sha256"]),
        "preset": report["preset"],
        "deformable convolution": report["deform"],
        "ranges": report["method"] or "none: no layer is INT8",
        "measured against": report["reference"],
        **report["versions"],
    }
    rows = (tag("tr", tag("th", key, scope="row"), tag("td", value)) for key, value in lines.items())
    yield tag("table", tag("tbody", *rows))
