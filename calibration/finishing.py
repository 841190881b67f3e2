"""What a calibration leaves behind: graph, plan and report, or the report of a refusal."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from calibration.decide.plan import INT8, Choice
from calibration.job import Job, Result
from calibration.report.as_json import report_bytes
from calibration.report.content import frames_part, quality_part, report_of
from calibration.report.page import report_page
from edgedeblur import ExitCode, Failure
from export.passes.model_file import CALIBRATION_KEY, model_bytes
from export.passes.whole_files import cannot_write, write_whole

DEAREST = 3  # layers named in a refusal


def finish(job: Job, result: Result) -> None:
    """Write all files or none, and say what was reached.

    Raises Failure: QUALITY when more is lost than allowed (then only what tells of it is written), ENVIRONMENT.
    """
    passed = job.passes(result)
    report = _report(job, result, passed)
    worst = [frame for one in result.measured[-1] for frame in one.worst]
    plan, as_json, as_page = job.outputs.beside(passed)
    files = {as_json: report_bytes(report), as_page: report_page(report, worst).encode()}
    if result.plan:
        files[plan] = result.plan.to_bytes()
    try:
        job.outputs.graph.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(job.outputs.graph, error) from error
    write_whole({**files, job.outputs.graph: _graph_bytes(job, result)} if passed else files)
    _tell(job, result)
    if not passed:
        raise _refusal(job, result)
    print(f"{job.outputs.graph}: {_share(report['macs']):.1f} % of MACs in INT8, loses {result.drop:.4f} dB")


def _report(job: Job, result: Result, passed: bool) -> dict[str, Any]:
    return report_of(
        job.arguments,
        result.plan,
        result.model,
        result.half,
        model_sha256=job.model_sha256,
        preset=result.model.metadata_props.get("edgedeblur.preset", ""),
        output=job.outputs.graph.name,
        passed=passed,
        frames=frames_part(job.selection, result.settling, bool(job.arguments.eval)),
        quality=quality_part(result.measured),
        evaluations=result.evaluations,
    )


def _graph_bytes(job: Job, result: Result) -> bytes:
    made: dict[str, Any] = {"frames": len(job.frames), "drop_db": round(result.drop, 4)}
    if result.plan:
        made["method"] = result.plan.method
    result.model.metadata_props[CALIBRATION_KEY] = json.dumps(made)
    return model_bytes(result.model)


def _tell(job: Job, result: Result) -> None:
    for of_one_set in zip(*result.measured, strict=True):
        one = of_one_set[0].evaluated
        kind = "" if one.truth else " (estimated: no sharp frames)"
        parts = [f"{found.precision} {found.quality.drop_db:+.4f} dB" for found in of_one_set[1:]]
        print(f"{one.name}: {len(one.samples)} frames, lost {', '.join(parts)}{kind}", file=sys.stderr)


def _share(macs: Mapping[str, Any]) -> float:
    """Percent in INT8."""
    counts = [int(macs[precision]) for precision in ("int8", "fp16", "fp32")]
    return 100 * counts[0] / max(sum(counts), 1)


def _refusal(job: Job, result: Result) -> Failure:
    *_, page = job.outputs.beside(passed=False)
    precision, budget = job.arguments.precision.upper(), job.arguments.max_psnr_drop
    if result.drop <= budget:
        found = f"no layer can be INT8 within {budget:g} dB; expected some: allow more, or use --precision fp16"
    else:
        named = ", ".join(f"{choice.name} ({choice.cost_db:.3f} dB)" for choice in _dearest(result))
        most = f"; most is lost by {named}" if named else ""
        found = f"the {precision} graph loses {result.drop:.3f} dB; expected at most {budget:g} dB{most}"
    return Failure(f"{found}; {job.outputs.graph} was not written, {page} says more", ExitCode.QUALITY)


def _dearest(result: Result) -> list[Choice]:
    layers = result.plan.layers if result.plan else ()
    known = [choice for choice in layers if choice.precision == INT8 and choice.cost_db is not None]
    return sorted(known, key=lambda choice: choice.cost_db or 0.0, reverse=True)[:DEAREST]
