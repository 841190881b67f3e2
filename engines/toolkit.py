"""Which TensorRT is here: `tensorrt` (Jetson, servers) or `tensorrt_rtx` (RTX desktops; also builds without a GPU).

Both give one API. Features are found by attribute and never by version: TensorRT 10.3 to 11.4 run the same code.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.sessions.gpu import Gpu, find_gpu
from runtime.sessions.toolkit import import_toolkit

MODULES = ("tensorrt", "tensorrt_rtx")
SHORT_NAMES = {"tensorrt": "trt", "tensorrt_rtx": "rtx"}
TURING = "75"
INSTALL = {
    "tensorrt": "on a Jetson `sudo apt install nvidia-jetpack`, elsewhere `pip install tensorrt` or from NVIDIA's apt",
    "tensorrt_rtx": "pip install -e '.[engines]' (x86-64)",
}


@dataclass(frozen=True)
class Toolkit:
    """One imported TensorRT."""

    module: Any
    name: str  # "tensorrt" or "tensorrt_rtx"
    version: str
    gpu: Gpu | None

    @property
    def short_name(self) -> str:
        """As it stands in engine names: `trt` or `rtx`."""
        return SHORT_NAMES[self.name]

    @property
    def has_timing_cache(self) -> bool:
        """TensorRT-RTX has the methods, but documents them as doing nothing."""
        return self.name == "tensorrt"

    @property
    def portable_capabilities(self) -> tuple[str, ...]:
        """What an engine for no GPU in particular is built for.

        Without Turing: TensorRT-RTX refuses FP32 matrix products there, and long sums here are FP32 in every precision.
        """
        return tuple(capability for capability in self.capabilities if capability != TURING)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """GPUs that this toolkit can build for ahead of time, such as ("75", "86"); empty when only for its own."""
        names = getattr(getattr(self.module, "ComputeCapability", None), "__members__", {})
        numbers = (name.removeprefix("SM") for name in names if name.startswith("SM"))
        return tuple(sorted(numbers, key=int))


def find_toolkit(asked: str = "auto") -> Toolkit:
    """Import the toolkit asked for; `auto` takes tensorrt when a GPU and it are here, else tensorrt_rtx.

    Raises Failure (ENVIRONMENT) when it is not installed, cannot be loaded, or needs a GPU that is not here.
    """
    gpu = find_gpu()
    installed = [name for name in MODULES if importlib.util.find_spec(name) is not None]
    if asked == "auto":
        usable = [name for name in installed if name != "tensorrt" or gpu is not None]
        if not usable:
            raise Failure(_nothing_usable(installed), ExitCode.ENVIRONMENT)
        asked = usable[0]
    if asked not in installed:
        raise Failure(
            f"the Python package '{asked}' is not installed; install it: {INSTALL[asked]}", ExitCode.ENVIRONMENT
        )
    if asked == "tensorrt" and gpu is None:
        raise Failure(
            "tensorrt builds on the GPU that will run the engine, and this machine has none; "
            "build there, or use --toolkit tensorrt_rtx",
            ExitCode.ENVIRONMENT,
        )
    module = import_toolkit(asked)
    return Toolkit(module, asked, module.__version__, gpu)


def _nothing_usable(installed: list[str]) -> str:
    if installed:
        found, wanted = "tensorrt is installed but this machine has no GPU, which it needs to build", ["tensorrt_rtx"]
    else:
        found, wanted = "neither tensorrt nor tensorrt_rtx is installed", list(MODULES)
    return f"{found}; install {', or '.join(f'{name}: {INSTALL[name]}' for name in wanted)}"
