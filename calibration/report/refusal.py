"""Why a graph was refused, in one sentence: what was found, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calibration.report.figures import largest_drop
from calibration.report.tables import measured

DEAREST = 3  # layers named

Report = Mapping[str, Any]


def refusal(report: Report) -> str:
    """Without a full stop. What is advised does help: no layer is told to be FP16 where FP16 alone loses too much."""
    precision, budget, layers = report["precision"], report["budget_db"], report["layers"]
    expected = f"expected at most {budget:g} dB"
    half, lost = (_lost(report, name) for name in ("fp16", precision))
    any_int8 = any(layer["precision"] == "int8" for layer in layers)
    if half > budget and not any_int8:
        return (
            f"FP16 alone loses {half:.4g} dB; {expected}, and an INT8 graph has an FP16 body, too: "
            "allow more (--max-psnr-drop), or stay with FP32"
        )
    if not any_int8:
        return (
            f"no layer is INT8; expected some with a loss of at most {budget:g} dB: allow more (--max-psnr-drop), "
            "choose layers yourself (--plan), or use --precision fp16"
        )
    found = f"the {precision.upper()} graph loses {lost:.4g} dB; {expected}"
    if dearest := _dearest(layers):
        keep = "FP16" if half <= budget else f"FP32, since FP16 alone loses {half:.4g} dB"
        return (
            f"{found}; most is lost by {dearest}: keep such layers in {keep} (--plan), or allow more (--max-psnr-drop)"
        )
    return f"{found}: calibrate on other frames (--data), or allow more (--max-psnr-drop)"


def _lost(report: Report, precision: str) -> float:
    found = largest_drop(report, precision)
    return 0.0 if found is None else found[0]


def _dearest(layers: Sequence[Report]) -> str:
    """The INT8 layers that cost most, with their costs; nothing where none was measured to cost anything."""
    costs = [(measured(layer) or 0.0, layer["name"]) for layer in layers if layer["precision"] == "int8"]
    dearest = sorted((pair for pair in costs if pair[0] > 0), key=lambda pair: -pair[0])[:DEAREST]
    return ", ".join(f"{name} ({cost:.3f} dB)" for cost, name in dearest)
