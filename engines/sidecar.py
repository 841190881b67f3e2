"""The JSON beside an engine: what it is, what made it and how to feed it. The engine itself stays the plain plan."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from engines.artefact import key_of
from engines.build import BuiltEngine
from engines.toolkit import Toolkit

SCHEMA = "edgedeblur.engine/1"
PREFIX = "edgedeblur."


def tool_version() -> str:
    """This program's version; a checkout that was never installed has none."""
    try:
        return importlib.metadata.version("edgedeblur")
    except importlib.metadata.PackageNotFoundError:
        return "0"


def sidecar_of(
    built: BuiltEngine, parts: Mapping[str, Any], metadata: Mapping[str, str], toolkit: Toolkit
) -> dict[str, Any]:
    """What `build` writes. Quality and latency are null until they are measured on a device."""
    ours = {key.removeprefix(PREFIX): value for key, value in metadata.items() if key.startswith(PREFIX)}
    return {
        "schema": SCHEMA,
        "plan_sha256": hashlib.sha256(built.plan).hexdigest(),
        "plan_bytes": len(built.plan),
        "key": key_of(parts),
        "key_parts": dict(parts),
        "model": ours,
        "multiple_of": ours.get("multiple_of"),
        "preprocess": "inside the graph: scaling, colour order, padding, cropping, rounding",
        "io": built.tensors,
        "driver_cuda": toolkit.gpu.driver_cuda if toolkit.gpu is not None else None,
        "build": {
            "seconds": round(built.seconds, 3),
            "peak_host_bytes": built.peak_host_bytes,
            "timing_cache": built.timing_cache is not None,
            "warnings": built.warnings,
        },
        "calibration": None,
        "fp16_fallback_layers": [],
        "quality": {"fp32_psnr": None, "fp16_psnr": None, "int8_psnr": None, "ssim": None, "n": None},
        "latency": {"p50_ms": None, "p99_ms": None, "settings": None},
        "layers_from": "network before building",
        "layers": built.layers,
    }


def sidecar_bytes(sidecar: Mapping[str, Any]) -> bytes:
    """Indented JSON with one layer a line."""
    layers = ",\n".join(f"    {json.dumps(layer)}" for layer in sidecar["layers"])
    head = json.dumps({key: value for key, value in sidecar.items() if key != "layers"}, indent=2)
    return f'{head[:-2]},\n  "layers": [\n{layers}\n  ]\n}}\n'.encode()


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """The sidecar at `path`; None when there is none. Raises Failure (MODEL) when damaged or of another schema."""
    try:
        sidecar = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Failure(f"{path} cannot be read: {error}; build the engine again with --force", ExitCode.MODEL) from error
    schema = sidecar.get("schema") if isinstance(sidecar, dict) else None
    if schema != SCHEMA:
        raise Failure(f"{path} has schema {schema!r}; expected '{SCHEMA}': build with --force", ExitCode.MODEL)
    return dict(sidecar)


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
