"""LPIPS: what its network is fed, on which device, and what is said where it cannot be used."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.evaluation.perceptual import _tensor, lpips_distance

COLOUR = np.full((4, 5, 3), (0, 51, 255), np.uint8)  # BGR


class Difference(nn.Module):
    """In place of LPIPS: a distance whose sign tells the image from its reference."""

    def __init__(self, net: str, verbose: bool) -> None:
        super().__init__()
        assert (net, verbose) == ("alex", False)

    def forward(self, image: Tensor, reference: Tensor) -> Tensor:
        assert not self.training
        return (image - reference).mean().reshape(1, 1, 1, 1)


class Silent(nn.Module):
    """Fails without a word."""

    def __init__(self, net: str, verbose: bool) -> None:
        raise RuntimeError


@pytest.fixture
def lpips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A package of that name whose weights are there."""
    module = types.ModuleType("lpips")
    module.__spec__ = importlib.machinery.ModuleSpec("lpips", None)
    monkeypatch.setitem(sys.modules, "lpips", module)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "alexnet-owt-7be5be79.pth").write_bytes(b"")
    return module


def test_the_network_is_fed_rgb_from_minus_one_to_one() -> None:
    tensor = _tensor(COLOUR, "cpu")
    assert tensor.shape == (1, 3, 4, 5)
    assert tensor.dtype == torch.float32
    assert tensor[0, :, 2, 3].tolist() == pytest.approx([1, -0.6, -1])
    assert bool((tensor == tensor[:, :, :1, :1]).all())


def test_the_distance_is_of_the_image_to_its_reference(lpips: types.ModuleType) -> None:
    lpips.LPIPS = Difference  # type: ignore[attr-defined]
    distance = lpips_distance("cpu")
    assert not isinstance(distance, str)
    assert distance(COLOUR, np.zeros_like(COLOUR)) == pytest.approx((2 + 0.4 + 0) / 3)
    assert distance(COLOUR, COLOUR) == 0


def test_a_package_that_fails_without_a_word_is_left_out(lpips: types.ModuleType) -> None:
    lpips.LPIPS = Silent  # type: ignore[attr-defined]
    assert lpips_distance("cpu") == "the package 'lpips' cannot be used: RuntimeError"
