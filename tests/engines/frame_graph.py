"""A small graph of the exported kind, made without torch: frame in, frame out, any size, two DeformConvs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 16
MULTIPLE = 8


class GraphMaker:
    """Collects nodes and initializers; every call gives the name of its output."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(seed)

    def op(self, op_type: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], name=f"n_{output}", **attributes))
        return output

    def const(self, array: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array, dtype=dtype), name))
        return name

    def ints(self, *values: int) -> str:
        return self.const(list(values), np.int64)

    def kernel(self, outputs: int, inputs: int, size: int, gain: float = 1.0) -> str:
        shape = (outputs, inputs, size, size)
        return self.const(self.random.normal(size=shape) * gain / np.sqrt(inputs * size * size))

    def conv(self, x: str, inputs: int, outputs: int, size: int = 3, stride: int = 1, gain: float = 1.0) -> str:
        bias = self.const(self.random.normal(size=outputs) * 0.1)
        padding = [size // 2] * 4
        return self.op("Conv", x, self.kernel(outputs, inputs, size, gain), bias, strides=[stride] * 2, pads=padding)


def frame_graph(seed: int = 0) -> onnx.ModelProto:
    """`frame` uint8 (height, width, 3) BGR → `sharp`, the same; a residual of up to tens of grey levels."""
    make = GraphMaker(seed)
    size = make.op("Shape", "frame", end=2)
    image = _image_from_frame(make)
    residual = _network(make, _padded(make, image, size))
    cropped = make.op("Slice", residual, make.ints(0, 0), size, make.ints(2, 3))
    _frame_from_image(make, make.op("Add", image, cropped))
    shape: list[str | int | None] = ["height", "width", 3]
    graph = helper.make_graph(
        make.nodes,
        "frame_graph",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("sharp", TensorProto.UINT8, shape)],
        make.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    metadata = {"schema": "1", "preset": "stand-in", "precision": "fp32", "deform": "native", "multiple_of": "8x8"}
    helper.set_model_props(
        model, {f"edgedeblur.{key}": value for key, value in {**metadata, "min_size": "5x5"}.items()}
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _image_from_frame(make: GraphMaker) -> str:
    """(1, 3, height, width) float32 RGB in [0, 1]."""
    scaled = make.op("Div", make.op("Cast", "frame", to=TensorProto.FLOAT), make.const(255))
    rgb = _channels_reversed(make, scaled)
    return make.op("Unsqueeze", make.op("Transpose", rgb, perm=[2, 0, 1]), make.ints(0))


def _channels_reversed(make: GraphMaker, rows: str) -> str:
    return make.op("Slice", rows, make.ints(-1), make.ints(-4), make.ints(2), make.ints(-1))


def _padded(make: GraphMaker, image: str, size: str) -> str:
    """Reflected below and on the right up to a multiple of 8."""
    missing = make.op("Mod", make.op("Neg", size), make.ints(MULTIPLE))
    pads = make.op("Concat", make.ints(0, 0, 0, 0, 0, 0), missing, axis=0)
    return make.op("Pad", image, pads, mode="reflect")


def _network(make: GraphMaker, image: str) -> str:
    x = make.op("Relu", make.conv(image, 3, CHANNELS, stride=2))
    x = make.op("Relu", make.conv(x, CHANNELS, CHANNELS, stride=2))
    for _ in range(2):
        share = make.op("Sigmoid", make.conv(x, CHANNELS, 1))
        far = make.op("Mul", share, _attention(make, x))
        near = make.op("Mul", make.op("Sub", make.const(1), share), _deform(make, x))
        x = make.op("Add", x, make.op("Add", far, near))
    up = make.op("Resize", x, "", make.const([1, 1, 2, 2]), mode="nearest")
    return make.op("DepthToSpace", make.conv(up, CHANNELS, 12, gain=0.05), blocksize=2)


def _attention(make: GraphMaker, x: str) -> str:
    """Gather descriptors over all positions, then distribute them."""
    shape = make.op("Shape", x)
    flat = make.ints(0, 0, -1)
    keys = make.op("Softmax", make.op("Reshape", make.conv(x, CHANNELS, 8, size=1), flat), axis=2)
    queries = make.op("Softmax", make.op("Reshape", make.conv(x, CHANNELS, 8, size=1), flat), axis=1)
    values = make.op("Reshape", make.conv(x, CHANNELS, CHANNELS, size=1), flat)
    gathered = make.op("MatMul", values, make.op("Transpose", keys, perm=[0, 2, 1]))
    return make.op("Reshape", make.op("MatMul", gathered, queries), shape)


def _deform(make: GraphMaker, x: str) -> str:
    offset = make.conv(x, CHANNELS, 18, gain=3.0)
    mask = make.op("Mul", make.const(2), make.op("Sigmoid", make.conv(x, CHANNELS, 9)))
    bias = make.const(make.random.normal(size=CHANNELS) * 0.1)
    kernel = make.kernel(CHANNELS, CHANNELS, 3)
    return make.op("DeformConv", x, kernel, offset, bias, mask, pads=[1, 1, 1, 1], kernel_shape=[3, 3])


def _frame_from_image(make: GraphMaker, image: str) -> None:
    rows = make.op("Transpose", make.op("Squeeze", image, make.ints(0)), perm=[1, 2, 0])
    scaled = make.op("Mul", _channels_reversed(make, rows), make.const(255))
    clipped = make.op("Clip", make.op("Round", scaled), make.const(0), make.const(255))
    make.op("Cast", clipped, output="sharp", to=TensorProto.UINT8)
