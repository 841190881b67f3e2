"""Muon: orthogonal updates, of AdamW's size, that learn a badly conditioned problem."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

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
