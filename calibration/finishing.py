"""What a calibration leaves behind: graph, plan and report, or the report of a refusal."""

from __future__ import annotations

import json
import sys
from typing import Any

from calibration.calibrate_options import NAME_ADVICE
from calibration.job import Job, Result
from calibration.report.as_json import report_bytes
from calibration.report.content import frames_part, quality_part, report_of
from calibration.report.figures import shares
from calibration.report.page import report_page
from calibration.report.refusal import refusal
from calibration.report.tables import counted
from edgedeblur import ExitCode, Failure
from export.passes.model_file import CALIBRATION_KEY, model_bytes
from export.passes.whole_files import cannot_write, check_free, write_whole


def finish(job: Job, result: Result) -> None:
    """Write all files or none, and say what was reached.

    Raises Failure: QUALITY when more is lost than allowed (then only what tells of it is written), USAGE when one of
    the files appeared meanwhile and may not be written over, ENVIRONMENT.
    """
    _tell(result)
    passed = job.passes(result)
    report = _report(job, result, passed)
    worst = [frame for one in result.measured[-1] for frame in one.worst]
    plan, as_json, as_page = job.outputs.beside(passed)
    files = {as_json: report_bytes(report), as_page: report_page(report, worst).encode()}
    if result.plan:
        files[plan] = result.plan.to_bytes()
    if passed:
        files[job.outputs.graph] = _graph_bytes(job, result)
    # Another process may have been quicker.
    check_free(files, job.arguments.force, NAME_ADVICE, "appeared while this ran")
    try:
        job.outputs.graph.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(job.outputs.graph, error) from error
    write_whole(files)
    if not passed:
        message = f"{refusal(report)}; {job.outputs.graph} was not written, {as_page} says more"
        raise Failure(message, ExitCode.QUALITY)
    if job.arguments.force:
        _remove_refused(job)
    share = f"{100 * shares(report['macs'])['int8']:.1f} % of MACs in INT8, " if result.plan else ""
    print(f"{job.outputs.graph}: {share}loses {result.drop:.4f} dB")


def _report(job: Job, result: Result, passed: bool) -> dict[str, Any]:
    return report_of(
        job.arguments,
        result.plan,
        result.model,
        result.half,
        model_sha256=job.model_sha256,
        preset=result.model.metadata_props.get("edgedeblur.preset", ""),
        output=job.outputs.graph.name,
        precision=result.precision,
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


def _remove_refused(job: Job) -> None:
    """What tells of another run, which had no graph; but a plan that was given stays its owner's."""
    given = job.arguments.plan
    for path in job.outputs.beside(passed=False):
        if path.exists() and not (given and path.samefile(given)):
            path.unlink()


def _tell(result: Result) -> None:
    for of_one_set in zip(*result.measured, strict=True):
        one = of_one_set[0].evaluated
        kind = "" if one.truth else " (estimated: no sharp frames)"
        parts = [f"{found.precision} {found.quality.drop_db:+.4f} dB" for found in of_one_set[1:]]
        print(f"{one.name}: {counted(len(one.samples), 'frame')}, lost {', '.join(parts)}{kind}", file=sys.stderr)
