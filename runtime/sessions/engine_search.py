"""Engines for `--model auto`: of the shipped weights, for this machine, beside them or in the user's cache."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from edgedeblur import Failure
from runtime.frame import size_text
from runtime.sessions.engine_check import machine_differences, this_machine
from runtime.sessions.engine_file import ENGINE_SUFFIXES, EngineFile, read_engine
from runtime.sessions.gpu import Gpu
from runtime.sessions.size_range import SizeRange
from runtime.sessions.user_cache import user_cache


def engines_for(gpu: Gpu, weights: Path, names: Sequence[str]) -> tuple[list[EngineFile], str]:
    """Engines of the shipped weights `names` that can run on `gpu`, the newest first; or why there are none."""
    if importlib.util.find_spec("pycuda") is None:
        return [], f"{gpu.name} is not used: PyCUDA is not installed"
    found, against = [], "no engine for it is here; make one with edgedeblur build"
    for path in _paths(weights, names):
        try:
            engine = read_engine(path)
            reasons = _against(engine, names)
        except Failure as failure:  # damaged, or its toolkit is not here: not one to take unasked
            against = str(failure)
            continue
        if not reasons:
            found.append(engine)
        else:
            against = f"{path.name}: {reasons}"
    return found, "" if found else f"{gpu.name} is not used: {against}"


def fits(engine: EngineFile, size: tuple[int, int]) -> bool:
    """Whether its sidecar says that it takes frames of (height, width)."""
    parts = engine.key_parts
    smallest, largest = (_size(parts.get(name, parts.get("size"))) for name in ("min_size", "max_size"))
    return SizeRange(smallest, largest, largest).takes(size)


def no_fit(engines: Sequence[EngineFile], size: tuple[int, int]) -> str:
    """Why none of `engines` is taken."""
    return f"no engine here takes frames of {size_text(size)} ({len(engines)} for other sizes)"


def _paths(weights: Path, names: Sequence[str]) -> list[Path]:
    folders = [place / name for place in (weights, user_cache() / "engines") for name in names]
    paths = [path for folder in folders for suffix in ENGINE_SUFFIXES for path in folder.glob(f"*{suffix}")]
    return sorted((path for path in paths if path.is_file()), key=lambda path: path.stat().st_mtime, reverse=True)


def _size(value: object) -> tuple[int, int]:
    """(height, width); (0, 0), which no frame has, where a sidecar has something else in its place."""
    is_size = isinstance(value, list) and len(value) == 2 and all(isinstance(side, int) for side in value)
    return (value[0], value[1]) if isinstance(value, list) and is_size else (0, 0)


def _against(engine: EngineFile, names: Sequence[str]) -> str:
    """What speaks against an engine; empty where nothing does."""
    if engine.sidecar is None:
        return "it has no sidecar"
    if engine.model.get("preset") not in names:
        return f"it is of the model {engine.model.get('preset')}"
    return "; ".join(map(str, engine.hash_differences() or machine_differences(engine, this_machine(engine.toolkit))))
