"""Header: everything that changes a number, beside the numbers: the machine, the model, how frames came."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path
from typing import Any

from edgedeblur import Failure
from runtime.measure.machine import machine_facts
from runtime.sessions.engine_file import read_sidecar, sidecar_path
from runtime.sessions.onnx_session import OnnxSession
from runtime.sessions.session import Session
from runtime.sources.source import Source

Facts = dict[str, Any]
UNKNOWN = {
    "model_file": "this session does not say which file it runs",
    "model_sha256": "the model's file is not known or cannot be read",
    "preset": "the model does not say",
    "precision": "the model does not say",
    "engine_key": "an engine has one, where its sidecar is beside it",
    "engine_build_s": "an engine has it, where its sidecar is beside it",
    "threads": "ONNX Runtime has them",
    "copies": "this session does not say",
    "source_rate": "the source does not say",
    "codec": "the source does not say",
}


def header_of(session: Session, source: Source, policy: str) -> Facts:
    """Facts by name; `unreadable` has the reason for each that is None."""
    machine, unreadable = machine_facts()
    facts = {
        "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        **machine,
        **_model_facts(session),
        "batch": 1,
        "waiting": "blocked: neither the processor nor ONNX Runtime's threads spin",
        "in_flight": 1 if source.live else session.depth,
        "source": source.describe(),
        "source_rate": float(source.frame_rate) if source.frame_rate else None,
        "codec": getattr(source, "codec", None),
        "policy": policy,
        "outputs": "null://",
    }
    reasons = unreadable | {name: why for name, why in UNKNOWN.items() if facts.get(name) is None}
    return {**facts, "unreadable": reasons}


def _model_facts(session: Session) -> Facts:
    path = getattr(session, "path", None)
    on_cpu = isinstance(session, OnnxSession)
    sidecar = _sidecar(path) if path and not on_cpu else {}
    parts, model = sidecar.get("key_parts") or {}, sidecar.get("model") or {}
    threads = getattr(session, "threads", None)
    return {
        "session": session.describe(),
        "model_file": path.name if path else None,
        "model_sha256": _sha256(path) if path else None,
        "preset": getattr(session, "preset", None) or model.get("preset"),
        "precision": getattr(session, "precision", None) or parts.get("precision"),
        "engine_key": sidecar.get("key"),
        "engine_build_s": (sidecar.get("build") or {}).get("seconds"),
        "threads": "all cores" if threads == 0 else threads,
        "copies": "none: computed where the frame lies" if on_cpu else getattr(session, "how", None),
    }


def _sidecar(path: Path) -> Facts:
    try:
        return read_sidecar(sidecar_path(path)) or {}
    except Failure:  # damaged: the session has told it
        return {}


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return None
