"""TensorRT or TensorRT-RTX, imported when an engine needs it: both give one execution API."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure

PLUGIN_OP = "EdgeDeformConv2d"  # what DeformConv is renamed to for engines with our plugin
INSTALL = {
    "tensorrt": "on a Jetson JetPack brings it (a virtual environment must be made with --system-site-packages); "
    "elsewhere: pip install tensorrt, in the version that built the engine",
    "tensorrt_rtx": "pip install tensorrt-rtx-cu13 (x86-64), in the version that built the engine",
}


def import_toolkit(name: str) -> Any:
    """The module `tensorrt` or `tensorrt_rtx`. Raises: Failure (ENVIRONMENT) when it is missing or cannot be loaded."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise Failure(
            f"this engine needs the Python package '{name}', which is not installed; {INSTALL[name]}",
            ExitCode.ENVIRONMENT,
        ) from error
    except (ImportError, OSError, RuntimeError) as error:
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):  # Ctrl-C in the middle of the import
            raise KeyboardInterrupt from error
        raise Failure(
            f"'{name}' is installed but cannot be loaded: {error}; {INSTALL[name]}", ExitCode.ENVIRONMENT
        ) from error


def toolkit_version(name: str) -> str:
    """Raises: Failure (ENVIRONMENT) as `import_toolkit` does."""
    return str(import_toolkit(name).__version__)


def load_plugin(trt: Any, library: Path) -> None:
    """Register our operator from `library`, whose hash has been checked. Raises: Failure (MODEL).

    Nothing is done where the process has it already, from another session or a build: TensorRT refuses it twice.
    """
    registry = trt.get_plugin_registry()
    if any(creator.name == PLUGIN_OP for creator in registry.all_creators):
        return
    try:
        loaded = registry.load_library(str(library))
    except Exception as error:  # the bindings raise several types
        raise Failure(_plugin_text(library, str(error)), ExitCode.MODEL) from error
    if loaded is None:
        raise Failure(_plugin_text(library, "TensorRT's log says why"), ExitCode.MODEL)


def _plugin_text(library: Path, reason: str) -> str:
    return (
        f"the engine's plugin library '{library}' cannot be loaded: {reason}; it is built for one TensorRT and CUDA: "
        "build the engine again here with edgedeblur build"
    )
