"""The content of a calibration's report; its schema is in `as_json.py`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import onnx_ir as ir

from calibration.cache import versions
from calibration.decide.plan import Plan
from calibration.frames.choose import Sample, Selection
from calibration.graph.compute import SIZE, macs_by_precision
from calibration.graph.half_check import Offender
from calibration.measure.sets import Measured

Report = dict[str, Any]


def frames_part(selection: Selection, settling: Mapping[int, float], measured_elsewhere: bool) -> Report:
    """Which frames were chosen, why, and how the result settles with their number.

    measured_elsewhere: on other data, of which nobody knows whether it holds the same frames.
    """
    return {
        "source": selection.source,
        "seen": selection.seen,
        "held_out": None if measured_elsewhere else selection.held_out,
        "chosen": [_chosen(sample) for sample in selection.calibration],
        "settling": [{"frames": count, "psnr_to_fp32": psnr} for count, psnr in settling.items()],
    }


def quality_part(results: Sequence[Sequence[Measured]]) -> list[Report]:
    """One table for each set; `results`: for each precision, in order, one for each set."""
    return [
        {
            "set": of_one_set[0].evaluated.name,
            "frames": len(of_one_set[0].evaluated.samples),
            "truth": of_one_set[0].evaluated.truth,
            "rows": [measured.row() for measured in of_one_set],
        }
        for of_one_set in zip(*results, strict=True)
    ]


def report_of(
    arguments: argparse.Namespace, plan: Plan | None, model: ir.Model, half: Sequence[Offender], **parts: Any
) -> Report:
    """The whole report. model: the graph that was measured last; parts: what the caller knows."""
    return {
        "schema": 1,
        "model": arguments.model.name,
        "deform": arguments.deform,
        "method": plan.method if plan else None,
        "reference": (arguments.reference or arguments.model).name,
        "budget_db": arguments.max_psnr_drop,
        "versions": versions(),
        "layers": [_layer(vars(choice)) for choice in plan.layers] if plan else [],
        "macs": {"size": list(SIZE), **macs_by_precision(model)},
        "bias_corrected": len(plan.bias) if plan else 0,
        "half": [vars(offender) for offender in half],
        **parts,
    }


def _layer(choice: Mapping[str, Any]) -> Report:
    keys = ("name", "kind", "precision", "macs", "range", "cost_db", "why")
    return {key: choice[key] for key in keys}


def _chosen(sample: Sample) -> Report:
    features = {} if sample.features is None else vars(sample.features)
    return {"name": sample.name, "why": sample.why, **features}
