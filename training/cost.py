"""What a network costs: parameters, and multiply-accumulates counted on the operations it really runs."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from training.config import ModelConfig
from training.network import SAPHNet


def parameters(config: ModelConfig) -> int:
    """Number of trainable values."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in SAPHNet(config).parameters())


def macs(config: ModelConfig, size: tuple[int, int] = (720, 1280)) -> int:
    """Multiply-accumulates of convolutions and matrix products for one frame of (height, width), padding included.

    Elementwise operations and bilinear sampling are not counted, as in the published tables.
    """
    padded = [-(-length // multiple) * multiple for length, multiple in zip(size, config.multiple_of, strict=True)]
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        SAPHNet(config)(torch.zeros(1, 3, *padded))
    return int(counter.get_total_flops()) // 2
