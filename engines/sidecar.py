"""The JSON beside an engine: what it is, what made it and how to feed it. The engine itself stays the plain plan.

runtime/sessions/engine_file.py reads it and owns the schema's name; this writes it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from engines.artefact import Artefact, key_of
from engines.build import BuiltEngine
from engines.gpu import driver_cuda
from engines.parity import Parity
from engines.plugin_library import PluginLibrary
from export.passes.model_file import CALIBRATION_KEY
from runtime.sessions.engine_file import SCHEMA

PREFIX = "edgedeblur."


@dataclass(frozen=True)
class Source:
    """What an engine is made of, and the words that make it again."""

    onnx: Path
    onnx_sha256: str
    metadata: Mapping[str, str]
    calibration: Mapping[str, Any] | None  # how edgedeblur calibrate made it
    rebuild: Sequence[str]  # words of `edgedeblur build` without the ONNX file and the place


def tool_version() -> str:
    """This program's version; a checkout that was never installed has none."""
    try:
        return importlib.metadata.version("edgedeblur")
    except importlib.metadata.PackageNotFoundError:
        return "0"


def calibration_of(metadata: Mapping[str, str], path: Path) -> dict[str, Any] | None:
    """How `edgedeblur calibrate` made the graph at `path`; None for one it did not. Raises Failure (MODEL)."""
    text = metadata.get(CALIBRATION_KEY)
    if text is None:
        return None
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise Failure(
            f"{path} has '{CALIBRATION_KEY}' {text[:80]!r}; expected a JSON object: make it with edgedeblur calibrate",
            ExitCode.MODEL,
        ) from error


def sidecar_of(
    built: BuiltEngine,
    parts: Mapping[str, Any],
    source: Source,
    artefact: Artefact,
    plugin: PluginLibrary | None,
    fp16_psnr_to_fp32: float | None = None,
) -> dict[str, Any]:
    """What `build` writes. What is not measured is null: parity until the engine was compared on the device."""
    ours = {key.removeprefix(PREFIX): value for key, value in source.metadata.items() if key.startswith(PREFIX)}
    ours.pop(CALIBRATION_KEY.removeprefix(PREFIX), None)  # it has a field of its own
    return {
        "schema": SCHEMA,
        "plan_sha256": hashlib.sha256(built.plan).hexdigest(),
        "plan_bytes": len(built.plan),
        "key": key_of(parts),
        "key_parts": dict(parts),
        "onnx": {"path": _from(artefact, source.onnx), "sha256": source.onnx_sha256},
        "plugin": None if plugin is None else {"file": _from(artefact, plugin.path), "sha256": plugin.sha256},
        "rebuild": list(source.rebuild),
        "model": ours,
        "multiple_of": ours.get("multiple_of"),
        "preprocess": "inside the graph: scaling, colour order, padding, cropping, rounding",
        "io": built.tensors,
        "driver_cuda": driver_cuda(),
        "build": {
            "seconds": round(built.seconds, 3),
            "peak_host_bytes": built.peak_host_bytes,
            "workspace_gib": built.workspace_gib,
            "timing_cache": built.timing_cache,
            "warnings": built.warnings,
        },
        "calibration": source.calibration,
        "quality": {"fp16_psnr_to_fp32": fp16_psnr_to_fp32, "parity": None},
        "layers_from": "network before building",
        "layers": built.layers,
    }


def _from(artefact: Artefact, path: Path) -> str:
    """`path` as seen from the engine's folder, so that a folder that is moved as a whole stays whole."""
    return os.path.relpath(path.resolve(), artefact.engine.parent.resolve())


def sidecar_bytes(sidecar: Mapping[str, Any]) -> bytes:
    """Indented JSON with one layer a line."""
    layers = ",\n".join(f"    {json.dumps(layer)}" for layer in sidecar["layers"])
    head = json.dumps({key: value for key, value in sidecar.items() if key != "layers"}, indent=2)
    return f'{head[:-2]},\n  "layers": [\n{layers}\n  ]\n}}\n'.encode()


def quality_of(sidecar: Mapping[str, Any]) -> tuple[float | None, Parity | None]:
    """dB between the FP16 graph and its file, and the engine's parity; None for what was not measured.

    Raises Failure (MODEL) when somebody wrote something else there.
    """
    try:
        quality = sidecar["quality"]
        psnr, parity = quality["fp16_psnr_to_fp32"], quality["parity"]
        return None if psnr is None else float(psnr), None if parity is None else Parity.from_json(parity)
    except (LookupError, TypeError, ValueError) as error:
        raise Failure(f"the sidecar's 'quality' is not what build writes ({error!r})", ExitCode.MODEL) from error


def looks_like_sidecar(data: bytes) -> bool:
    """Whether `data` is a sidecar of any version, a cut-off one included, and not somebody else's JSON."""
    return b'"schema": "edgedeblur.engine/' in data[:200]


def differences(sidecar: Mapping[str, Any], plan: bytes) -> list[str]:
    """The sidecar's fields that do not fit `plan` or themselves, each with what was found; empty when all fit."""
    found = {
        "plan_bytes": len(plan),
        "plan_sha256": hashlib.sha256(plan).hexdigest(),
        "key": key_of(sidecar.get("key_parts", {})),
    }
    return [
        f"{field} is {value}, the sidecar says {sidecar.get(field)}"
        for field, value in found.items()
        if sidecar.get(field) != value
    ]
