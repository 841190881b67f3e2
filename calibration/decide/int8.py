"""The INT8 graph of a job: ranges and corrections from its frames, layers by a plan or by a search, then measured."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx_ir as ir

from calibration.cache import Journal, key_of
from calibration.decide.plan import Plan, with_ranges
from calibration.decide.search import Search, searched
from calibration.decide.starting import completed, corrected_only, observed_layers, starting_plan
from calibration.graph.half_check import Offender
from calibration.job import Job, Result
from calibration.measure.quality import decibels, outputs_of
from calibration.measure.sets import EvaluationSet, Measured, cropped, measured
from calibration.observers.observed import Ranges, ranges_for_growing

# What a search aims at, in shares of the budget: it measures crops, the gate whole frames. Where the gate is missed,
# it tries the next.
AIMS = (0.9, 0.6, 0.3)
SETTLING_FRAMES = 4  # evaluation frames on which ranges are seen to settle


def int8_result(job: Job, half: list[Offender], others: list[list[Measured]]) -> Result:
    """Quantise. half: nodes that stay FP32; others: what FP32 and FP16 reach.

    Raises Failure: USAGE for a plan that does not fit, MODEL when there is nothing to quantise.
    """
    fp32, _ = job.graphs.fp32()
    plan = _starting(job, half, fp32.metadata_props.get("edgedeblur.preset", ""))
    names = sorted({str(layer.activation.name) for layer in observed_layers(job.graphs, plan)})
    growing = ranges_for_growing(
        job.graphs, names, job.frames, job.arguments.method, (job.cache, job.data, job.arguments.deform)
    )
    plan = completed(job.graphs, plan, growing[len(job.frames)], job.frames)
    start = Result(fp32, plan, half, {}, 0, others)
    if job.arguments.plan is not None:
        return _by_plan(job, plan, start)
    result = _measured(job, start, plan) if job.arguments.evaluations == 0 else _searched(job, plan, start)
    return replace(result, settling=_settling(job, result.plan or plan, growing))


def _by_plan(job: Job, plan: Plan, start: Result) -> Result:
    """Keep to the plan; where it misses the gate, measure what its layers cost, so that the refusal can say it."""
    result = _measured(job, start, plan)
    if job.passes(result) or job.arguments.evaluations == 0:
        return result
    search = _search(job, plan)
    search.measure_costs(plan.int8(), reserved=0)
    return replace(result, plan=search.costed(corrected_only(plan)), evaluations=search.evaluations)


def _starting(job: Job, half: list[Offender], preset: str) -> Plan:
    about = Plan(
        preset=preset,
        deform=job.arguments.deform,
        method=job.arguments.method,
        model_sha256=job.model_sha256,
        layers=(),
    )
    plan = starting_plan(job.graphs, job.arguments.plan, about)
    return replace(plan, fp32_nodes=tuple(sorted({*plan.fp32_nodes, *(offender.node for offender in half)})))


def _searched(job: Job, plan: Plan, start: Result) -> Result:
    """Search with ever smaller aims until the gate is met on whole frames."""
    search = _search(job, plan)
    search.measure_costs(searched(job.graphs))
    for aim in AIMS:
        found = search.within(aim * job.arguments.max_psnr_drop)
        result = replace(_measured(job, start, found), evaluations=search.evaluations)
        if job.passes(result):
            break
    return result


def _search(job: Job, plan: Plan) -> Search:
    crops = cropped(job.sets, job.reference)
    pictures = [picture for one in crops for sample in one.samples for picture in (sample.image, sample.sharp)]
    key = key_of(job.data, [one for one in pictures if one is not None], {}, job.arguments.method)
    return Search(
        job.graphs, plan, crops, Journal(job.cache, key, _context(job, plan, crops)), job.arguments.evaluations
    )


def _context(job: Job, plan: Plan, crops: Sequence[EvaluationSet]) -> str:
    """What measured drops depend on beside the model and the pictures: plan, reference, which pictures are sharp."""
    sharp = [[sample.sharp is not None for sample in one.samples] for one in crops]
    reference = hashlib.sha256(ir.serde.serialize_model(job.reference).SerializeToString()).hexdigest()
    content = [plan.deform, plan.bias, sharp, reference, *map(vars, plan.layers)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _measured(job: Job, result: Result, plan: Plan) -> Result:
    plan = corrected_only(plan)
    model = job.graphs.int8(plan)
    return replace(result, model=model, plan=plan, measured=[*result.measured, measured(model, "int8", job.sets)])


def _settling(job: Job, plan: Plan, growing: Mapping[int, Ranges]) -> dict[int, float]:
    """Number of calibration frames → PSNR to FP32 in dB of the plan's layers with the ranges that so many give.

    Of the first evaluation frames, with an FP32 body. A plan from a file brings its own ranges: nothing settles there.
    """
    some = job.sets[0]
    frames = [sample.image for sample in some.samples[:SETTLING_FRAMES]]
    layers = observed_layers(job.graphs, plan)
    found = {}
    for count, ranges in growing.items():
        with_few = with_ranges(plan, {layer.name: ranges[str(layer.activation.name)] for layer in layers})
        outputs = outputs_of(job.graphs.quantised(with_few), frames)
        found[count] = statistics.fmean(map(decibels, outputs, some.fp32[: len(frames)]))
    return found
