"""The tables of the report's page: quality, layers, frames, nodes kept in FP32."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from calibration.measure.quality import MOST_DB
from calibration.report.charts import signed_bar
from runtime.report.markup import DASH, Content, number, table, tag

Line = Mapping[str, Any]


def quality_table(sets: Sequence[Line]) -> Element:
    """A line for each set and precision."""
    head = ("set", "precision", "PSNR, dB", "SSIM", "PSNR to FP32", "SSIM to FP32", "mean drop, dB", "worst frame, dB")
    rows = [_quality(line, row) for line in sets for row in line["rows"]]
    return table(head, rows, figures=range(2, 8))


def _quality(line: Line, row: Line) -> list[Content]:
    against_sharp = [decibels(row["psnr"]), number(row["ssim"], ".4f")]
    name = tag("span", tag("bdi", line["set"]), f", {counted(line['frames'], 'frame')}")
    if row["precision"] == "fp32":  # its distance to itself says nothing
        return [name, precision("fp32"), *against_sharp, DASH, DASH, DASH, DASH]
    to_fp32 = [decibels(row["psnr_to_fp32"]), number(row["ssim_to_fp32"], ".4f")]
    lost = [drop(row[key], line["truth"]) for key in ("drop_db", "worst_drop_db")]
    return [name, precision(row["precision"]), *against_sharp, *to_fp32, *lost]


def layers_table(layers: Sequence[Line]) -> Element:
    """A line for each layer: the dearest first, then those without a cost, the largest of them first."""
    costs = [cost for layer in layers if (cost := measured(layer)) is not None]
    axis = min(costs, default=0.0), max(costs, default=0.0)
    lowest, highest = min(axis[0], 0.0), max(axis[1], 0.0)
    macs = sum(layer["macs"] for layer in layers) or 1
    rows: list[list[Content]] = []
    for layer in sorted(layers, key=_dearest_first):
        cost = measured(layer)
        rows.append(
            [
                dotted(layer["name"]),
                precision(layer["precision"]),
                "not measured" if cost is None else number(cost, ".4f"),
                "" if cost is None else signed_bar(cost, lowest, highest, layer["precision"]),
                f"{layer['macs'] / macs:.1%}",
                number(layer["range"], ".3f"),
                layer["kind"].replace("_", " "),
                layer["why"],
            ]
        )
    head = ("layer", "precision", "cost, dB", "", "MACs", "range", "kind", "why")
    return table(head, rows, figures=(2, 4, 5))


def _dearest_first(layer: Line) -> tuple[float, int, str]:
    cost = measured(layer)
    return math.inf if cost is None else -cost, -layer["macs"], layer["name"]


def measured(layer: Line) -> float | None:
    """A layer's cost in dB, None where it has none."""
    cost = layer["cost_db"]
    return None if cost is None or not math.isfinite(cost) else float(cost)


def frames_table(chosen: Sequence[Line]) -> Element:
    """A line for each calibration frame, in the order of choice."""
    features = ("sharpness", "brightness", "contrast", "motion")
    rows = [
        [str(place), tag("bdi", line["name"]), line["why"], *(number(line.get(key), ".2f") for key in features)]
        for place, line in enumerate(chosen, 1)
    ]
    return table(("", "frame", "chosen because", *features), rows, figures=(0, 3, 4, 5, 6), class_="scroll tall")


def nodes_table(half: Sequence[Line]) -> Element:
    """A line for each node that is kept in FP32."""
    return table(("node", "why"), [[dotted(line["node"]), line["why"]] for line in half], figures=())


def precision(name: str) -> Element:
    """int8 → INT8 with the colour it has everywhere on the page."""
    return tag("span", name.upper(), class_=f"precision {name}")


def dotted(name: str) -> Element:
    """The name of a layer or node, which a line may end in behind a dot or slash and nowhere else."""
    first, *others = re.split(r"(?<=[./])", name)
    return tag("code", first, *(part for other in others for part in (tag("wbr"), other)))


def decibels(psnr: float | None) -> str:
    """A PSNR in dB. Means take equal pictures for MOST_DB, so from there on it says no more than that."""
    return number(psnr, ".2f", "equal") if psnr is None or not MOST_DB <= psnr < math.inf else f"≥ {MOST_DB:g}"


def drop(value: float | None, truth: bool) -> str:
    """dB lost; marked where there was no sharp frame to measure it against."""
    text = number(value, ".3f")
    return text if truth or text == DASH else f"{text} (estimated)"


def counted(count: int, name: str) -> str:
    """`1 frame`, `2 frames`."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
