"""The Python bindings of several TensorRT releases, imported without TensorRT: from their wheels, over empty libraries.

The bindings need nine functions of TensorRT's libraries to be imported, and call none of them until an object is made.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.engines.api_uses import Use

# JetPack 6.1 and 6.2, 7.1, 7.2, and what desktops and servers have: distribution, version, module.
RELEASES = (
    ("tensorrt-cu12-bindings", "10.3.0", "tensorrt_bindings"),
    ("tensorrt-cu13-bindings", "10.13.3.9", "tensorrt_bindings"),
    ("tensorrt-cu13-bindings", "10.16.1.11", "tensorrt_bindings"),
    ("tensorrt-cu13-bindings", "11.4.0.106", "tensorrt_bindings"),
)
FUNCTIONS = (
    *("createInferBuilder_INTERNAL", "createInferRuntime_INTERNAL", "createInferRefitter_INTERNAL"),
    *("createNvOnnxParser_INTERNAL", "createNvOnnxParserRefitter_INTERNAL", "getPluginRegistry"),
    *("getBuilderPluginRegistry", "initLibNvInferPlugins", "getNvOnnxParserVersion"),
)
LIBRARIES = ("nvinfer", "nvonnxparser", "nvinfer_plugin")
# Run beside the bindings: names in, those that are missing out.
ASKING = """
import importlib, json, sys

module = importlib.import_module(sys.argv[1])


def there(path):
    found = module
    for name in path:
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True


json.dump([path for path in json.load(sys.stdin) if not there(path)], sys.stdout)
"""


class Unavailable(Exception):
    """The bindings cannot be had here; the message says why."""


@dataclass(frozen=True)
class Bindings:
    """One release that can be imported."""

    name: str
    module: str
    environment: dict[str, str]

    def missing(self, uses: Sequence[Use]) -> list[str]:
        """What of `uses` this release lacks, each as `name (file:line)`; what absent guards protect is not asked."""
        asked = sorted({path for use in uses for path in (use.path, *use.guards)})
        command = [sys.executable, "-c", ASKING, self.module]
        answer = subprocess.run(
            command, input=json.dumps(asked), env=self.environment, check=True, capture_output=True, text=True
        )
        absent = {tuple(path) for path in json.loads(answer.stdout)}
        return [f"{'.'.join(use.path)} ({use.where})" for use in uses if use.path in absent and not use.guards & absent]


def installed(module: str) -> Bindings:
    """Those that this Python imports as they are. Raises Unavailable."""
    command = [sys.executable, "-c", f"import {module}; print({module}.__version__)"]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise Unavailable(f"{module} cannot be imported: {answer.stderr.strip().splitlines()[-1]}")
    return Bindings(f"{module} {answer.stdout.strip()}", module, dict(os.environ))


def bindings(distribution: str, version: str, module: str, folder: Path) -> Bindings:
    """One of RELEASES, downloaded to `folder` unless it is there. Raises Unavailable."""
    place = folder / f"{distribution}-{version}-py{sys.version_info.major}.{sys.version_info.minor}"
    if not place.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as unfinished:
            made = Path(unfinished) / "made"
            with zipfile.ZipFile(_wheel(distribution, version, Path(unfinished))) as archive:
                archive.extractall(made)
            _build_libraries(made / "libraries", int(version.split(".")[0]))
            with contextlib.suppress(OSError):  # another process was quicker
                made.rename(place)
    environment = {**os.environ, "PYTHONPATH": str(place), "LD_LIBRARY_PATH": str(place / "libraries")}
    return Bindings(f"{distribution} {version}", module, environment)


def _wheel(distribution: str, version: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "--quiet"]
    answer = subprocess.run(
        [*command, "--dest", str(folder), f"{distribution}=={version}"], capture_output=True, text=True
    )
    if answer.returncode:
        said = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")] or ["pip gives no reason"]
        raise Unavailable(f"{distribution} {version} cannot be downloaded: {said[0]}")
    return next(folder.glob("*.whl"))


def _build_libraries(folder: Path, major: int) -> None:
    """Libraries with the functions that the bindings look for, which do nothing. Raises Unavailable."""
    folder.mkdir()
    source = "\n".join(f"void *{name}(void) {{ return 0; }}" for name in FUNCTIONS)
    for name in LIBRARIES:
        output = folder / f"lib{name}.so.{major}"
        command = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(output), f"-Wl,-soname,{output.name}"]
        try:
            subprocess.run(command, input=source, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise Unavailable("gcc is not installed") from error


def text_of(missing: Sequence[str]) -> str:
    """One line for each name, with the places where it is used."""
    places: dict[str, list[str]] = {}
    for item in missing:
        name, place = re.fullmatch(r"(.*) \((.*)\)", item).groups()  # type: ignore[union-attr]
        places.setdefault(name, []).append(place)
    return "\n".join(f"  {name}: {', '.join(sorted(set(where)))}" for name, where in sorted(places.items()))
