"""The network: shapes, budgets, the attention's algebra, the patch hierarchy and every ablation switch."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.attention import GatherDistribute, gather
from training.config import MAC_BUDGETS, PATCH_GRIDS, PRESETS, ModelConfig
from training.cost import macs, parameters
from training.frame_model import FrameModel
from training.network import SAPHNet, join_patches, split_patches

# The whole of model.md in small: three levels, content-aware modules at every scale.
SMALL = ModelConfig(levels=3, widths=(4, 6, 8), encoder_blocks=(1, 1, 1), decoder_blocks=(0, 1, 1), descriptors=5)


def network_with_residual(config: ModelConfig) -> SAPHNet:
    """A network whose parameters are all random, so that every part moves the output (a fresh one is the identity)."""
    torch.manual_seed(5)
    network = SAPHNet(config).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_keep_the_shape_and_start_as_the_identity(preset: str) -> None:
    config = PRESETS[preset]
    height, width = config.multiple_of
    image = torch.rand(2, 3, 2 * height, 3 * width)
    with torch.no_grad():
        assert torch.equal(SAPHNet(config)(image), image)


@pytest.mark.parametrize(("preset", "budget"), MAC_BUDGETS.items())
def test_edge_presets_meet_their_budget(preset: str, budget: float) -> None:
    assert 0.5 * budget < macs(PRESETS[preset]) <= budget


def test_macs_of_a_known_convolution() -> None:
    bare = ModelConfig(
        levels=1, widths=(4, 4, 4), encoder_blocks=(0, 0, 0), decoder_blocks=(0, 0, 0), skip_attention=False
    )
    at = [16 * 24 // 4**scale for scale in range(3)]  # positions of each scale
    convolutions = at[0] * 27 * 4 + (at[1] + at[2]) * 36 * 4  # stem, two downs
    ups = (at[1] + at[2]) * 4 * 16
    assert macs(bare, (16, 24)) == convolutions + ups + at[0] * 36 * 3
    assert parameters(bare) == sum(p.numel() for p in SAPHNet(bare).parameters())


def test_attention_equals_the_explicit_matrix() -> None:
    torch.manual_seed(1)
    attention = GatherDistribute(6, 4).double()
    giver, receiver = torch.randn(2, 6, 5, 7).double(), torch.randn(2, 6, 5, 7).double()
    masked = attention.spatial_mask(giver) * giver
    keys = attention.key(masked).flatten(2).softmax(2)
    queries = attention.query(receiver).flatten(2).softmax(1)
    affinity = keys.transpose(1, 2) @ queries  # (B, HW of the giver, HW of the receiver): what is never formed
    expected = (attention.value(masked).flatten(2) @ affinity).view(2, 6, 5, 7)
    torch.testing.assert_close(attention(receiver, giver), expected)


def test_many_positions_are_summed_in_full_precision_under_autocast() -> None:
    # A share of 90,000 positions is 1.1e-5; half precision's smallest normal number is 6.1e-5.
    values, shares = torch.ones(1, 2, 90_000, dtype=torch.float16), torch.full((1, 3, 90_000), 1 / 90_000)
    with torch.autocast("cpu", torch.float16):
        gathered = gather(values, shares)
    torch.testing.assert_close(gathered, torch.ones(1, 2, 3), atol=1e-4, rtol=0)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(grid=st.sampled_from(PATCH_GRIDS), batch=st.integers(1, 3), rows=st.integers(1, 4), columns=st.integers(1, 4))
def test_joining_undoes_splitting(grid: tuple[int, int], batch: int, rows: int, columns: int) -> None:
    x = torch.rand(batch, 2, grid[0] * rows, grid[1] * columns)
    patches = split_patches(x, grid)
    assert patches.shape == (batch * grid[0] * grid[1], 2, rows, columns)
    assert torch.equal(patches[0], x[0, :, :rows, :columns])
    assert torch.equal(join_patches(patches, grid), x)


def test_patches_of_two_frames_do_not_mix() -> None:
    network = network_with_residual(SMALL)
    images = torch.rand(2, 3, 16, 24)
    with torch.no_grad():
        both, second = network(images), network(images[1:])
    torch.testing.assert_close(both[1:], second, atol=1e-5, rtol=1e-5)


SWITCHES: dict[str, Any] = {
    "global_branch": False,
    "local_branch": False,
    "learn_offsets": False,
    "learn_modulation": False,
    "learn_fusion": False,
    "skip_attention": False,
    "level_attention": False,
    "levels": 2,
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_every_switch_changes_the_network_and_it_still_learns(switch: str) -> None:
    config = dataclasses.replace(SMALL, **{switch: SWITCHES[switch]})
    image = torch.rand(1, 3, 16, 24)
    network = network_with_residual(config)
    complete = network_with_residual(SMALL)
    shared = {name: value for name, value in complete.state_dict().items() if name in network.state_dict()}
    network.load_state_dict(shared, strict=False)
    output = network(image)
    with torch.no_grad():
        assert not torch.allclose(output, complete(image))
    output.square().mean().backward()
    heads = [parameter.grad for name, parameter in network.named_parameters() if ".head." in name]
    assert all(grad is not None and bool(grad.isfinite().all()) for grad in heads)


def test_all_parameters_of_the_complete_network_get_gradients() -> None:
    network = network_with_residual(SMALL)
    network(torch.rand(1, 3, 16, 24)).square().mean().backward()
    silent = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert silent == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": 5}, "levels is 5"),
        ({"unshuffle": 3}, "unshuffle is 3"),
        ({"kernel_size": 4}, "kernel_size is 4"),
        ({"global_branch": False, "local_branch": False}, "global_branch or local_branch"),
    ],
)
def test_contradictions_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(height=st.integers(9, 40), width=st.integers(9, 40))
def test_frame_model_takes_any_size_from_the_smallest(height: int, width: int) -> None:
    config = dataclasses.replace(SMALL, levels=1, unshuffle=4)
    assert config.min_size == (9, 9)
    frame = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(FrameModel(SAPHNet(config))(frame), frame)
