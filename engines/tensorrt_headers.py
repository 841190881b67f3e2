"""TensorRT's C++ headers on this machine, for the TensorRT that Python imports: the plugin is compiled against them."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from edgedeblur import ExitCode, Failure

VARIABLES = ("TENSORRT_INCLUDE", "TENSORRT_ROOT")  # the folder with NvInfer.h; or the one that has it in include/
INSTALL = (
    "install them: on a Jetson, or where TensorRT came from NVIDIA's apt packages, "
    "`sudo apt install libnvinfer-headers-dev`; a tarball has them in include/, name the tarball's folder in "
    "TENSORRT_ROOT; TensorRT from pip brings none: fetch include/ of github.com/NVIDIA/TensorRT at the tag of this "
    "version and name it in TENSORRT_INCLUDE"
)


@dataclass(frozen=True)
class Headers:
    """A folder with NvInfer.h."""

    folder: Path
    version: tuple[int, int, int]

    @property
    def text(self) -> str:
        """Such as "10.3.0"."""
        return ".".join(map(str, self.version))


def find_headers(library_version: str) -> Headers:
    """The headers for TensorRT `library_version` (such as "10.3.0").

    They are of its major version and no newer than it: TensorRT loads plugins of older minor versions.
    Raises Failure (ENVIRONMENT) naming what was found instead, and where to get them.
    """
    major, minor = (int(part) for part in library_version.split(".")[:2])
    found = installed_headers()
    for headers in found:
        if headers.version[0] == major and headers.version[1] <= minor:
            return headers
    instead = "; found " + ", ".join(f"{headers.text} in {headers.folder}" for headers in found) if found else ""
    raise Failure(
        f"the C++ headers of TensorRT {library_version} are not here{instead}; {INSTALL}", ExitCode.ENVIRONMENT
    )


def installed_headers() -> list[Headers]:
    """All that are here, of whatever version."""
    return [headers for folder in _folders() if (headers := _read(folder)) is not None]


def _folders() -> list[Path]:
    """Where headers may lie. What a variable names is what is meant: nothing else is looked at then."""
    include, root = (os.environ.get(name) for name in VARIABLES)
    if include or root:
        return [Path(include)] if include else [Path(root or "", "include")]
    triplet = f"{platform.machine()}-linux-gnu"
    return [Path("/usr/include", triplet), Path("/usr/include"), Path("/usr/local/tensorrt/include")]


def _read(folder: Path) -> Headers | None:
    try:
        text = (folder / "NvInferVersion.h").read_text("utf-8", "replace")
    except OSError:
        return None
    defined = dict(re.findall(r"^#define\s+(\w+)\s+(\w+)", text, re.MULTILINE))
    numbers = [defined.get(f"NV_TENSORRT_{part}", "") for part in ("MAJOR", "MINOR", "PATCH")]
    values = [defined.get(number, number) for number in numbers]  # from 10.8 on they are names of other definitions
    if not (folder / "NvInfer.h").is_file() or not all(value.isdigit() for value in values):
        return None
    return Headers(folder, (int(values[0]), int(values[1]), int(values[2])))
