"""The C functions of the plugin's library as Python calls them, and the problems they are tried on."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Pair = tuple[int, int]
FP32, FP16 = 0, 1  # DeformType


class Params(ctypes.Structure):
    """deform_params.h: DeformParams."""

    _fields_ = [
        (
            name,
            ctypes.c_int * 2
            if name in ("input", "output", "kernel", "stride", "padding", "dilation")
            else ctypes.c_int,
        )
        for name in (
            "batch",
            "channels",
            "out_channels",
            "x_pitch",
            "out_pitch",
            "input",
            "output",
            "kernel",
            "stride",
            "padding",
            "dilation",
            "groups",
            "offset_groups",
            "activation",
        )
    ]


class Tensors(ctypes.Structure):
    """deform_params.h: DeformTensors."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("x", "offset", "mask", "weight", "bias", "out")]


@dataclass(frozen=True)
class Case:
    """One problem; pairs are (height, width)."""

    name: str
    size: Pair
    batch: int = 1
    channels: int = 16
    out_channels: int = 16
    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    padding: Pair = (1, 1)
    dilation: Pair = (1, 1)
    groups: int = 1
    offset_groups: int = 1
    spread: float = 2.0  # standard deviation of the offsets, pixels

    @property
    def out_size(self) -> Pair:
        def along(axis: int) -> int:
            reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
            return (self.size[axis] + 2 * self.padding[axis] - reach) // self.stride[axis] + 1

        return along(0), along(1)

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    def params(self, x_pitch: int, out_pitch: int, activation: int = 0) -> Params:
        pairs = (self.size, self.out_size, self.kernel, self.stride, self.padding, self.dilation)
        numbers = (self.batch, self.channels, self.out_channels, x_pitch, out_pitch)
        arrays = [(ctypes.c_int * 2)(*pair) for pair in pairs]
        return Params(*numbers, *arrays, self.groups, self.offset_groups, activation)


# Every axis another size, offsets off every edge, channels that fill chunks of 16 bytes and some that do not.
CASES = (
    Case("plain", (19, 37), batch=2, channels=16, out_channels=24),
    Case(
        "5x5, stride (1,2), padding (2,1)",
        (21, 13),
        batch=2,
        channels=40,
        out_channels=88,
        kernel=(5, 5),
        stride=(1, 2),
        padding=(2, 1),
    ),
    Case(
        "3x1, dilation (2,3), two offset groups",
        (31, 18),
        channels=32,
        out_channels=20,
        kernel=(3, 1),
        stride=(2, 1),
        padding=(2, 1),
        dilation=(2, 3),
        offset_groups=2,
    ),
    Case("odd channels", (9, 14), batch=2, channels=7, out_channels=5),
    Case("grouped weights", (8, 11), channels=12, out_channels=18, groups=3, offset_groups=2),
    Case("wide", (33, 50), channels=96, out_channels=100, spread=6.0),
    Case("four offset groups", (24, 40), channels=128, out_channels=130, offset_groups=4),
    Case("one row", (1, 17), channels=8, out_channels=8),
    Case("far off", (12, 7), channels=8, out_channels=16, spread=60.0),
)


def problem(torch: Any, case: Case, seed: int, device: str = "cpu") -> dict[str, Any]:
    """x (N, C, H, W), offset, mask in [0, 1), weight (M, C/g, kh, kw) and bias of `case`; FP32, standard normal."""
    draw = torch.Generator(device).manual_seed(seed)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=draw, device=device)

    planes = case.offset_groups * case.taps
    fan_in = case.channels // case.groups * case.taps
    return {
        "x": normal(case.batch, case.channels, *case.size),
        "offset": normal(case.batch, 2 * planes, *case.out_size) * case.spread,
        "mask": torch.rand(case.batch, planes, *case.out_size, generator=draw, device=device),
        "weight": normal(case.out_channels, case.channels // case.groups, *case.kernel) / fan_in**0.5,
        "bias": normal(case.out_channels),
    }


def channels_last(torch: Any, x: Any, pitch: int) -> Any:
    """(N, C, H, W) → (N, H, W, pitch), what lies between C and the pitch NaN: nobody may read it."""
    rows = x.permute(0, 2, 3, 1)
    padded = torch.full((*rows.shape[:3], pitch), float("nan"), dtype=x.dtype, device=x.device)
    padded[..., : rows.shape[3]] = rows
    return padded


def pointers(tensors: Sequence[Any]) -> Tensors:
    """x, offset, mask, weight, bias and out as the C function takes them; None is null."""
    return Tensors(*(None if tensor is None else tensor.data_ptr() for tensor in tensors))
