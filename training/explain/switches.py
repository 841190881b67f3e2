"""The switches of the ablation table (model.md "The family"), and which of them a model can turn."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from training.config import ModelConfig
from training.network import SAPHNet

FULL = "full"
SWITCHES: dict[str, dict[str, Any]] = {
    "no global branch": {"global_branch": False},
    "no local branch": {"local_branch": False},
    "offsets fixed": {"learn_offsets": False},
    "modulation fixed": {"learn_modulation": False},
    "fusion fixed at 1/2": {"learn_fusion": False},
    "skips added": {"skip_attention": False},
    "levels added": {"level_attention": False},
}


def variants(config: ModelConfig) -> tuple[dict[str, ModelConfig], dict[str, str]]:
    """The model and what becomes of it with each switch, by name; and why the other switches are left out."""
    changes = {**SWITCHES, **{f"{levels} of {config.levels} levels": {"levels": levels} for levels in _fewer(config)}}
    found, left_out = {FULL: config}, {}
    if config.levels == 1:
        left_out["fewer levels"] = "the model has one level"
    for name, change in changes.items():
        try:
            variant = dataclasses.replace(config, **change)
        except ValueError as error:  # the config's own words
            left_out[name] = str(error)
            continue
        # Every switch takes parameters away: where none are gone, it is off already or has nothing to act on.
        if _shapes(variant) == _shapes(config):
            left_out[name] = "changes nothing in this model"
        else:
            found[name] = variant
    return found, left_out


def _fewer(config: ModelConfig) -> range:
    return range(config.levels - 1, 0, -1)


def _shapes(config: ModelConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: parameter.shape for name, parameter in SAPHNet(config).named_parameters()}
