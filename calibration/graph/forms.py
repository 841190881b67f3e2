"""The graphs that calibration makes of one model: FP32 as observed, FP16, and INT8 by a plan."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from calibration.decide.plan import Plan
from calibration.graph.compute import sizes_of
from calibration.graph.half_check import keep_fp32
from calibration.graph.layers import Layer, find_layers, refind_layers
from calibration.graph.quantise import quantise
from export.passes import apply_passes, passes_for
from export.passes.fold_shapes import fold_shapes
from export.passes.graph_tools import copied, infer_shapes, tidy
from export.passes.half import to_half


class Graphs:
    """Makes fresh graphs from one canonical model; nothing that is made is ever changed by making another."""

    def __init__(self, canonical: ir.Model, deform: str) -> None:
        """canonical: FP32 with the standard DeformConv; it is changed. deform: "native" or "gather"."""
        # Lowering folds and tidies. What it would drop or make one must be so before layers are found, and found again.
        infer_shapes(canonical)
        native = find_layers(tidy(fold_shapes(canonical)))
        model = apply_passes(canonical, passes_for(deform, "fp32"))
        self._model = model
        self._layers = refind_layers(model, native)
        self.sizes = sizes_of(model)

    @property
    def layers(self) -> list[Layer]:
        """The model's layers; their nodes are of a graph that nobody may change."""
        return self._layers

    def fp32(self) -> tuple[ir.Model, list[Layer]]:
        """The graph whose activations are observed, and its layers."""
        model = copied(self._model)
        return model, refind_layers(model, self._layers)

    def fp16(self, fp32_nodes: Iterable[str] = ()) -> ir.Model:
        """FP16 with FP32 islands; the named nodes stay FP32."""
        model, _ = self.fp32()
        keep_fp32(model, fp32_nodes)
        return to_half(model)

    def quantised(self, plan: Plan, only: frozenset[str] | None = None) -> ir.Model:
        """Q/DQ by the plan with an FP32 body: what sensitivity is measured on. only: these layers in INT8."""
        model, layers = self.fp32()
        names = plan.int8() if only is None else only
        chosen = [layer for layer in layers if layer.name in names]
        wanted = {choice.name: choice.range for choice in plan.layers}
        ranges = {str(layer.activation.name): wanted[layer.name] or 0.0 for layer in chosen}
        quantise(model, chosen, ranges, plan.corrections())
        return model

    def int8(self, plan: Plan) -> ir.Model:
        """Q/DQ by the plan with an FP16 body: the graph that engines are built from."""
        model = self.quantised(plan)
        keep_fp32(model, [*plan.fp32_nodes, *(choice.name for choice in plan.layers if choice.precision == "fp32")])
        return to_half(model)
