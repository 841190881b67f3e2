"""Modulated deformable convolution (DCNv2) in plain torch operations: the reference everything is judged by."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Pair = tuple[int, int]


def deform_conv2d(
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Tensor:
    """y(p) = Σ_n mask_n(p) · W_n · x(p·stride - padding + ρ_n·dilation + offset_n(p)) + bias, over taps n of kh x kw.

    Sampling is bilinear and zero outside the frame. Semantics of ONNX DeformConv 19; source: Zhu et al., CVPR 2019.

    x: (B, C, H, W) float. offset: (B, G·K·2, OH, OW) pixels, (y, x) per tap; K = kh·kw taps, G offset groups.
    mask: (B, G·K, OH, OW). weight: (M, C/groups, kh, kw). bias: (M,). All pairs are (height, width).
    Returns (B, M, OH, OW). Raises ValueError when the shapes do not fit together.
    """
    kernel = (weight.shape[2], weight.shape[3])
    if torch.onnx.is_in_onnx_export():
        return _onnx_deform_conv(x, offset, mask, weight, bias, kernel, stride, padding, dilation, groups)
    columns = sampled_columns(x, offset, mask, kernel, stride, padding, dilation)  # (B, C·K, OH, OW)
    return functional.conv2d(columns, weight.flatten(2).flatten(1)[:, :, None, None], bias, groups=groups)


def sampled_columns(
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
) -> Tensor:
    """Samples of every tap, times the mask: what the weight of `deform_conv2d`, whose arguments these are, multiplies.

    Returns (B, C·K, OH, OW) with the tap running fastest, as in a flattened weight. Raises ValueError as it does.
    """
    batch, channels, height, width = x.shape
    taps = kernel[0] * kernel[1]
    offset_groups = mask.shape[1] // taps
    if mask.shape[1] != offset_groups * taps or offset.shape[1] != 2 * mask.shape[1] or channels % offset_groups:
        raise ValueError(
            f"offset has {offset.shape[1]} and mask {mask.shape[1]} channels; expected 2·K and K per offset group "
            f"with K = {taps} taps and groups that divide {channels} channels"
        )
    out_height, out_width = offset.shape[2:]
    groups = batch * offset_groups
    # Coordinates are never below FP32: half precision moves samples by up to half a pixel.
    precise = torch.promote_types(x.dtype, torch.float32)
    shifts = offset.to(precise).view(groups, taps, 2, out_height, out_width)
    base_y, base_x = _base_positions(x.device, (out_height, out_width), kernel, stride, padding, dilation)
    y, x_pos = base_y + shifts[:, :, 0], base_x + shifts[:, :, 1]  # (B·G, K, OH, OW) pixels
    grid = torch.stack(((2 * x_pos + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)
    samples = functional.grid_sample(
        x.view(groups, channels // offset_groups, height, width).to(precise),
        grid.view(groups, taps * out_height, out_width, 2),
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )  # (B·G, C/G, K·OH, OW)
    samples = samples.view(groups, channels // offset_groups, taps, out_height, out_width).to(x.dtype)
    samples = samples * mask.view(groups, 1, taps, out_height, out_width)
    return samples.view(batch, channels * taps, out_height, out_width)


def _base_positions(
    device: torch.device, size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> tuple[Tensor, Tensor]:
    """Sampling positions without offsets, in pixels: y (K, OH, 1) and x (K, 1, OW)."""
    axes = [
        torch.arange(kernel[axis], device=device).view(-1, 1) * dilation[axis]
        + torch.arange(size[axis], device=device) * stride[axis]
        - padding[axis]
        for axis in (0, 1)
    ]  # (kh, OH) and (kw, OW)
    y = axes[0].repeat_interleave(kernel[1], dim=0)[:, :, None]
    x = axes[1].repeat(kernel[0], 1)[:, None, :]
    return y.float(), x.float()


def _onnx_deform_conv(
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Tensor:
    """The standard ONNX operator, in place of the operations above, while a graph is exported."""
    inputs = (x, weight, offset, torch.zeros_like(weight[:, 0, 0, 0]) if bias is None else bias, mask)
    attributes: dict[str, Any] = {
        "kernel_shape": list(kernel),
        "strides": list(stride),
        "pads": [*padding, *padding],
        "dilations": list(dilation),
        "group": groups,
        "offset_group": mask.shape[1] // (kernel[0] * kernel[1]),
    }
    shape = (x.shape[0], weight.shape[0], offset.shape[2], offset.shape[3])
    return torch.onnx.ops.symbolic("DeformConv", inputs, attributes, dtype=x.dtype, shape=shape, version=19)
