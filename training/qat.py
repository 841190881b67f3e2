"""Quantisation-aware training: a network computes with what INT8 leaves of its activations and weights.

Symmetric, zero-point 0, scales rounded to FP16, ties to even: the numbers of the graph that calibration writes. The
gradient goes straight through the rounding (Bengio et al., arXiv 1308.3432); activations have none beyond their range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.blocks import PixelDependentFilter, ResidualBlock
from training.deform import sampled_columns
from training.network import SAPHNet
from training.quantisation_plan import CONV, DEFORM, SKIP, SKIP_OF_BLOCK, QuantisationPlan

LEVELS = 127
# Beyond the range an activation ends at -128: ONNX's QuantizeLinear and TensorRT use all of INT8.
LOWEST = -128
SMALLEST_SCALE, LARGEST_SCALE = 2.0**-14, 65504.0  # the normal numbers of FP16


def add_to_biases(network: nn.Module, corrections: Mapping[str, Sequence[float]]) -> None:
    """Add calibration's corrections, an (M,) for each of these convolutions, in place."""
    with torch.no_grad():
        for name, values in corrections.items():
            bias = network.get_submodule(name).bias
            assert isinstance(bias, Tensor)
            bias += torch.tensor(values, dtype=bias.dtype, device=bias.device)


class FakeQuantConvolution(nn.Conv2d):
    """A convolution with input and weight in INT8."""

    scale: float

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) float. Returns (B, M, OH, OW)."""
        return self._conv_forward(quantised_activation(x, self.scale), quantised_weight(self.weight), self.bias)


class FakeQuantFilter(PixelDependentFilter):
    """A deformable convolution that samples and modulates in high precision, and multiplies by its weight in INT8."""

    scale: float

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W). Returns (B, C, H, W)."""
        side = self.filter.kernel_size[0]
        columns = sampled_columns(x, *self.sampling(x), (side, side), padding=(side // 2, side // 2))
        weight = quantised_weight(self.filter.weight).flatten(1)[:, :, None, None]
        return functional.conv2d(quantised_activation(columns, self.scale), weight, self.filter.bias)


class FakeQuantBlock(ResidualBlock):
    """A residual block that adds its input as INT8 leaves it, which is what its first convolution reads."""

    scale: float

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W). Returns (B, C, H, W)."""
        return quantised_activation(x, self.scale) + self.residual(x)


_FORMS: dict[str, tuple[type[nn.Module], str]] = {  # by kind, and what a layer's name has behind that of its module
    CONV: (FakeQuantConvolution, ""),
    DEFORM: (FakeQuantFilter, ".filter"),
    SKIP: (FakeQuantBlock, SKIP_OF_BLOCK),
}


def fake_quantise(network: SAPHNet, plan: QuantisationPlan) -> None:
    """Make the plan's INT8 layers compute as INT8 would, in place. plan: checked for this network's preset.

    Modules change their class alone: optimisers, averages and checkpoints find all parameters as they were.
    """
    for layer in plan.int8:
        form, behind = _FORMS[layer.kind]
        module = network.get_submodule(layer.name.removesuffix(behind))
        module.__class__ = form
        module.scale = activation_scale(layer.range)  # type: ignore[assignment]  # torch takes all for tensors


def activation_scale(largest: float) -> float:
    """The step between two levels, for magnitudes up to `largest`."""
    return float(np.clip(np.float16(min(largest / LEVELS, LARGEST_SCALE)), SMALLEST_SCALE, LARGEST_SCALE))


def quantised_activation(x: Tensor, scale: float) -> Tensor:
    """x, any shape and float type, as INT8 gives it back: float32 of the same shape."""
    x = x.float()  # half precision would move the levels
    levels = (x.detach() / scale).round().clamp(LOWEST, LEVELS)
    return _straight_through(x.clamp(LOWEST * scale, LEVELS * scale), levels * scale)


def quantised_weight(weight: Tensor) -> Tensor:
    """A weight (M, …) as INT8 gives it back, with a scale for each output channel: float32 of the same shape."""
    fixed = weight.detach()
    largest = fixed.abs().amax(dim=tuple(range(1, weight.ndim)), keepdim=True)
    scale = (largest / LEVELS).clamp(max=LARGEST_SCALE).half().float().clamp(min=SMALLEST_SCALE)
    return _straight_through(weight, (fixed / scale).round().clamp(-LEVELS, LEVELS) * scale)


def _straight_through(x: Tensor, quantised: Tensor) -> Tensor:
    """The values of `quantised` with the gradient of x.

    Exactly so: the two are within a factor of 2 or one of them is 0, and such differences are not rounded (Sterbenz).
    """
    return x + (quantised - x.detach())
