"""Checkpoints: one file that holds the weights, what they are weights of, and what a run needs to go on."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import torch

from edgedeblur import ExitCode, Failure
from training.config import ModelConfig
from training.network import SAPHNet

SCHEMA = 1
LAST, PREVIOUS = "last.pt", "previous.pt"


def save_checkpoint(
    path: Path, network: SAPHNet, preset: str, metrics: dict[str, float], training: dict[str, Any]
) -> None:
    """Write atomically: a full disk or a power cut leaves the old file. Raises Failure (ENVIRONMENT) when it cannot.

    The file that a `last.pt` replaces stays beside it as `previous.pt`.
    `network` holds the weights to use (the averaged ones); `training` what a resumed run needs, in plain types.
    """
    content = {
        "schema": SCHEMA,
        "preset": preset,
        "config": dataclasses.asdict(network.config),
        "weights": network.state_dict(),
        "metrics": metrics,
        "training": training,
    }
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        if path.name == LAST:
            _keep(path)
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # torch reports some short writes as RuntimeError
        with contextlib.suppress(OSError):
            partial.unlink()
        raise Failure(
            f"cannot write {path}: {error}; free some space or choose --project", ExitCode.ENVIRONMENT
        ) from error


def _keep(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, path.with_name(PREVIOUS))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint. Raises Failure (MODEL) when the file is missing, damaged or something else.

    Only tensors and plain types are unpickled: a checkpoint from a stranger runs no code.
    """
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise Failure(f"{path} {found}; expected a checkpoint written by `edgedeblur train`", ExitCode.MODEL)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise Failure(
            f"{path} is damaged or not a checkpoint at all ({type(error).__name__}); train one with `edgedeblur train`",
            ExitCode.MODEL,
        ) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        kind = content.get("schema") if isinstance(content, dict) else type(content).__name__
        raise Failure(f"{path} has schema {kind}; expected an edgedeblur checkpoint of schema {SCHEMA}", ExitCode.MODEL)
    missing = {"preset", "config", "weights", "metrics", "training"} - content.keys()
    if missing:
        raise Failure(f"{path} lacks {', '.join(sorted(missing))}; expected a whole checkpoint", ExitCode.MODEL)
    return content


def read_newest(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, or of the `previous.pt` beside it where a `last.pt` is missing or damaged.

    Raises Failure (MODEL) as `read_checkpoint`.
    """
    try:
        return read_checkpoint(path)
    except Failure as failure:
        previous = path.with_name(PREVIOUS)
        if path.name != LAST or not previous.is_file():
            raise
        content = read_checkpoint(previous)
        print(f"{failure}; going on from {previous}", file=sys.stderr)
        return content


def load_network(path: Path) -> tuple[SAPHNet, dict[str, Any]]:
    """The network in evaluation mode, and the whole checkpoint. Raises Failure (MODEL) as `read_checkpoint`."""
    content = read_checkpoint(path)
    try:
        network = SAPHNet(ModelConfig(**content["config"]))
        network.load_state_dict(content["weights"])
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise Failure(f"{path} does not fit this version's network: {error}", ExitCode.MODEL) from error
    return network.eval(), content
