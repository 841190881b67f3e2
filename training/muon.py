"""Muon: steps of equal size in every direction of a weight matrix. What it wins over AdamW is in training/README.md."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

# Coefficients of the quintic that pushes singular values towards 1 (Jordan et al., 2024).
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5


class Muon(Optimizer):
    """Momentum whose update is replaced by the nearest orthogonal matrix, for convolution and matrix weights.

    Source: Jordan et al., "Muon: an optimizer for hidden layers", 2024; the scale 0.2·√max(rows, columns), which makes
    a step as large as AdamW's at the same rate, after Liu et al., arXiv 2502.16982. A weight (O, I, kh, kw) is the
    matrix (O, I·kh·kw). torch.optim.Muon takes matrices only and iterates in bfloat16, which most CPUs emulate.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step with the gradients that are there, or that `closure` leaves; returns its loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group["params"], group["lr"], group["momentum"])
        return loss

    def _update(self, parameters: list[Tensor], lr: float, momentum: float) -> None:
        # Weights of one shape are orthogonalised together: a GPU is launched at once for all of them.
        updates: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter in parameters:
            if parameter.grad is not None:
                update = self._momentum(parameter, parameter.grad, momentum)
                updates[update.shape].append((parameter, update))
        for shape, entries in updates.items():
            scale = -lr * 0.2 * max(shape) ** 0.5
            orthogonal = orthogonalised(torch.stack([update for _, update in entries]))
            for (parameter, _), update in zip(entries, orthogonal, strict=True):
                parameter.add_(update.view(parameter.shape), alpha=scale)

    def _momentum(self, parameter: Tensor, gradient: Tensor, momentum: float) -> Tensor:
        """Nesterov's look-ahead of the averaged gradient, as a matrix (rows, columns)."""
        state = self.state[parameter]
        if "average" not in state:
            state["average"] = torch.zeros_like(parameter)
        state["average"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(state["average"], momentum).flatten(1)


def orthogonalised(matrices: Tensor) -> Tensor:
    """(N, rows, columns) → the same, singular values brought near 1 (0.7 to 1.2) by Newton-Schulz iterations."""
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.transpose(1, 2)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.transpose(1, 2)
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x if wide else x.transpose(1, 2)


def optimisers(network: nn.Module, lr: float) -> list[Optimizer]:
    """Muon for weights that are matrices, AdamW for biases, scales and weights of one input or output channel.

    Also AdamW for what predicts a filter's sampling: their gradients are tiny, and steps of one size for all directions
    drove the offsets hundreds of frame pixels away without any gain (training/README.md).
    """
    matrices, others = list[Tensor](), list[Tensor]()
    for name, parameter in network.named_parameters():
        is_matrix = parameter.ndim >= 2 and min(parameter.shape[:2]) > 1
        samples = ".offset." in name or ".modulation." in name
        (matrices if is_matrix and not samples else others).append(parameter)
    return [Muon(matrices, lr), AdamW(others, lr, betas=(0.9, 0.99), weight_decay=0.0)]
