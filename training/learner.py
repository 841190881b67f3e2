"""The network under training: one optimiser step at a time, in the precision and memory layout of the run."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from training import distributed
from training.losses import deblurring_loss
from training.muon import optimisers
from training.network import SAPHNet
from training.qat import fake_quantise
from training.train_config import TrainConfig

_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


def precision(asked: str, device: str) -> str:
    """`auto` becomes bf16 on GPUs that have it, fp16 on older ones, and off on CPUs."""
    if asked != "auto":
        return asked
    if not device.startswith("cuda"):
        return "off"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


class Learner:
    """Network, optimiser, loss scale and averaged weights."""

    def __init__(self, config: TrainConfig) -> None:
        self.layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.network = SAPHNet(config.model).to(config.device)
        self.network.to(memory_format=self.layout)  # type: ignore[call-overload]  # missing in torch's own overloads
        if config.plan is not None:
            fake_quantise(self.network, config.plan)  # before it is copied: what is validated is quantised, too
        self.average = AveragedModel(self.network, multi_avg_fn=_warmed_average(config.ema))
        self.optimisers = optimisers(self.network, config.lr)
        self.device_type, self.half = torch.device(config.device).type, _HALF.get(config.amp)
        # BF16 has the range of FP32: only FP16 needs its gradients scaled.
        self.scaler = torch.amp.GradScaler(self.device_type, enabled=self.half == torch.float16)
        self._forward = _forward_of(self.network, config)

    @property
    def averaged(self) -> SAPHNet:
        """The network with averaged weights: the one to use."""
        averaged = self.average.module
        assert isinstance(averaged, SAPHNet)
        return averaged

    def start_from(self, weights: dict[str, Any]) -> None:
        """Take these weights, as a checkpoint has them. Raises RuntimeError when they are another network's."""
        self.network.load_state_dict(weights)
        self.averaged.load_state_dict(weights)

    def step(self, blurred: Tensor, sharp: Tensor, rate: float, batch: int) -> tuple[float, float]:
        """One optimiser step, left out where its gradient is not finite. Returns the loss and the gradient's norm.

        blurred, sharp: this process's part of the `batch`, (B, 3, H, W) float32 RGB in [0, 1] on the device.
        """
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
        with torch.autocast(self.device_type, self.half, enabled=self.half is not None):
            outputs = self._forward(blurred.contiguous(memory_format=self.layout))
        loss = deblurring_loss([output.float() for output in outputs], sharp) * (len(blurred) / batch)
        self.network.zero_grad(set_to_none=True)
        # The parts' gradients are averaged over the processes; their sum is the gradient of the whole batch.
        self.scaler.scale(loss * distributed.size()).backward()  # type: ignore[no-untyped-call]
        for optimiser in self.optimisers:
            self.scaler.unscale_(optimiser)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 1.0).item()
        if math.isfinite(norm):
            for optimiser in self.optimisers:
                self.scaler.step(optimiser)
            self.average.update_parameters(self.network)
        self.scaler.update()  # also lowers the scale after an overflow, which is how half precision recovers
        return sum(row[0] for row in distributed.gather(loss.item())), norm

    def state(self) -> dict[str, Any]:
        """What a resumed run needs beside the averaged weights."""
        return {
            "network": self.network.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "scaler": self.scaler.state_dict(),
            "averaged": int(self.average.n_averaged),
        }

    def restore(self, weights: dict[str, Any], state: dict[str, Any]) -> None:
        """Undo `state`. Raises KeyError, TypeError, RuntimeError or ValueError where it is another network's."""
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(weights)
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        if state["scaler"]:  # empty from a precision that needs none
            self.scaler.load_state_dict(state["scaler"])
        self.average.n_averaged.fill_(state["averaged"])


class _Outputs(nn.Module):
    """`SAPHNet.outputs` as a forward: what runs on several devices, or is compiled, must be one.

    It wraps the network from outside, so that a checkpoint has the network's own names.
    """

    def __init__(self, network: SAPHNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> list[Tensor]:
        return self.network.outputs(image)


def _forward_of(network: SAPHNet, config: TrainConfig) -> Any:
    forward: nn.Module = _Outputs(network)
    if distributed.size() > 1:
        forward = DistributedDataParallel(forward)
    return torch.compile(forward, dynamic=False) if config.compile else forward


def _warmed_average(decay: float) -> Any:
    """Exponential average whose decay grows with the updates, so that short runs are not dominated by their start."""

    def average(averaged: list[Tensor], current: list[Tensor], updates: Tensor) -> None:
        now = min(decay, (1 + float(updates)) / (10 + float(updates)))
        torch._foreach_lerp_(averaged, current, 1 - now)

    return average
