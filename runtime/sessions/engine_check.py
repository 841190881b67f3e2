"""Whether an engine is for this machine: every field that differs, with both values."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedeblur import ExitCode, Failure
from runtime.sessions.engine_file import Difference, EngineFile, is_there
from runtime.sessions.gpu import Gpu, find_gpu, find_platform
from runtime.sessions.toolkit import toolkit_version
from runtime.sessions.user_cache import user_cache


@dataclass(frozen=True)
class Machine:
    """What an engine must be built for to run here."""

    toolkit_version: str  # of the toolkit that the engine is for
    gpu: Gpu
    platform: str


def this_machine(toolkit: str) -> Machine:
    """Raises: Failure (ENVIRONMENT) where there is no GPU or not the toolkit."""
    gpu = find_gpu()
    if gpu is None:
        raise Failure(
            "engines run on an NVIDIA GPU and this machine shows none (no driver libcuda.so.1, or no device: try "
            "nvidia-smi); without one run the ONNX file: --model MODEL.onnx",
            ExitCode.ENVIRONMENT,
        )
    return Machine(toolkit_version(toolkit), gpu, find_platform())


def machine_differences(engine: EngineFile, machine: Machine) -> list[Difference]:
    """The sidecar's key parts against `machine`; none for an engine without a sidecar.

    `found` is the engine's value and `expected` this machine's. An engine may be for several compute capabilities; one
    for no GPU in particular has `portable` for its name.
    """
    parts = engine.key_parts
    if engine.sidecar is None:
        return []
    sm = parts.get("sm") or []
    sm = [str(number) for number in (sm if isinstance(sm, list) else [sm])]
    here = {
        "toolkit": engine.toolkit,
        "toolkit_version": machine.toolkit_version,
        "platform": machine.platform,
        "gpu": "portable" if parts.get("gpu") == "portable" else machine.gpu.name,
    }
    found = [
        Difference(field, str(parts.get(field)), value) for field, value in here.items() if parts.get(field) != value
    ]
    if sm and str(machine.gpu.sm) not in sm:
        found.append(Difference("sm", " ".join(sm), str(machine.gpu.sm)))
    return found


def mismatch(engine: EngineFile, differences: Sequence[Difference]) -> Failure:
    """What to tell about an engine that must not be run."""
    gone = engine.onnx is not None and not is_there(engine.onnx)
    how = (
        f"its ONNX file is not at '{engine.onnx}' any more: build it again from where that is now, with"
        if gone
        else ("build it again with")
    )
    return Failure(
        f"engine '{engine.path}' is not for this machine or not as it was built: "
        f"{'; '.join(map(str, differences))}; {how}: {build_command(engine)}",
        ExitCode.MODEL,
    )


def build_command(engine: EngineFile) -> str:
    """The command that makes the engine again in its place, as far as its sidecar knows it."""
    onnx = engine.onnx if engine.onnx is not None and is_there(engine.onnx) else Path("MODEL.onnx")
    words = engine.rebuild if engine.rebuild is not None else ["--size", "HEIGHTxWIDTH"]
    # A name that was made of the key is found again in its folder; one that the user chose has to be given.
    named = str((engine.sidecar or {}).get("key")) not in engine.path.name
    place = ["--save-engine", str(engine.path), "--force"] if named else ["--engine-dir", str(engine_dir(engine, onnx))]
    return f"edgedeblur build {shlex.join([str(onnx), *words, *place])}"


def engine_dir(engine: EngineFile, onnx: Path) -> Path:
    """What to give as --engine-dir, which puts engines into a folder named after the model."""
    folder = engine.path.resolve().parent
    if not os.access(folder, os.W_OK):
        return user_cache() / "engines"
    return folder.parent if folder.name == onnx.stem else folder
