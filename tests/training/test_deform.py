"""Deformable convolution in plain torch against ONNX Runtime's operator, on cases no swapped axis survives."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.deform import deform_conv2d

Case = dict[str, Any]

CASES: dict[str, Case] = {
    "lopsided frame": {"size": (9, 14)},
    "stride (1, 2), padding (2, 1)": {"size": (11, 8), "stride": (1, 2), "padding": (2, 1)},
    "3x1 kernel": {"size": (7, 12), "kernel": (3, 1), "padding": (1, 0)},
    "1x5 kernel, dilation (2, 3)": {"size": (6, 17), "kernel": (1, 5), "padding": (0, 6), "dilation": (2, 3)},
    "groups": {"size": (8, 5), "channels": 6, "outputs": 4, "groups": 2},
    "offset groups": {"size": (5, 9), "channels": 6, "offset_groups": 3},
    "offsets far off every edge": {"size": (6, 10), "reach": 60.0},
    "offsets of a million pixels": {"size": (6, 10), "reach": 1e6},
    "one pixel": {"size": (1, 1), "padding": (1, 1)},
}


def random_inputs(case: Case) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs (batch 2) and geometry of a case; offsets reach `reach` pixels."""
    generator = torch.Generator().manual_seed(3)
    kernel, stride = case.get("kernel", (3, 3)), case.get("stride", (1, 1))
    padding, dilation = case.get("padding", (0, 0) if "kernel" in case else (1, 1)), case.get("dilation", (1, 1))
    channels, outputs, groups = case.get("channels", 3), case.get("outputs", 5), case.get("groups", 1)
    out = [
        (length + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1) // stride[axis] + 1
        for axis, length in enumerate(case["size"])
    ]
    taps = kernel[0] * kernel[1] * case.get("offset_groups", 1)
    inputs = {
        "x": torch.randn(2, channels, *case["size"], generator=generator),
        "offset": (torch.rand(2, 2 * taps, *out, generator=generator) * 2 - 1) * case.get("reach", 4.0),
        "mask": torch.rand(2, taps, *out, generator=generator) * 2,
        "weight": torch.randn(outputs, channels // groups, *kernel, generator=generator),
        "bias": torch.randn(outputs, generator=generator),
    }
    return inputs, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


def onnx_deform_conv(inputs: dict[str, Any], geometry: dict[str, Any], offset_groups: int) -> np.ndarray:
    """The same through ONNX Runtime's DeformConv."""
    names = ["x", "weight", "offset", "bias", "mask"]
    node = onnx.helper.make_node(
        "DeformConv",
        names,
        ["y"],
        strides=geometry["stride"],
        pads=[*geometry["padding"], *geometry["padding"]],
        dilations=geometry["dilation"],
        group=geometry["groups"],
        offset_group=offset_groups,
    )
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, inputs[name].shape) for name in names]
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph([node], "deform", values, [output])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {name: inputs[name].numpy() for name in names})[0]
    return result


@pytest.mark.parametrize("name", CASES)
def test_equals_onnx_runtime(name: str) -> None:
    inputs, geometry = random_inputs(CASES[name])
    expected = onnx_deform_conv(inputs, geometry, CASES[name].get("offset_groups", 1))
    np.testing.assert_allclose(deform_conv2d(**inputs, **geometry).numpy(), expected, atol=1e-4)


def test_without_offsets_it_is_a_convolution() -> None:
    inputs, geometry = random_inputs(CASES["stride (1, 2), padding (2, 1)"])
    inputs["offset"].zero_()
    inputs["mask"].fill_(1)
    expected = torch.nn.functional.conv2d(
        inputs["x"], inputs["weight"], inputs["bias"], geometry["stride"], geometry["padding"]
    )
    torch.testing.assert_close(deform_conv2d(**inputs, **geometry), expected, atol=1e-5, rtol=1e-5)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(dy=st.integers(-3, 3), dx=st.integers(-3, 3))
def test_whole_pixel_offsets_shift_the_frame(dy: int, dx: int) -> None:
    x = torch.rand(1, 1, 7, 11, generator=torch.Generator().manual_seed(0))
    offset = torch.tensor([float(dy), float(dx)]).view(1, 2, 1, 1).expand(1, 2, 7, 11)
    shifted = deform_conv2d(x, offset, torch.ones(1, 1, 7, 11), torch.ones(1, 1, 1, 1), None)
    expected = torch.zeros(7, 11)
    for row in range(7):
        for column in range(11):
            if 0 <= row + dy < 7 and 0 <= column + dx < 11:
                expected[row, column] = x[0, 0, row + dy, column + dx]
    torch.testing.assert_close(shifted[0, 0], expected, atol=1e-5, rtol=0)


def test_gradients() -> None:
    inputs, geometry = random_inputs({**CASES["stride (1, 2), padding (2, 1)"], "size": (4, 5), "reach": 1.5})
    # The bilinear kernel has kinks at whole pixels: offsets are kept away from them.
    inputs["offset"] = inputs["offset"].floor() + 0.3 + 0.4 * torch.rand_like(inputs["offset"])
    arguments = [inputs[name].double().requires_grad_() for name in ("x", "offset", "mask", "weight", "bias")]
    assert torch.autograd.gradcheck(lambda *values: deform_conv2d(*values, **geometry), arguments)


def test_wrong_offset_channels_are_named() -> None:
    inputs, geometry = random_inputs(CASES["lopsided frame"])
    inputs["offset"] = inputs["offset"][:, :-1]
    with pytest.raises(ValueError, match="17 and mask 9 channels"):
        deform_conv2d(**inputs, **geometry)
