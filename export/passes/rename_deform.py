"""Rename DeformConv to our TensorRT plugin's operator.

TensorRT's ONNX parser imports DeformConv itself, so a plugin cannot take that name. An operator that it does not know
it looks up among the plugins: the name is the node's operator type (the domain plays no part), the attributes
`plugin_version` and `plugin_namespace` give the rest, and every other attribute becomes a plugin field of its name.
Source: `FallbackPluginImporter` in the parser (onnx/onnx-tensorrt).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common

from export.passes.deform_node import deform_from_node, deform_nodes, mask_of
from export.passes.graph_tools import Emitter, infer_shapes
from export.passes.model_file import DEFORM_KEY

PLUGIN_OP = "EdgeDeformConv2d"
PLUGIN_DOMAIN = "edgedeblur"
PLUGIN_VERSION = "1"
PLUGIN_NAMESPACE = "edgedeblur"
OFFSET_INPUT = 2  # sampling positions: FP32 in every precision


def rename_deform(model: ir.Model) -> ir.Model:
    """Turn every DeformConv into `EdgeDeformConv2d` with inputs X, weight, offset, bias and, where it had one, mask.

    The weight is turned once, here, to the (M, kernel height, kernel width, C / group) that the kernel reads; a bias
    that is not there becomes zeros. Attributes: stride, padding (top, left, bottom, right), dilation as (h, w) ints;
    group, offset_group; activation, 0 for none. Raises Failure (MODEL) when a kernel is not constant.
    """
    infer_shapes(model)
    nodes = list(deform_nodes(model))
    for node in nodes:
        _rename(node)
    if nodes:
        model.opset_imports[PLUGIN_DOMAIN] = 1
    model.metadata_props[DEFORM_KEY] = "plugin"
    common.RemoveUnusedNodesPass()(model)  # the weights as they were
    return model


def _rename(node: ir.Node) -> None:
    deform, emit, old = deform_from_node(node), Emitter(node), node.outputs[0]
    weight = np.ascontiguousarray(deform.weight.transpose(0, 2, 3, 1))
    bias = np.zeros(len(weight), weight.dtype) if deform.bias is None else deform.bias
    inputs = [node.inputs[0], emit.constant(weight, weight.dtype), node.inputs[2], emit.constant(bias, weight.dtype)]
    mask = mask_of(node)
    result = emit.tape.op(
        PLUGIN_OP,
        inputs if mask is None else [*inputs, mask],
        {
            "plugin_version": PLUGIN_VERSION,
            "plugin_namespace": PLUGIN_NAMESPACE,
            "stride": deform.stride,
            "padding": deform.padding,
            "dilation": deform.dilation,
            "group": deform.group,
            "offset_group": deform.offset_group,
            "activation": 0,
        },
        domain=PLUGIN_DOMAIN,
        name=node.name,
    )
    result.type, result.shape = old.type, old.shape  # no shape inference knows the operator
    emit.replace(result)
