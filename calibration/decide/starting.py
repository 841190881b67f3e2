"""How a plan comes about: by the default rule or from a file, with ranges and bias corrections from the frames."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from calibration.decide.plan import INT8, Choice, Plan, default_choices, read_plan, with_int8, with_ranges
from calibration.graph.bias import corrections
from calibration.graph.forms import Graphs
from calibration.graph.half_check import Offender, offenders
from calibration.graph.layers import DEFORM_NATIVE, Layer, without_idle_skips
from edgedeblur import ExitCode, Failure
from runtime.frame import Image

MOST_FRAMES = 32  # for bias corrections and the FP16 check: means and extremes of a cover settle early
BY_FILE = "as the plan has it"
NO_PARTNER = "its operand is not in INT8"


def starting_plan(graphs: Graphs, path: Path | None, about: Plan) -> Plan:
    """The default plan, or what a file says. about: a plan without layers for this model, form and method.

    Raises Failure: USAGE for a file that is no plan for this model, MODEL when there is nothing to quantise.
    """
    if not graphs.layers:
        raise Failure(
            "the model has no convolution with constant weights, so there is nothing to quantise; use --precision fp16",
            ExitCode.MODEL,
        )
    plan = replace(about, layers=default_choices(graphs.layers, graphs.sizes.macs))
    if path is not None:
        plan = _from_file(path, plan, graphs.layers)
    return with_int8(plan, without_idle_skips(graphs.layers, plan.int8()), NO_PARTNER)


def _from_file(path: Path, own: Plan, layers: Sequence[Layer]) -> Plan:
    """The file's precisions; its ranges, too, where they were found for this model in this form."""
    plan = read_plan(path, layers)
    native = next((layer.name for layer in layers if layer.kept == DEFORM_NATIVE and layer.name in plan.int8()), None)
    if native:
        raise Failure(f"{path} asks for '{native}' in INT8; {DEFORM_NATIVE}")
    same = (plan.model_sha256, plan.deform, plan.method) == (own.model_sha256, own.deform, own.method)
    plan = _with_reasons(plan, own)
    if plan.model_sha256 is None or same:
        return replace(plan, deform=own.deform)
    print(f"{path}: ranges are observed anew: they are of another model, --deform or --method", file=sys.stderr)
    stale = tuple(replace(choice, range=None, cost_db=None) for choice in plan.layers)
    return replace(own, layers=stale, fp32_nodes=())


def _with_reasons(plan: Plan, own: Plan) -> Plan:
    """Reasons that fit an edited plan: where it differs from the rule, it is the reason itself."""
    rule = {choice.name: choice.why for choice in own.layers}
    layers = (replace(choice, why=_reason(choice, rule[choice.name])) for choice in plan.layers)
    return replace(plan, layers=tuple(layers))


def _reason(choice: Choice, against: str) -> str:
    """against: what the rule has against INT8 there."""
    if choice.precision == INT8:
        return BY_FILE if against else ""
    return choice.why or BY_FILE


def observed_layers(graphs: Graphs, plan: Plan) -> list[Layer]:
    """Layers whose activation needs a range: those in INT8, and those that a search may make so."""
    wanted = plan.int8()
    return [layer for layer in graphs.layers if layer.searched or layer.name in wanted]


def completed(graphs: Graphs, plan: Plan, ranges: Mapping[str, float], frames: Sequence[Image]) -> Plan:
    """The plan with what frames tell: ranges (activation → magnitude) and corrections of the layers' biases.

    A plan of no model in particular comes from fine-tuning: its ranges were trained with, and its biases hold the
    corrections already.
    """
    trained = plan.model_sha256 is None
    layers = observed_layers(graphs, plan)
    asked = {choice.name: choice.range for choice in plan.layers}
    known = {str(layer.activation.name): range_ for layer in layers if (range_ := asked[layer.name]) is not None}
    by_activation = {**ranges, **known}  # one that the plan has stands, for all layers that read the same
    plan = with_ranges(plan, {layer.name: by_activation[str(layer.activation.name)] for layer in layers})
    if trained:
        return plan
    model, own = graphs.fp32()
    names = {layer.name for layer in layers}
    wanted = [layer for layer in own if layer.name in names]
    found = corrections(model, wanted, by_activation, frames[:MOST_FRAMES], graphs.sizes.bytes_per_pixel)
    return replace(plan, bias={name: [round(float(x), 8) for x in values] for name, values in found.items()})


def half_offenders(graphs: Graphs, frames: Sequence[Image]) -> list[Offender]:
    """Nodes whose values do not fit FP16 on the frames."""
    model, _ = graphs.fp32()
    return offenders(model, frames[:MOST_FRAMES], graphs.sizes.bytes_per_pixel)


def corrected_only(plan: Plan) -> Plan:
    """The plan without corrections of layers that are not in INT8."""
    int8 = plan.int8()
    return replace(plan, bias={name: values for name, values in plan.bias.items() if name in int8})
