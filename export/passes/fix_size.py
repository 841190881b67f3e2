"""Fix the frame size of a graph: an engine is built for one, and shape arithmetic then folds away."""

from __future__ import annotations

import onnx_ir as ir

from export.passes.fold_shapes import fold_shapes
from export.passes.graph_tools import tidy


def fix_size(model: ir.Model, size: tuple[int, int]) -> ir.Model:
    """Set input `frame` to (height, width, 3) and fold what follows from it. `size` is (height, width) in pixels."""
    frame = model.graph.inputs[0]
    frame.shape = ir.Shape([*size, 3])
    for output in model.graph.outputs:
        output.shape = ir.Shape([*size, 3])
    for node in model.graph:  # shapes noted for the dynamic size would be kept by shape inference
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape = None
    return tidy(fold_shapes(model))
