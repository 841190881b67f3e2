"""What already lies where an engine goes: the very engine asked for, an older one, or somebody else's file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from edgedeblur import ExitCode, Failure
from engines.artefact import Artefact, key_of, sizes_of
from engines.sidecar import differences, looks_like_sidecar, quality_of
from engines.sizes import name_of_sizes
from export.passes.whole_files import check_regular
from runtime.sessions.engine_file import ENGINE_SUFFIXES, EngineFile, read_sidecar


def find_existing(artefact: Artefact, parts: Mapping[str, Any]) -> dict[str, Any] | None:
    """The sidecar of an engine that is already there, whole, and the one asked for. Says why one there is not used."""
    if not artefact.engine.is_file():
        return None
    try:
        sidecar = read_sidecar(artefact.sidecar)
        if sidecar is None:
            raise Failure(f"it has no {artefact.sidecar.name} beside it")
        quality_of(sidecar)
    except Failure as failure:
        print(f"not used: {artefact.engine.name}: {failure}", file=sys.stderr)
        return None
    changed = _changed_parts(sidecar, parts) or differences(sidecar, artefact.engine.read_bytes())
    changed = changed or _plugin_differences(artefact, sidecar)
    if changed:
        print(f"not used: {artefact.engine.name}: {'; '.join(changed)}", file=sys.stderr)
    return None if changed else sidecar


def find_previous(artefact: Artefact, parts: Mapping[str, Any], model: str) -> dict[str, Any] | None:
    """The newest engine of the same model, sizes and precision in the folder: its sidecar, or None.

    Its name has another key. What differs is printed, because a user who built before may ask why it is built again.
    """
    start = f"{model}.{name_of_sizes(sizes_of(parts))}.b{parts['batch']}.{parts['precision']}."
    paths = [path for path in artefact.engine.parent.glob("*.json") if path.name.startswith(start)]
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            sidecar = read_sidecar(path)
        except Failure:  # damaged or of an older program: it says nothing of use
            continue
        if sidecar is None or not isinstance(sidecar.get("key_parts"), Mapping):
            continue
        changed = _changed_parts(sidecar, parts)
        if changed:
            print(f"not used: {path.stem}: {'; '.join(changed)}", file=sys.stderr)
        return sidecar
    return None


def _changed_parts(sidecar: Mapping[str, Any], parts: Mapping[str, Any]) -> list[str]:
    """The key parts that differ, each with the engine's value and the one asked for."""
    if sidecar.get("key") == key_of(parts):
        return []
    built = sidecar.get("key_parts")
    built = built if isinstance(built, Mapping) else {}
    changed = [name for name in parts if built.get(name) != parts[name]]
    return [f"{name} is {_short(built.get(name))}, now {_short(parts[name])}" for name in changed] or ["key differs"]


def _short(value: Any) -> str:
    """Hashes by their first digits, lists without brackets."""
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else f"{value[:12]}…" if isinstance(value, str) and len(value) == 64 else str(value)


def _plugin_differences(artefact: Artefact, sidecar: Mapping[str, Any]) -> list[str]:
    """Whether the plugin's library still lies where the engine looks for it."""
    engine = EngineFile(artefact.engine, b"", "", sidecar)
    return [str(difference) for difference in engine.hash_differences() if difference.field == "plugin.sha256"]


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
