"""The deformable convolution's maths, compiled by g++: the lines that the GPU runs, against torch and ONNX Runtime."""

from __future__ import annotations

import ctypes
import subprocess

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from engines.plugin_library import FOLDER
from tests.engines.plugin.deform_call import CASES, Case, channels_last, pointers, problem
from training.deform import deform_conv2d

Values = dict[str, torch.Tensor]
SMALL = Case("small", (5, 9), channels=3, out_channels=4)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    built = tmp_path_factory.mktemp("core") / "core.so"
    strict = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined", "-fno-sanitize-recover"]
    command = ["g++", *strict, "-shared", "-fPIC", str(FOLDER / "deform_capi.cpp"), "-o", str(built)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(built))


def convolve(library: ctypes.CDLL, case: Case, values: Values, spare: int = 3, activation: int = 0) -> torch.Tensor:
    """(N, M, OH, OW), with pitches `spare` elements wider than the channels; poisoned before."""
    x = channels_last(torch, values["x"], case.channels + spare)
    out = torch.full((case.batch, *case.out_size, case.out_channels + spare), float("nan"))
    weight = values["weight"].permute(0, 2, 3, 1).contiguous()
    params = case.params(x.shape[3], out.shape[3], activation)
    tensors = pointers([x, values["offset"], values.get("mask"), weight, values.get("bias"), out])
    assert library.edge_deform_conv2d_cpu(ctypes.byref(params), ctypes.byref(tensors)) == 0
    assert (out[..., case.out_channels :] == 0).all()
    return out[..., : case.out_channels].permute(0, 3, 1, 2)


def reference(case: Case, values: Values, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    x, offset, mask, weight, bias = (values[name].to(dtype) for name in ("x", "offset", "mask", "weight", "bias"))
    return deform_conv2d(x, offset, mask, weight, bias, case.stride, case.padding, case.dilation, case.groups)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_torch_at_most_twice_its_own_error(library: ctypes.CDLL, case: Case) -> None:
    values = problem(torch, case, seed=3)
    exact = reference(case, values)
    ours = (convolve(library, case, values) - exact).abs().max().item()
    torchs = (reference(case, values, torch.float32) - exact).abs().max().item()
    assert ours <= 2 * torchs + 1e-7


@pytest.mark.parametrize("case", [case for case in CASES if case.name != "far off"], ids=lambda case: case.name)
def test_equals_onnx_runtime(library: ctypes.CDLL, case: Case) -> None:
    values = problem(torch, case, seed=4)
    node = helper.make_node(
        "DeformConv",
        ["x", "weight", "offset", "bias", "mask"],
        ["y"],
        kernel_shape=case.kernel,
        strides=case.stride,
        pads=[*case.padding, *case.padding],
        dilations=case.dilation,
        group=case.groups,
        offset_group=case.offset_groups,
    )
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, values[name].shape) for name in node.input]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph([node], "g", inputs, [output]), opset_imports=[helper.make_opsetid("", 19)], ir_version=9
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, {name: values[name].numpy() for name in node.input})[0]
    np.testing.assert_allclose(convolve(library, case, values).numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("where", [float("nan"), float("inf"), -float("inf"), 1e30, -3e9, 1e6])
def test_positions_that_are_nowhere_sample_nothing(library: ctypes.CDLL, where: float) -> None:
    values = problem(torch, SMALL, seed=5)
    values["offset"][:, ::4] = where  # y of every second tap
    still = {**values, "mask": values["mask"].clone()}
    still["mask"][:, ::2] = 0
    assert torch.equal(convolve(library, SMALL, values), convolve(library, SMALL, still))


@given(
    batch=st.integers(1, 2),
    size=st.tuples(st.integers(1, 7), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    groups=st.integers(1, 3),
    offset_groups=st.integers(1, 3),
    spread=st.sampled_from([0.0, 0.7, 9.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_any_sizes(
    library: ctypes.CDLL,
    batch: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    offset_groups: int,
    spread: float,
    seed: int,
) -> None:
    channels = 6 * groups * offset_groups
    case = Case(
        "any", size, batch, channels, 2 * groups, kernel, stride, padding, dilation, groups, offset_groups, spread
    )
    if min(case.out_size) < 1:
        return
    values = problem(torch, case, seed)
    error = (convolve(library, case, values, spare=seed % 3) - reference(case, values)).abs().max().item()
    assert error < 1e-4


def test_whole_offsets_move_and_do_not_blur(library: ctypes.CDLL) -> None:
    """(y, x) in that order, positive down and to the right; what comes from outside is 0."""
    case = Case("move", (4, 6), channels=1, out_channels=1, kernel=(1, 1), padding=(0, 0))
    x = torch.arange(24.0).view(1, 1, 4, 6) + 1
    offset = torch.tensor([1.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 4, 6).contiguous()
    moved = convolve(library, case, {"x": x, "offset": offset, "weight": torch.ones(1, 1, 1, 1)})
    expected = torch.zeros_like(x)
    expected[..., :3, 2:] = x[..., 1:, :4]
    assert torch.equal(moved, expected)


def test_positions_far_to_the_right_are_exact(library: ctypes.CDLL) -> None:
    """A ramp of 1920 columns sampled at quarters of a pixel: half precision would move samples by up to a pixel."""
    case = Case("ramp", (2, 1920), channels=1, out_channels=1, kernel=(1, 1), padding=(0, 0))
    x = torch.arange(1920.0).expand(1, 1, 2, 1920).contiguous()
    offset = torch.tensor([0.0, 0.25]).view(1, 2, 1, 1).expand(1, 2, 2, 1920).contiguous()
    moved = convolve(library, case, {"x": x, "offset": offset, "weight": torch.ones(1, 1, 1, 1)})
    assert (moved[..., :-1] - x[..., :-1] - 0.25).abs().max().item() < 1e-3


def test_relu_keeps_nan(library: ctypes.CDLL) -> None:
    values = problem(torch, SMALL, seed=6)
    plain = convolve(library, SMALL, values)
    assert torch.equal(convolve(library, SMALL, values, activation=1), plain.clamp(min=0))
    values["bias"][0] = float("nan")
    assert convolve(library, SMALL, values, activation=1)[:, 0].isnan().all()


def test_without_mask_is_a_mask_of_ones(library: ctypes.CDLL) -> None:
    values = problem(torch, SMALL, seed=7)
    ones = convolve(library, SMALL, {**values, "mask": torch.ones_like(values["mask"])})
    assert torch.equal(convolve(library, SMALL, {name: values[name] for name in values if name != "mask"}), ones)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("batch", 0), ("channels", -1), ("x_pitch", 2), ("out_pitch", 3), ("groups", 2), ("offset_groups", 2)),
        *(("activation", 2), ("kernel", (0, 3)), ("stride", (1, 0)), ("padding", (-1, 0)), ("dilation", (1, 0))),
        *(("input", (0, 9)), ("output", (5, 0)), ("input", (65536, 65536)), ("output", (65536, 65536))),
        *(
            ("kernel", (65536, 65536)),
            ("stride", (1 << 30, 1)),
            ("padding", (1, (1 << 31) - 1)),
            ("dilation", (1, 1 << 30)),
        ),
    ],
)
def test_sizes_that_make_no_sense_are_refused(library: ctypes.CDLL, field: str, value: object) -> None:
    params = SMALL.params(3, 4)
    setattr(params, field, (ctypes.c_int * 2)(*value) if isinstance(value, tuple) else value)
    assert library.edge_deform_conv2d_cpu(ctypes.byref(params), ctypes.byref(pointers([None] * 6))) == 1
