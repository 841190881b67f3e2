"""What a run begins with: the run to go on with, or the weights of another."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgedeblur import Failure
from training.checkpoint import LAST, PREVIOUS, read_checkpoint, read_newest, set_aside
from training.quantisation_plan import QuantisationPlan, read_plan


def newest_checkpoint(project: Path, name: str) -> Path | None:
    """The last.pt of the run of this name (in NAME, NAME2, …) that wrote last; None where there is none.

    It may be missing where the machine died at the wrong moment: then there is a previous.pt beside it.
    """
    folders = project.iterdir() if project.is_dir() else ()
    runs = [folder for folder in folders if re.fullmatch(re.escape(name) + r"\d*", folder.name)]
    written = [path for folder in runs for path in _checkpoints_in(folder)]
    for path in sorted(written, key=lambda path: path.stat().st_mtime, reverse=True):
        if _name_in(path.parent) == name:
            return path.with_name(LAST)
    return None


def name_of(content: dict[str, Any], folder: Path) -> str:
    """What the run was asked to be called: `lr10` may be that, or the tenth `lr1`.

    content: of its checkpoint; where that does not say, the folder's name is the run's.
    """
    try:
        return content["training"]["run"]["name"] or folder.name
    except (KeyError, TypeError):
        return folder.name


def read_run(path: Path) -> dict[str, Any]:
    """The content of a checkpoint to go on from, as `read_newest`.

    Raises Failure: (MODEL) as that, (USAGE) where a later last.pt beside it would be overwritten.
    """
    content = read_newest(path)
    last = path.with_name(LAST)
    if path.name != LAST and last.is_file():
        _check_later(path, _step(content), last)
    return content


def weights_of(path: Path, preset: str) -> dict[str, Any]:
    """Another run's weights. Raises Failure: (MODEL) as `read_checkpoint`, (USAGE) where it has another preset."""
    content = read_checkpoint(path)
    if content["preset"] != preset:
        raise Failure(
            f"--init {path} is of preset {content['preset']}; expected {preset}, or give --preset {content['preset']}"
        )
    return dict(content["weights"])


def plan_of(content: dict[str, Any] | None, path: Path | None, preset: str) -> QuantisationPlan | None:
    """The plan that a run trains for: its own since it began, else the one in the file `path` (--qat), if any.

    content: of the checkpoint of a run to go on with. Raises Failure (USAGE) where the file is wrong, as `read_plan`,
    or has other layers or ranges than that run.
    """
    given = read_plan(path, preset) if path else None
    if content is None:
        return given
    try:
        plan = QuantisationPlan(content["training"]["run"]["plan"]["content"])
    except (KeyError, TypeError):  # none, or an older version's run
        plan = None
    if given and (plan is None or plan.int8 != given.int8):
        found = "trains for other layers or ranges" if plan else "was not begun with --qat"
        raise Failure(f"the run to resume {found}; leave out --qat {path}, or start a new run with --init")
    return plan


def _check_later(path: Path, step: int, last: Path) -> None:
    try:
        later = _step(read_checkpoint(last))
    except Failure as failure:
        set_aside(last, failure)
        return
    if later > step:
        raise Failure(
            f"{path} holds step {step}, and {last} step {later}, which going on would overwrite; give --resume {last}, "
            f"or --init {path} for a new run"
        )


def _checkpoints_in(folder: Path) -> list[Path]:
    return [folder / file for file in (LAST, PREVIOUS) if (folder / file).is_file()]


def _name_in(folder: Path) -> str:
    for path in _checkpoints_in(folder):
        try:
            return name_of(read_checkpoint(path), folder)
        except Failure:  # damaged: the one before knows it, too
            continue
    return folder.name


def _step(content: dict[str, Any]) -> int:
    try:
        return int(content["training"]["step"])
    except (KeyError, TypeError):
        return -1
