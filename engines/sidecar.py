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
from export.passes.model_file import CALIBRATION_KEY

SCHEMA = "edgedeblur.engine/1"
PREFIX = "edgedeblur."


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
    except (ValueError, TypeError) as error:
        raise Failure(
            f"{path} has '{CALIBRATION_KEY}' {text[:80]!r}; expected a JSON object: make it with edgedeblur calibrate",
            ExitCode.MODEL,
        ) from error


def sidecar_of(
    built: BuiltEngine,
    parts: Mapping[str, Any],
    metadata: Mapping[str, str],
    toolkit: Toolkit,
    calibration: Mapping[str, Any] | None = None,
    fp16_psnr_to_fp32: float | None = None,
) -> dict[str, Any]:
    """What `build` writes. Quality against sharp pictures, and latency, are null until measured on a device."""
    ours = {key.removeprefix(PREFIX): value for key, value in metadata.items() if key.startswith(PREFIX)}
    ours.pop(CALIBRATION_KEY.removeprefix(PREFIX), None)  # it has a field of its own
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
        "calibration": None if calibration is None else dict(calibration),
        "fp16_fallback_layers": [],
        "quality": {
            "fp16_psnr_to_fp32": fp16_psnr_to_fp32,
            "fp32_psnr": None,
            "fp16_psnr": None,
            "int8_psnr": None,
            "ssim": None,
            "n": None,
        },
        "latency": {"p50_ms": None, "p99_ms": None, "settings": None},
        "layers_from": "network before building",
        "layers": built.layers,
    }


def sidecar_bytes(sidecar: Mapping[str, Any]) -> bytes:
    """Indented JSON with one layer a line."""
    layers = ",\n".join(f"    {json.dumps(layer)}" for layer in sidecar["layers"])
    head = json.dumps({key: value for key, value in sidecar.items() if key != "layers"}, indent=2)
    return f'{head[:-2]},\n  "layers": [\n{layers}\n  ]\n}}\n'.encode()


def looks_like_sidecar(data: bytes) -> bool:
    """Whether `data` is a sidecar of any version, a cut-off one included, and not somebody else's JSON."""
    return b'"schema": "edgedeblur.engine/' in data[:200]


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
