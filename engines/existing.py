"""What already lies where an engine goes: the very engine asked for, an older one, or somebody else's file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from edgedeblur import ExitCode, Failure
from engines.artefact import Artefact, key_of
from engines.sidecar import differences, looks_like_sidecar, read_sidecar
from export.passes.whole_files import check_regular

ENGINE_SUFFIXES = (".engine", ".plan")


def find_existing(artefact: Artefact, parts: Mapping[str, Any]) -> dict[str, Any] | None:
    """The sidecar of an engine that is already there, whole, and the one asked for."""
    if not artefact.engine.is_file():
        return None
    try:
        sidecar = read_sidecar(artefact.sidecar)
    except Failure as failure:
        print(f"not used: {failure}", file=sys.stderr)
        return None
    if sidecar is None or sidecar.get("key") != key_of(parts):
        return None
    changed = differences(sidecar, artefact.engine.read_bytes())
    if changed:
        print(f"not used: {artefact.engine.name}: {'; '.join(changed)}", file=sys.stderr)
    return None if changed else sidecar


def check_replaceable(artefact: Artefact, force: bool) -> None:
    """Refuse to write over what the user named and this program did not make, or may not replace.

    For names that the user chose, when `find_existing` found nothing to use: names made of the key are ours alone.
    Raises Failure: USAGE for another's file, ENVIRONMENT for a folder or a device or what cannot be read.
    """
    try:
        if check_regular(artefact.sidecar):
            _check_sidecar(artefact)
        if check_regular(artefact.engine) and not force:
            raise Failure(
                f"{artefact.engine} is there already and is not this engine (another model, size, option or program "
                "made it, or it is damaged); give --save-engine another name, or add --force to write over it"
            )
    except OSError as error:
        raise Failure(f"{error.filename} cannot be read: {error.strerror}", ExitCode.ENVIRONMENT) from error


def _check_sidecar(artefact: Artefact) -> None:
    """`--force` does not help here: it stands for building the engine again, not for the loss of another file."""
    if not looks_like_sidecar(artefact.sidecar.read_bytes()):
        raise Failure(
            f"{artefact.sidecar}, where the sidecar of {artefact.engine.name} goes, is not a file of edgedeblur; "
            "give --save-engine another name"
        )
    for other in (artefact.engine.with_suffix(suffix) for suffix in ENGINE_SUFFIXES):
        if other != artefact.engine and other.is_file() and _describes(artefact, other.read_bytes()):
            raise Failure(f"{artefact.sidecar} is the sidecar of {other.name}; give --save-engine another name")


def _describes(artefact: Artefact, plan: bytes) -> bool:
    try:
        sidecar = read_sidecar(artefact.sidecar)
    except Failure:  # damaged: it describes nothing any more
        return False
    return sidecar is not None and not differences(sidecar, plan)
