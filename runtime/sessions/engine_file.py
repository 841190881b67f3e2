"""EngineFile: a plan and the sidecar beside it. Plans are code: hashes are checked before anything is run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.reaching import reaching

SCHEMA = "edgedeblur.engine/2"
ENGINE_SUFFIXES = (".engine", ".plan")
# The first bytes of a plan say who wrote it.
PLAN_TAGS = {b"vtrt": "tensorrt_rtx", b"ftrt": "tensorrt", b"ptrt": "tensorrt"}


@dataclass(frozen=True)
class Difference:
    """One field that is not as it must be."""

    field: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.field} is {self.found}, expected {self.expected}"


@dataclass(frozen=True)
class EngineFile:
    """What lies on the disk; nothing of it has been run."""

    path: Path
    plan: bytes
    toolkit: str  # "tensorrt" or "tensorrt_rtx", by the plan's first bytes
    sidecar: Mapping[str, Any] | None  # None: a plain plan, of which nothing can be checked

    @property
    def onnx(self) -> Path | None:
        """Where the ONNX file lay that the engine was built from."""
        return self._beside("onnx", "path")

    @property
    def plugin(self) -> Path | None:
        """The library with the engine's operators; None where it needs none."""
        return self._beside("plugin", "file")

    @property
    def key_parts(self) -> Mapping[str, Any]:
        parts = (self.sidecar or {}).get("key_parts")
        return parts if isinstance(parts, Mapping) else {}

    @property
    def model(self) -> Mapping[str, Any]:
        """What the export wrote of the model: preset, min_size …"""
        model = (self.sidecar or {}).get("model")
        return model if isinstance(model, Mapping) else {}

    @property
    def rebuild(self) -> list[str] | None:
        """The words of `edgedeblur build` that made it, without ONNX file and place; None where nobody knows."""
        words = (self.sidecar or {}).get("rebuild")
        return [str(word) for word in words] if isinstance(words, list) else None

    def hash_differences(self) -> list[Difference]:
        """Plan, plugin and ONNX file against the SHA-256 in the sidecar; an ONNX file that is gone is no difference."""
        if self.sidecar is None:
            return []
        found = [_hash_difference("plan_sha256", _sha256(self.plan), self.sidecar.get("plan_sha256"))]
        for field, path in (("plugin", self.plugin), ("onnx", self.onnx)):
            if path is not None and (is_there(path) or field == "plugin"):
                here = _sha256(_read(path)) if is_there(path) else "missing"
                found.append(_hash_difference(f"{field}.sha256", here, self.sidecar[field].get("sha256")))
        return [difference for difference in found if difference is not None]

    def _beside(self, field: str, key: str) -> Path | None:
        entry = (self.sidecar or {}).get(field)
        name = entry.get(key) if isinstance(entry, Mapping) else None
        # The builder's paths start at the folder's real place. Nothing is looked up: the name may be anything.
        return Path(os.path.normpath(self.path.parent.resolve() / name)) if isinstance(name, str) else None


def is_there(path: Path) -> bool:
    """Whether it is a file as far as this user can see, whatever a sidecar says that it is called."""
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except OSError:  # a name that is too long, or in a folder of somebody else's
        return False


def sidecar_path(engine: Path) -> Path:
    """Where the sidecar of `engine` lies."""
    return engine.with_suffix(".json")


def read_engine(path: Path) -> EngineFile:
    """The engine at `path` with its sidecar. Nothing is compared yet.

    Raises: Failure (MODEL) for a file that is missing, no plan, or has a damaged sidecar, (ENVIRONMENT) without
    permission.
    """
    with reaching(str(path)):
        if not path.is_file():
            found = "is a folder" if path.is_dir() else "does not exist"
            raise Failure(f"engine '{path}' {found}; make one with: edgedeblur build MODEL.onnx", ExitCode.MODEL)
    plan = _read(path)
    if plan[:4] not in PLAN_TAGS:
        found = f"starts with {plan[:4]!r}" if plan else "is empty"
        raise Failure(
            f"'{path}' is no TensorRT plan: it {found}, a plan starts with one of "
            f"{', '.join(map(repr, PLAN_TAGS))}; build it again with: edgedeblur build MODEL.onnx",
            ExitCode.MODEL,
        )
    return EngineFile(path, plan, PLAN_TAGS[plan[:4]], read_sidecar(sidecar_path(path)))


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """The sidecar at `path`; None when there is none. Raises: Failure (MODEL) when damaged or of another schema."""
    try:
        sidecar = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise Failure(f"{path} cannot be read: {error}; build the engine again with --force", ExitCode.MODEL) from error
    schema = sidecar.get("schema") if isinstance(sidecar, dict) else None
    if schema != SCHEMA:
        raise Failure(f"{path} has schema {schema!r}; expected '{SCHEMA}': build with --force", ExitCode.MODEL)
    return dict(sidecar)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}; check its owner and mode", ExitCode.ENVIRONMENT) from (
            error
        )


def _hash_difference(field: str, found: str, expected: object) -> Difference | None:
    return None if found == expected else Difference(field, found, str(expected))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
