"""The CUDA compiler of this machine: where it is, which GPUs it knows, and running it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedeblur import ExitCode, Failure

USUAL = Path("/usr/local/cuda/bin/nvcc")  # where JetPack and NVIDIA's packages put it, which is often not on the PATH
INSTALL = (
    "install it: on a Jetson `sudo apt install nvidia-jetpack` (or cuda-toolkit); on Debian or Ubuntu NVIDIA's package "
    "cuda-toolkit; or with pip `pip install -e '.[nvcc]'`; or name its folder in CUDA_HOME"
)
LINES_OF_AN_ERROR = 12


@dataclass(frozen=True)
class Nvcc:
    """One CUDA compiler."""

    path: Path
    version: str  # such as "12.6.68"
    architectures: tuple[int, ...]  # compute capabilities without the point that it compiles for, ascending

    def run(self, arguments: Sequence[str]) -> str:
        """Compile; gives what it said. Raises Failure (ENVIRONMENT) with the end of its messages when it fails."""
        done = subprocess.run([str(self.path), *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        said = done.stdout + done.stderr
        if done.returncode != 0:
            end = "\n".join(said.strip().splitlines()[-LINES_OF_AN_ERROR:]) or f"exit code {done.returncode}"
            raise Failure(f"{self.path} (CUDA {self.version}) failed:\n{end}", ExitCode.ENVIRONMENT)
        return said


def find_nvcc() -> Nvcc:
    """The compiler of CUDA_HOME or CUDA_PATH, on the PATH, in its usual place, or from pip; the first there is.

    Raises Failure (ENVIRONMENT) when there is none, it cannot run, or the C++ compiler that it calls is missing.
    """
    for candidate in _candidates():
        if candidate.is_file():
            return _described(candidate)
    raise Failure(f"nvcc, the CUDA compiler, is not here; {INSTALL}", ExitCode.ENVIRONMENT)


def _candidates() -> list[Path]:
    named = [Path(os.environ[name], "bin", "nvcc") for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    on_path = shutil.which("nvcc")
    return [*named, *([Path(on_path)] if on_path else []), USUAL, *_from_pip()]


def _from_pip() -> list[Path]:
    """The wheels put CUDA 13 in nvidia/cu13; `nvidia` is a folder that many packages share."""
    spec = importlib.util.find_spec("nvidia")
    folders = spec.submodule_search_locations if spec is not None else None
    return sorted(path for folder in folders or () for path in Path(folder).glob("cu*/bin/nvcc"))


def _described(path: Path) -> Nvcc:
    if shutil.which("g++") is None:
        raise Failure(
            f"{path} needs the C++ compiler g++, which is not here; install it: sudo apt install g++",
            ExitCode.ENVIRONMENT,
        )
    version = re.search(r"\bV(\d+\.\d+\.\d+)", _asked(path, "--version"))
    architectures = re.findall(r"compute_(\d+)\b", _asked(path, "--list-gpu-arch"))
    if version is None or not architectures:
        raise Failure(f"{path} does not say its version and GPUs as nvcc does; {INSTALL}", ExitCode.ENVIRONMENT)
    return Nvcc(path, version[1], tuple(sorted({int(number) for number in architectures})))


def _asked(path: Path, option: str) -> str:
    try:
        return subprocess.run([str(path), option], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failure(f"{path} cannot be run: {error}; {INSTALL}", ExitCode.ENVIRONMENT) from error
