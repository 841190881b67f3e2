"""Place: the machine that is looked at. All that a check asks goes through it, so that tests can be any machine."""

from __future__ import annotations

import grp
import json
import os
import platform
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from runtime.doctor import probes
from runtime.measure.machine import machine_facts
from runtime.measure.sensors import text_of
from runtime.sources.v4l2_cameras import Camera, cameras

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 15.0  # for one question to another process: a Jetson reads a library from its SD card for seconds
# What lies in the current folder may be called like a package; `edgedeblur` does not look there.
START = "import sys; sys.path[:] = [path for path in sys.path if path]\n"
NVIDIA_VENDOR, DISPLAY_CLASS = "0x10de", "0x03"  # of PCI


@dataclass(frozen=True)
class Answer:
    """What another process said."""

    said: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""  # why it said nothing; the last line of a Python error, or what became of the process

    @property
    def is_missing(self) -> bool:
        """Whether a package is not installed, and not installed badly."""
        return self.error.startswith("ModuleNotFoundError")


def ask_python(script: str) -> Answer:
    """Run a script, which prints JSON, in a Python of its own: what crashes or hangs there is an answer, too."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    try:
        done = subprocess.run(
            [sys.executable, "-c", START + script],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        return Answer(error=f"no answer within {PATIENCE_S:g} s")
    if done.returncode < 0:
        return Answer(error=f"it crashed ({signal.Signals(-done.returncode).name})")
    if done.returncode:
        return Answer(error=(done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    try:
        return Answer(json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, IndexError):
        return Answer(error=f"it said {done.stdout[-80:]!r}")


def is_port_free(port: int) -> bool:
    """Whether a server may listen on it."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@dataclass
class Place:
    """A machine and a user on it."""

    root: Path = Path("/")
    out: Path = field(default_factory=Path.cwd)  # where outputs would go
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    python: str = sys.executable
    python_version: tuple[int, int] = (sys.version_info.major, sys.version_info.minor)
    prefix: Path = Path(sys.prefix)
    arch: str = platform.machine()
    ask: Callable[[str], Answer] = ask_python
    may_use: Callable[[Path], bool] = lambda path: os.access(path, os.R_OK | os.W_OK)
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free
    is_port_free: Callable[[int], bool] = is_port_free
    cameras: Callable[[], list[Camera]] = cameras

    def text(self, path: str) -> str:
        """A file below the root; empty where it cannot be read."""
        return text_of(self.root / path)

    def has(self, path: str) -> bool:
        return os.path.lexists(self.root / path)

    def group_of(self, path: Path) -> str:
        """The group that a device node belongs to; `video` where that is root's or unknown, as udev will have it."""
        try:
            name = grp.getgrgid(path.stat().st_gid).gr_name
        except (OSError, KeyError):
            return "video"
        return "video" if name == "root" else name

    def pip(self, package: str) -> str:
        """The command that installs a package into this very Python."""
        return f"{shlex.quote(self.python)} -m pip install {package}"

    @cached_property
    def facts(self) -> dict[str, Any]:
        return machine_facts(self.root)[0]

    @cached_property
    def is_jetson(self) -> bool:
        return self.has("etc/nv_tegra_release") or "jetson" in self.text("proc/device-tree/model").lower()

    @cached_property
    def in_container(self) -> bool:
        return self.has(".dockerenv") or self.has("run/.containerenv")

    @cached_property
    def has_nvidia_card(self) -> bool:
        """A graphics card of NVIDIA's on the PCI bus, whether its driver works or not."""
        return any(
            text_of(device / "vendor") == NVIDIA_VENDOR and text_of(device / "class").startswith(DISPLAY_CLASS)
            for device in (self.root / "sys/bus/pci/devices").glob("*")
        )

    @cached_property
    def driver(self) -> Answer:
        """What CUDA's driver says; see probes.DRIVER."""
        return self.ask(probes.DRIVER)

    @property
    def gpu(self) -> str:
        """The GPU's name; empty without one that works."""
        return str(self.driver.said.get("name") or "")

    @property
    def expects_gpu(self) -> bool:
        """Whether there is one to be used, if all were well."""
        return bool(self.gpu) or self.is_jetson or self.has_nvidia_card
