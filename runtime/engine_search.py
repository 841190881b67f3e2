"""Engines for `--model auto`: of the shipped weights, for this machine, beside them or in the user's cache."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from edgedeblur import Failure
from runtime.engine_check import machine_differences, this_machine
from runtime.engine_file import ENGINE_SUFFIXES, EngineFile, read_engine
from runtime.frame import size_text
from runtime.gpu import Gpu
from runtime.user_cache import user_cache


def engines_for(gpu: Gpu, weights: Path, names: Sequence[str]) -> tuple[list[EngineFile], str]:
    """Engines of the shipped weights `names` that can run on `gpu`, the newest first, and why there are none."""
    if importlib.util.find_spec("pycuda") is None:
        return [], f"{gpu.name} is not used: PyCUDA is not installed"
    found = [engine for path in _paths(weights, names) if (engine := _usable(path, names)) is not None]
    return found, "" if found else f"{gpu.name} is not used: no engine for it (make one: edgedeblur build)"


def fits(engine: EngineFile, size: tuple[int, int]) -> bool:
    """Whether its sidecar says that it takes frames of (height, width)."""
    parts = engine.key_parts
    usual = parts.get("size", (0, 0))
    smallest, largest = parts.get("min_size", usual), parts.get("max_size", usual)
    return all(low <= side <= high for low, side, high in zip(smallest, size, largest, strict=True))


def no_fit(engines: Sequence[EngineFile], size: tuple[int, int]) -> str:
    """Why none of `engines` is taken."""
    return f"no engine here takes frames of {size_text(size)} ({len(engines)} for other sizes)"


def _paths(weights: Path, names: Sequence[str]) -> list[Path]:
    folders = [place / name for place in (weights, user_cache() / "engines") for name in names]
    paths = [path for folder in folders for suffix in ENGINE_SUFFIXES for path in folder.glob(f"*{suffix}")]
    return sorted(paths, key=_age, reverse=True)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _usable(path: Path, names: Sequence[str]) -> EngineFile | None:
    try:
        engine = read_engine(path)
        if engine.sidecar is None or engine.model.get("preset") not in names or engine.hash_differences():
            return None
        return None if machine_differences(engine, this_machine(engine.toolkit)) else engine
    except Failure:  # damaged, or its toolkit is not here: not one to take unasked
        return None
