"""What our TensorRT plugin needs to be compiled, and whether that was done for what is here."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from runtime.doctor import probes
from runtime.doctor.line import Line
from runtime.doctor.packages import numbers
from runtime.doctor.place import Place
from runtime.sessions.toolkit import PLUGIN_OP

LIBRARY = re.compile(rf"{PLUGIN_OP}\.trt([\d.]+)\.sm(\d+)\.[0-9a-f]+\.so")
WITHOUT = "engines then compute DeformConv by standard operators, which is slower"


def compiler(place: Place) -> Iterator[Line]:
    """nvcc, g++ and TensorRT's headers; only where there is a TensorRT that takes plugins."""
    if _tensorrt(place) is None:
        return
    lacks = {
        "nvcc": (
            "sudo apt install nvidia-jetpack" if place.is_jetson else "sudo apt install cuda-toolkit",
            _nvcc(place),
        ),
        "g++": ("sudo apt install g++", place.has("usr/bin/g++")),
        "TensorRT's headers": ("sudo apt install libnvinfer-headers-dev", _headers(place)),
    }
    missing = {name: fix for name, (fix, is_there) in lacks.items() if not is_there}
    if missing:
        fix = " && ".join(dict.fromkeys(missing.values()))
        yield Line("compiler", "yellow", f"no {', no '.join(missing)} for the plugin: {WITHOUT}", fix)
    else:
        yield Line("compiler", "green", "nvcc, g++ and TensorRT's headers, to compile the plugin with")


def library(place: Place) -> Iterator[Line]:
    """The compiled plugin in the user's cache: whole, and for this TensorRT and GPU."""
    version = _tensorrt(place)
    if version is None or not place.gpu:
        return
    found = [(path, match) for path in sorted(_cache(place).glob("*.so")) if (match := LIBRARY.fullmatch(path.name))]
    sm = str(place.driver.said["sm"])
    fitting = [path for path, match in found if match[2] == sm and _serves(match[1], version)]
    again = f"{shlex.quote(place.python)} -m engines.plugin_library"
    broken = [path for path in fitting if not _is_whole(path)]
    if broken:
        text = f"{broken[0].name} is not what was compiled: its sum differs"
        yield Line("plugin", "yellow", text, f"rm {shlex.quote(str(broken[0]))} && {again}")
    elif fitting:
        yield Line("plugin", "green", fitting[-1].name)
    elif found:
        others = ", ".join(sorted({f"TensorRT {match[1]}, sm{match[2]}" for _, match in found}))
        yield Line("plugin", "yellow", f"compiled for {others}; here are TensorRT {version}, sm{sm}", again)
    else:
        yield Line("plugin", "grey", "not compiled yet; edgedeblur build does that when an engine needs it")


def _tensorrt(place: Place) -> str | None:
    """The version of the TensorRT that takes plugins."""
    answer = place.ask(probes.version_of("tensorrt")) if place.expects_gpu else None
    return None if answer is None or answer.error else str(answer.said["version"])


def _serves(compiled: str, version: str) -> bool:
    """TensorRT loads plugins that were compiled for older minor versions."""
    return numbers(compiled)[0] == numbers(version)[0] and numbers(compiled)[1] <= numbers(version)[1]


def _nvcc(place: Place) -> bool:
    named = [place.environment.get(name, "") for name in ("CUDA_HOME", "CUDA_PATH")]
    folders = [f"{name}/bin" for name in named if name] + place.environment.get("PATH", "").split(os.pathsep)
    return any(place.has(f"{folder.lstrip('/')}/nvcc") for folder in [*folders, "usr/local/cuda/bin"] if folder)


def _headers(place: Place) -> bool:
    named = place.environment.get("TENSORRT_INCLUDE") or place.environment.get("TENSORRT_ROOT", "") + "/include"
    folders = [named.lstrip("/"), f"usr/include/{place.arch}-linux-gnu", "usr/include", "usr/local/tensorrt/include"]
    return any(place.has(f"{folder}/NvInfer.h") for folder in folders)


def _cache(place: Place) -> Path:
    home = place.environment.get("XDG_CACHE_HOME") or f"{place.environment.get('HOME', '')}/.cache"
    return place.root / home.lstrip("/") / "edgedeblur"


def _is_whole(path: Path) -> bool:
    try:
        return path.with_suffix(".sha256").read_text().strip() == hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return False
