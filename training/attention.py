"""Efficient attention: gather global descriptors from one feature, distribute them over another."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GatherDistribute(nn.Module):
    """Linear-cost attention with a spatial mask (model.md "Global branch"; after Shen et al. and A²-Nets).

    M = σ(conv(giver)); keys K = softmax over positions, values V, both 1x1 convolutions of M ⊙ giver;
    queries Q = softmax over the descriptors of a 1x1 convolution of the receiver; y = (V·Kᵀ)·Q.
    The order of the products keeps memory at O(HW·(C + C2)): no HW x HW matrix is ever formed.
    With receiver is giver this is the paper's self-attention; otherwise its cross-attention.
    """

    def __init__(self, channels: int, descriptors: int) -> None:
        super().__init__()
        self.mask = nn.Conv2d(channels, 1, 3, padding=1)
        self.key = nn.Conv2d(channels, descriptors, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.query = nn.Conv2d(channels, descriptors, 1)

    def spatial_mask(self, giver: Tensor) -> Tensor:
        """Where the giver is worth reading: (B, 1, H, W) in [0, 1]."""
        return torch.sigmoid(self.mask(giver))

    def forward(self, receiver: Tensor, giver: Tensor) -> Tensor:
        """receiver, giver: (B, C, H, W). Returns (B, C, H, W): global descriptors of the giver at each position."""
        masked = self.spatial_mask(giver) * giver
        keys = self.key(masked).flatten(2).softmax(dim=2)  # (B, C2, HW), each sums to 1 over positions
        values = self.value(masked).flatten(2)  # (B, C, HW)
        queries = self.query(receiver).flatten(2).softmax(dim=1)  # (B, C2, HW), sums to 1 over descriptors
        descriptors = gather(values, keys)  # (B, C, C2)
        return (descriptors @ queries).view(receiver.shape)


def gather(values: Tensor, keys: Tensor) -> Tensor:
    """values (B, C, HW) times keysᵀ (B, HW, C2): (B, C, C2), never summed in half precision.

    A share of one in 65,536 positions is below FP16's normal numbers.
    """
    if values.dtype not in (torch.float16, torch.bfloat16):  # no autocast: its convolutions give half precision
        return values @ keys.transpose(1, 2)
    with torch.autocast(values.device.type, enabled=False):
        return values.float() @ keys.float().transpose(1, 2)


class CrossAttention(nn.Module):
    """The receiver plus what it asks of the giver (the paper's replacement for adding a skip connection).

    Adding the result to the receiver is ours: the paper names queries, keys and values, not how they rejoin.
    """

    def __init__(self, channels: int, descriptors: int) -> None:
        super().__init__()
        self.attention = GatherDistribute(channels, descriptors)

    def forward(self, receiver: Tensor, giver: Tensor) -> Tensor:
        """receiver, giver: (B, C, H, W). Returns (B, C, H, W)."""
        return receiver + self.attention(receiver, giver)


class Addition(nn.Module):
    """The plain skip connection: what CrossAttention replaces, and what its ablation puts back."""

    def forward(self, receiver: Tensor, giver: Tensor) -> Tensor:
        """receiver, giver: (B, C, H, W). Returns their sum."""
        return receiver + giver
