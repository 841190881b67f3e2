"""Rename DeformConv to our TensorRT plugin's operator.

TensorRT's ONNX parser imports DeformConv itself, so a plugin cannot take that name. An operator that it does not know
it looks up among the plugins: the name is the node's operator type (the domain plays no part), the attributes
`plugin_version` and `plugin_namespace` give the rest, and every other attribute becomes a plugin field of its name.
Source: `FallbackPluginImporter` in the parser (onnx/onnx-tensorrt).
"""

from __future__ import annotations

import onnx_ir as ir

from export.passes.deform_node import deform_from_node, deform_nodes
from export.passes.graph_tools import Emitter, infer_shapes
from export.passes.model_file import DEFORM_KEY

PLUGIN_OP = "EdgeDeformConv2d"
PLUGIN_DOMAIN = "edgedeblur"
PLUGIN_VERSION = "1"
PLUGIN_NAMESPACE = "edgedeblur"
OFFSET_INPUT = 2  # sampling positions: FP32 in every precision


def rename_deform(model: ir.Model) -> ir.Model:
    """Turn every DeformConv into `EdgeDeformConv2d` with the same inputs (X, W, offset, B, mask), in the same order.

    Attributes: stride, padding (top, left, bottom, right), dilation as (h, w) ints; group, offset_group.
    """
    infer_shapes(model)
    nodes = list(deform_nodes(model))
    for node in nodes:
        _rename(node)
    if nodes:
        model.opset_imports[PLUGIN_DOMAIN] = 1
    model.metadata_props[DEFORM_KEY] = "plugin"
    return model


def _rename(node: ir.Node) -> None:
    deform, emit, old = deform_from_node(node), Emitter(node), node.outputs[0]
    result = emit.tape.op(
        PLUGIN_OP,
        node.inputs,
        {
            "plugin_version": PLUGIN_VERSION,
            "plugin_namespace": PLUGIN_NAMESPACE,
            "stride": deform.stride,
            "padding": deform.padding,
            "dilation": deform.dilation,
            "group": deform.group,
            "offset_group": deform.offset_group,
        },
        domain=PLUGIN_DOMAIN,
        name=node.name,
    )
    result.type, result.shape = old.type, old.shape  # no shape inference knows the operator
    emit.replace(result)
