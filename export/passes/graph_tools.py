"""What several passes need of onnx_ir: constants, shapes, tidying, and nodes emitted in place of another node."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnx_ir.passes.common as common

# Nodes carrying this stay FP32 whatever the precision of the graph: they compute sampling positions.
COMPUTE_KEY = "edgedeblur.compute"
COMPUTE_FP32 = {COMPUTE_KEY: "fp32"}


def constant_array(value: ir.Value | None) -> npt.NDArray[Any] | None:
    """The array behind an initializer or a Constant node; None for anything computed."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def static_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """The shape when every dimension is a number, else None."""
    if value is None or value.shape is None:
        return None
    numbers = [dim for dim in value.shape if isinstance(dim, int)]
    return tuple(numbers) if len(numbers) == len(value.shape) else None


def infer_shapes(model: ir.Model) -> None:
    """Give every value its type, and its shape as far as it is known."""
    common.ShapeInferencePass(check_type=True, strict_mode=False, data_prop=True)(model)


def copied(model: ir.Model) -> ir.Model:
    """A model that passes may change without changing `model`; weights are shared, no pass writes into one."""
    copy = model.clone()
    values = (value for node in copy.graph for value in node.outputs)
    for value in (*copy.graph.inputs, *copy.graph.initializers.values(), *values):
        if value.dtype is not None:
            value.type = ir.TensorType(value.dtype)  # a clone's is the original's own, and setting dtype writes into it
    return copy


def tidy(model: ir.Model) -> ir.Model:
    """Drop what nothing uses, share equal constants and equal computations, and infer shapes anew."""
    for graph_pass in (
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.IdentityEliminationPass(),
        common.DeduplicateHashedInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.TopologicalSortPass(),
    ):
        graph_pass(model)
    infer_shapes(model)
    return model


class Emitter:
    """Collects the nodes and constants that will replace one node; names start with that node's output name."""

    def __init__(self, replaced: ir.Node) -> None:
        self.replaced = replaced
        self.tape = ir.tape.Tape()
        self._prefix = replaced.outputs[0].name
        self._count = 0

    def op(self, op_type: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
        """Emit a node that follows the graph's precision."""
        return self._node(op_type, inputs, attributes, None)

    def fp32(self, op_type: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
        """Emit a node that computes in FP32 whatever the graph's precision."""
        return self._node(op_type, inputs, attributes, COMPUTE_FP32)

    def constant(self, array: npt.ArrayLike, dtype: npt.DTypeLike) -> ir.Value:
        """Emit an initializer."""
        name = self._name("const")
        return self.tape.initializer(ir.tensor(np.asarray(array, dtype=dtype), name=name), name)

    def replace(self, result: ir.Value) -> None:
        """Put everything emitted in the graph, with `result` where the replaced node's output was."""
        graph, old = self.replaced.graph, self.replaced.outputs[0]
        assert isinstance(graph, ir.Graph)
        for value in self.tape.initializers:
            graph.register_initializer(value)
        ir.convenience.replace_nodes_and_values(graph, self.replaced, [self.replaced], self.tape.nodes, [old], [result])

    def _node(
        self, op_type: str, inputs: tuple[ir.Value | None, ...], attributes: dict[str, Any], mark: dict[str, str] | None
    ) -> ir.Value:
        name = self._name(op_type)
        value = self.tape.op(op_type, inputs, attributes, name=name, metadata_props=dict(mark or {}))
        value.name = name
        return value

    def _name(self, what: str) -> str:
        self._count += 1
        return f"{self._prefix}/{what}_{self._count}"
