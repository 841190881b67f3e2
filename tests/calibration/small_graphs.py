"""Small graphs of the exported kind, for what the shipped ones do not have: shared inputs, transposed convolutions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 8
Arrays = Mapping[str, npt.NDArray[np.float32]]


def weights(seed: int = 0) -> dict[str, npt.NDArray[np.float32]]:
    """Parameters of `residual_graph`, named as a checkpoint names them."""
    random = np.random.default_rng(seed)
    shapes = {
        "stem": (CHANNELS, 3, 3, 3),
        "block.first": (CHANNELS, CHANNELS, 3, 3),
        "block.second": (CHANNELS, CHANNELS, 3, 3),
        "side": (CHANNELS, CHANNELS, 1, 1),
        "down": (12, CHANNELS, 2, 2),
        "up": (12, CHANNELS, 2, 2),
        "gate": (1, CHANNELS, 3, 3),
        "head": (3, CHANNELS, 3, 3),
    }
    arrays = {}
    for name, shape in shapes.items():
        fan = np.prod(shape[1:])
        arrays[f"network.{name}.weight"] = random.normal(size=shape, scale=1 / np.sqrt(fan)).astype(np.float32)
        outputs = shape[1] if name == "up" else shape[0]
        arrays[f"network.{name}.bias"] = random.normal(size=outputs, scale=0.1).astype(np.float32)
    arrays["network.head.weight"] *= 0.1
    return arrays


def residual_graph(arrays: Arrays | None = None, side_reads: str = "x0") -> onnx.ModelProto:
    """stem → residual block, and a second branch on the block's own input → down → up (transposed) → gate → head.

    Even sizes only. side_reads: "x0", the block's input, so that two convolutions share one activation.
    """
    arrays = weights() if arrays is None else arrays
    parts = [_conv("stem", "image", "x0"), _conv("block.first", "x0", "b1"), helper.make_node("Relu", ["b1"], ["b2"])]
    parts += [_conv("block.second", "b2", "b3"), helper.make_node("Add", ["x0", "b3"], ["x1"], name="residual")]
    parts += [_conv("side", side_reads, "s", pad=0), helper.make_node("Add", ["x1", "s"], ["x2"])]
    parts += [_conv("down", "x2", "d", stride=2, pad=0), helper.make_node("Relu", ["d"], ["d2"])]
    up = helper.make_node("ConvTranspose", ["d2", *_names("up")], ["u"], name="n_up", strides=[2, 2])
    gate = [_conv("gate", "u", "g"), helper.make_node("Sigmoid", ["g"], ["share"])]
    end = [helper.make_node("Mul", ["share", "u"], ["m"]), _conv("head", "m", "residual_image")]
    return frame_model([*parts, up, *gate, *end], arrays)


def frame_model(nodes: list[onnx.NodeProto], arrays: Arrays) -> onnx.ModelProto:
    """A graph of ours around nodes that read `image` (1, 3, H, W) in [0, 1] and make `residual_image` like it."""
    arrays = {**arrays, "c255": np.array(255, np.float32), "c0": np.array(0, np.float32)}
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in arrays.items()]
    axes = numpy_helper.from_array(np.array([0], np.int64), "axes")
    before = [
        helper.make_node("Cast", ["frame"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[2, 0, 1]),
        helper.make_node("Unsqueeze", ["planes", "axes"], ["batch"]),
        helper.make_node("Div", ["batch", "c255"], ["image"]),
    ]
    after = [
        helper.make_node("Add", ["image", "residual_image"], ["added"]),
        helper.make_node("Mul", ["added", "c255"], ["scaled"]),
        helper.make_node("Squeeze", ["scaled", "axes"], ["one"]),
        helper.make_node("Transpose", ["one"], ["rows"], perm=[1, 2, 0]),
        helper.make_node("Round", ["rows"], ["whole"]),
        helper.make_node("Clip", ["whole", "c0", "c255"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["sharp"], to=TensorProto.UINT8),
    ]
    shape: list[str | int | None] = ["height", "width", 3]
    ends = [helper.make_tensor_value_info(name, TensorProto.UINT8, shape) for name in ("frame", "sharp")]
    graph = helper.make_graph([*before, *nodes, *after], "small", ends[:1], ends[1:], [*constants, axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    about = {"schema": "1", "preset": "small", "precision": "fp32", "deform": "native", "min_size": "8x8"}
    helper.set_model_props(model, {f"edgedeblur.{key}": value for key, value in about.items()})
    onnx.checker.check_model(model, full_check=True)
    return model


def loaded(model: onnx.ModelProto) -> ir.Model:
    return ir.serde.deserialize_model(model)


def frames(count: int = 3, size: tuple[int, int] = (24, 34), seed: int = 0) -> list[npt.NDArray[np.uint8]]:
    """Smooth coloured frames (H, W, 3) uint8 that differ from each other."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        coarse = random.integers(0, 256, (size[0] // 2, size[1] // 2, 3), dtype=np.uint8)
        made.append(np.ascontiguousarray(coarse.repeat(2, axis=0).repeat(2, axis=1)))
    return made


def _names(name: str) -> list[str]:
    return [f"network.{name}.weight", f"network.{name}.bias"]


def _conv(name: str, x: str, y: str, stride: int = 1, pad: int = 1) -> onnx.NodeProto:
    inputs = [x, *_names(name)]
    return helper.make_node("Conv", inputs, [y], name=f"n_{name}", strides=[stride] * 2, pads=[pad] * 4)
