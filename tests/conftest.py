"""Shared fixtures: GPU marker, networks with random weights, and their exports (made once a session)."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import edgedeblur
from training.checkpoint import save_checkpoint
from training.config import PRESETS
from training.network import SAPHNet

# A shell that starts tests in the background has them ignore Ctrl-C, which programs under test would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a GPU say so where there is none."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(
                pytest.mark.skip(reason="no NVIDIA GPU on this machine; `make gpu` runs it on one that has")
            )


def random_network(preset: str) -> SAPHNet:
    """A network in which every part moves the output: a fresh one is the identity and hides every mistake."""
    torch.manual_seed(7)
    network = SAPHNet(PRESETS[preset]).eval()
    for name, parameter in network.named_parameters():
        if any(part in name for part in ("offset", "modulation", "head")):
            torch.nn.init.normal_(parameter, std=0.02)
    return network


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """preset → a checkpoint with random weights."""
    folder = tmp_path_factory.mktemp("checkpoints")

    @functools.cache
    def make(preset: str) -> Path:
        path = folder / f"{preset}.pt"
        save_checkpoint(path, random_network(preset), preset, {"psnr": 25.0}, {})
        return path

    return make


@pytest.fixture(scope="session")
def exported(checkpoint: Callable[[str], Path]) -> Callable[[str], Path]:
    """preset → its canonical ONNX file, exported through the command."""

    @functools.cache
    def make(preset: str) -> Path:
        path = checkpoint(preset).with_suffix(".onnx")
        assert edgedeblur.main(["export", str(checkpoint(preset)), "-o", str(path)]) == 0
        return path

    return make
