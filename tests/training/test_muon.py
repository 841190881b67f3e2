"""Muon: orthogonal updates, of AdamW's size, that learn a badly conditioned problem."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from training.config import PRESETS
from training.muon import Muon, optimisers, orthogonalised
from training.network import SAPHNet


@settings(max_examples=30, deadline=None, derandomize=True)
@given(rows=st.integers(1, 24), columns=st.integers(1, 24), seed=st.integers(0, 1000))
def test_singular_values_come_near_one_and_directions_stay(rows: int, columns: int, seed: int) -> None:
    matrix = torch.randn(2, rows, columns, generator=torch.Generator().manual_seed(seed))
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalised(matrix)
    inner = torch.linalg.diagonal(u.mT @ found @ v.mT)
    large = values > 0.05 * values.amax(dim=1, keepdim=True)
    assert (inner[large] > 0.6).all()
    assert (inner < 1.3).all()
    assert torch.allclose(u @ torch.diag_embed(inner) @ v, found, atol=1e-4)


def test_a_step_is_as_large_as_the_rate_says() -> None:
    weight = nn.Parameter(torch.zeros(12, 5, 3, 3))
    weight.grad = torch.randn(12, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    Muon([weight], lr=0.01).step()
    # Orthogonal rows have unit length, so the root mean square of 12x45 entries is 1/√45, times 0.2·√45.
    assert weight.square().mean().sqrt().item() == pytest.approx(0.01 * 0.2, rel=0.25)


def in_numpy(gradients: NDArray[np.float64], rate: float, momentum: float) -> NDArray[np.float64]:
    """Where gradients (steps, rows, columns) take a weight that is 0, by the published algorithm."""
    average = weight = np.zeros(gradients.shape[1:])
    for gradient in gradients:
        average = momentum * average + (1 - momentum) * gradient
        x = momentum * average + (1 - momentum) * gradient
        x = x / np.linalg.norm(x)
        for _ in range(5):
            x = 3.4445 * x - 4.7750 * x @ x.T @ x + 2.0315 * x @ x.T @ x @ x.T @ x
        weight = weight - rate * 0.2 * max(weight.shape) ** 0.5 * x
    return weight


@pytest.mark.parametrize("momentum", [0.95, 0.5])
@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (9, 5)])
def test_momentum_over_several_steps_is_the_published_one(shape: tuple[int, ...], momentum: float) -> None:
    gradients = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weight = nn.Parameter(torch.zeros(shape, dtype=torch.float64))
    optimiser = Muon([weight], lr=0.01, momentum=momentum)
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimiser.step()
    expected = in_numpy(gradients.flatten(2).numpy(), 0.01, momentum)
    assert np.allclose(weight.detach().flatten(1).numpy(), expected, atol=1e-6)


def adamw(weights: list[Tensor], rate: float) -> Optimizer:
    return AdamW(weights, rate, betas=(0.9, 0.99), weight_decay=0.0)


def distance_left(make: Callable[[list[Tensor], float], Optimizer], seed: int) -> float:
    """Of 1, after 200 steps on a quadratic that is 10,000 times flatter in some directions than in others."""
    random = torch.Generator().manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(24, 24, generator=random))[0]
    curvature = directions @ torch.diag(torch.logspace(0, -4, 24)) @ directions.T
    target = torch.randn(24, 24, generator=random)
    weight = nn.Parameter(torch.zeros(24, 24))
    optimiser = make([weight], 0.5)
    for step in range(200):
        optimiser.param_groups[0]["lr"] = 0.5 * (1 - step / 200)
        weight.grad = curvature @ (weight.detach() - target)
        optimiser.step()
    return float((weight.detach() - target).norm() / target.norm())


@pytest.mark.parametrize("seed", range(3))
def test_a_badly_conditioned_problem_is_learnt_where_adamw_is_stuck(seed: int) -> None:
    assert distance_left(Muon, seed) < 0.05
    assert distance_left(adamw, seed) > 0.25


def test_a_closure_is_called_once_with_gradients_and_its_loss_returned() -> None:
    weight, calls = nn.Parameter(torch.ones(2, 3)), list[int]()

    def closure() -> float:
        calls.append(1)
        loss = weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    assert Muon([weight], lr=0.1).step(closure) == 6
    assert len(calls) == 1
    assert (weight < 1).all()


def test_weights_of_one_input_or_output_channel_are_no_matrices() -> None:
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 1, 3))
    muon, _ = optimisers(network, 1e-3)
    assert [parameter.shape for parameter in muon.param_groups[0]["params"]] == [(4, 8, 1, 1)]


def test_weights_of_one_shape_do_not_mix() -> None:
    torch.manual_seed(0)
    gradients = [torch.randn(4, 6) for _ in range(2)]
    together, apart = ([nn.Parameter(torch.zeros(4, 6)) for _ in range(2)] for _ in range(2))
    for weights in (together, apart):
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient.clone()
    Muon(together, lr=0.1).step()
    for weight in apart:
        Muon([weight], lr=0.1).step()
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(together, apart, strict=True))


def test_every_parameter_of_the_network_is_in_one_group() -> None:
    network = SAPHNet(PRESETS["edge-s"])
    muon, adam = optimisers(network, 1e-3)
    grouped = [
        parameter for optimiser in (muon, adam) for group in optimiser.param_groups for parameter in group["params"]
    ]
    assert len(grouped) == len({id(parameter) for parameter in grouped}) == len(list(network.parameters()))
    assert all(parameter.ndim == 4 for group in muon.param_groups for parameter in group["params"])
    sampling = {id(parameter) for name, parameter in network.named_parameters() if ".offset." in name}
    assert sampling
    assert sampling <= {id(parameter) for group in adam.param_groups for parameter in group["params"]}
