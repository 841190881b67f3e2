"""Where an engine lies, what its name says, and the key that tells whether an existing one is the one asked for."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.build import BuildConfig
from engines.sizes import name_of_sizes
from engines.toolkit import Toolkit
from runtime.sessions.engine_file import sidecar_path
from runtime.sessions.gpu import find_platform
from runtime.sessions.size_range import SizeRange

BATCH = 1


@dataclass(frozen=True)
class Artefact:
    """The files of one engine, all side by side and named alike."""

    engine: Path

    @property
    def sidecar(self) -> Path:
        return sidecar_path(self.engine)

    @property
    def lock(self) -> Path:
        """Hidden and with the engine's full name: nobody else's file (`poetry.lock`) is called so."""
        return self.engine.with_name(f".{self.engine.name}.lock")


def key_parts_of(
    onnx_sha256: str, config: BuildConfig, toolkit: Toolkit, tool_version: str, calibration: str | None = None
) -> dict[str, Any]:
    """Everything that can change the plan. Two builds with equal parts are the same engine.

    `calibration` is what `edgedeblur calibrate` wrote in the graph about itself. Sizes are [height, width]; `size` is
    the one that the engine is fastest at.
    """
    return {
        "onnx_sha256": onnx_sha256,
        "precision": config.precision,
        "deform": config.deform,
        "size": list(config.sizes.usual),
        "min_size": list(config.sizes.smallest),
        "max_size": list(config.sizes.largest),
        "batch": BATCH,
        "workspace_gib": config.workspace_gib,
        "optimization_level": config.optimization_level,
        "plugin_sha256": config.plugin.sha256 if config.plugin is not None else None,
        "calibration_sha256": None if calibration is None else hashlib.sha256(calibration.encode()).hexdigest(),
        "toolkit": toolkit.name,
        "toolkit_version": toolkit.version,
        "sm": sm_of(config, toolkit),
        "gpu": gpu_of(config, toolkit),
        "platform": find_platform(),
        "tool_version": tool_version,
    }


def key_of(parts: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits of the SHA-256 of the parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


def sm_of(config: BuildConfig, toolkit: Toolkit) -> list[str]:
    """Compute capabilities that the engine is for, such as ["87"] or ["75", "86"]."""
    if config.capabilities:
        return list(config.capabilities)
    return [str(toolkit.gpu.sm)] if toolkit.gpu is not None else []


def gpu_of(config: BuildConfig, toolkit: Toolkit) -> str:
    """The GPU's name, or `portable` for an engine that is not only for the GPU of this machine."""
    here = toolkit.gpu
    return here.name if here is not None and sm_of(config, toolkit) == [str(here.sm)] else "portable"


def sizes_of(parts: Mapping[str, Any]) -> SizeRange:
    """The frame sizes that an engine with these key parts takes."""
    smallest, usual, largest = ((parts[key][0], parts[key][1]) for key in ("min_size", "size", "max_size"))
    return SizeRange(smallest, usual, largest)


def name_of(model: str, parts: Mapping[str, Any], toolkit: Toolkit) -> str:
    """`<model>.<HxW|min_opt_max>.b<batch>.<precision>.<trt|rtx><version>.sm<NN>.<gpu>.<key8>.engine`."""
    fields = (
        model,
        name_of_sizes(sizes_of(parts)),
        f"b{parts['batch']}",
        parts["precision"],
        f"{toolkit.short_name}{toolkit.version}",
        f"sm{'-'.join(parts['sm'])}",
        _slug(parts["gpu"]),
        key_of(parts),
    )
    return f"{'.'.join(fields)}.engine"


def timing_cache_path(folder: Path, toolkit: Toolkit) -> Path:
    """One cache for each TensorRT version and GPU: measurements do not carry over."""
    gpu = "smnone" if toolkit.gpu is None else f"sm{toolkit.gpu.sm}.{_slug(toolkit.gpu.name)}"
    return folder / f"{toolkit.short_name}{toolkit.version}.{gpu}.timing"


def _slug(gpu: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")
