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
from training.whole_files import replacing

SCHEMA = 1
LAST, PREVIOUS, DAMAGED = "last.pt", "previous.pt", "damaged.pt"


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
    with replacing(path) as partial:
        _write(content, partial)
        if path.name == LAST:
            _keep(path)


def _write(content: dict[str, Any], path: Path) -> None:
    try:
        with path.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
    except RuntimeError as error:  # how torch reports some short writes
        raise OSError(str(error)) from error


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

    The damaged file is set aside, so that saving does not put it in the place of the whole one.
    Raises Failure (MODEL) as `read_checkpoint`.
    """
    try:
        return read_checkpoint(path)
    except Failure as failure:
        previous = path.with_name(PREVIOUS)
        if path.name != LAST or not previous.is_file():
            raise
        content = read_checkpoint(previous)
        set_aside(path, failure)
        print(f"going on from {previous}", file=sys.stderr)
        return content


def set_aside(path: Path, failure: Failure) -> None:
    """Rename a file that cannot be read, if it is there at all; failure: why it cannot."""
    kept = ""
    with contextlib.suppress(OSError):
        os.replace(path, path.with_name(DAMAGED))
        kept = f"; it is kept as {path.with_name(DAMAGED)}"
    print(f"{failure}{kept}", file=sys.stderr)


def load_network(path: Path) -> tuple[SAPHNet, dict[str, Any]]:
    """The network in evaluation mode, and the whole checkpoint. Raises Failure (MODEL) as `read_checkpoint`."""
    content = read_checkpoint(path)
    try:
        network = SAPHNet(ModelConfig(**content["config"]))
        network.load_state_dict(content["weights"])
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise Failure(f"{path} does not fit this version's network: {error}", ExitCode.MODEL) from error
    return network.eval(), content
