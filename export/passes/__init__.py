"""Graph passes: ONNX in, ONNX out, each one change a target needs. No torch here: engines run them on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from export.passes.fix_size import fix_size
from export.passes.half import to_half
from export.passes.lower_deform import lower_deform
from export.passes.rename_deform import rename_deform

GraphPass = Callable[[ir.Model], ir.Model]

# What happens to DeformConv: ONNX Runtime >= 1.25 runs the standard operator; TensorRT-RTX, and TensorRT without our
# plugin, get the Gather form; TensorRT with it gets the plugin's operator.
DEFORM_PASSES: dict[str, tuple[GraphPass, ...]] = {
    "native": (),
    "gather": (lower_deform,),
    "plugin": (rename_deform,),
}
# Precision comes last: it must see which nodes compute positions.
PRECISION_PASSES: dict[str, tuple[GraphPass, ...]] = {
    "fp32": (),
    "fp16": (to_half,),
    "int8": (to_half,),  # of a graph that edgedeblur calibrate made: Q/DQ around convolutions, the rest FP16
}


def passes_for(deform: str, precision: str, size: tuple[int, int] | None = None) -> tuple[GraphPass, ...]:
    """The passes for one target in order; `size` is (height, width) in pixels, None keeps the frame size dynamic."""
    fixed: tuple[GraphPass, ...] = () if size is None else (lambda model: fix_size(model, size),)
    return (*fixed, *DEFORM_PASSES[deform], *PRECISION_PASSES[precision])


def apply_passes(model: ir.Model, passes: Sequence[GraphPass]) -> ir.Model:
    """Run `passes` one after the other. The model given is changed too."""
    for graph_pass in passes:
        model = graph_pass(model)
    return model
