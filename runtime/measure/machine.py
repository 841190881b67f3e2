"""Machine: the facts of this computer and its software that change a number, each None with a reason if unknown."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import Any

from runtime.measure.sensors import text_of
from runtime.sessions.gpu import find_gpu, load_driver

ROOT = Path("/")
# What Arm's cores call themselves: (implementer, part) as /proc/cpuinfo prints them. Those of Jetsons.
ARM_CORES = {
    ("0x41", "0xd42"): "Cortex-A78AE",
    ("0x41", "0xd83"): "Neoverse V3AE",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x4e", "0x004"): "NVIDIA Carmel",
}
PACKAGES = ("edgedeblur", "numpy", "av", "onnxruntime", "onnxruntime-gpu", "pycuda", "nvidia-ml-py")
UNKNOWN = {
    "device": "neither a device tree nor DMI names it",
    "cpu": "/proc/cpuinfo does not name it",
    "memory_gib": "/proc/meminfo cannot be read",
    "load_average": "/proc/loadavg cannot be read",
    "governor": "this machine shows no cpufreq",
    "clocks_locked": "this machine shows no cpufreq",
    "power_mode": "no nvpmodel: not a Jetson, or its state cannot be read",
    "l4t": "no /etc/nv_tegra_release: not a Jetson",
    "gpu": "no NVIDIA GPU that CUDA's driver shows",
    "compute_capability": "no NVIDIA GPU that CUDA's driver shows",
    "driver": "no NVIDIA driver",
    "driver_cuda": "no NVIDIA driver",
}
Facts = dict[str, Any]


def machine_facts(root: Path = ROOT) -> tuple[Facts, dict[str, str]]:
    """Facts by name, and why for each that is None. root: where /sys, /proc, /etc and /var lie; never raises."""
    sys, proc = root / "sys", root / "proc"
    governor, clocks_locked = _governor(sys), _clocks_locked(sys)
    l4t, power_mode = _l4t(root), _power_mode(root)
    facts = {
        "device": text_of(proc / "device-tree/model") or text_of(sys / "class/dmi/id/product_name") or None,
        "cpu": _cpu(proc / "cpuinfo"),
        "cores": len(os.sched_getaffinity(0)),
        "cpu_quota": _quota(sys),
        "memory_gib": _memory_gib(proc / "meminfo"),
        "load_average": text_of(proc / "loadavg").partition(" ")[0] or None,
        "governor": governor,
        "clocks_locked": clocks_locked,
        "power_mode": power_mode,
        "l4t": l4t,
        "kernel": platform.release(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions(),
        **_gpu_facts(proc),
    }
    return facts, {name: why for name, why in UNKNOWN.items() if facts.get(name) is None}


def versions() -> dict[str, str]:
    """Of the packages that take part, without importing any."""
    found = {}
    for distribution in importlib.metadata.distributions():
        name = (distribution.metadata["Name"] or "").lower().replace("_", "-")
        if name in PACKAGES or re.fullmatch(r"tensorrt(-rtx)?(-cu\d+)?", name):
            found[name] = distribution.version
    return dict(sorted(found.items()))


def _gpu_facts(proc: Path) -> Facts:
    gpu = find_gpu()
    driver = re.search(r"Module\s+.*?(\d+(?:\.\d+)+)", text_of(proc / "driver/nvidia/version"))
    return {
        "gpu": gpu.name if gpu else None,
        "compute_capability": f"{gpu.sm // 10}.{gpu.sm % 10}" if gpu else None,
        "driver": driver[1] if driver else None,
        "driver_cuda": _driver_cuda(),
    }


def _driver_cuda() -> str | None:
    """The newest CUDA that the driver runs."""
    cuda, version = load_driver(), ctypes.c_int()
    if cuda is None or cuda.cuDriverGetVersion(ctypes.byref(version)):
        return None
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def _cpu(cpuinfo: Path) -> str | None:
    text = text_of(cpuinfo)
    if name := re.search(r"^model name\s*: (.+)$", text, re.MULTILINE):
        return name[1].strip()
    implementer, part = (re.search(rf"^CPU {field}\s*: (\S+)", text, re.MULTILINE) for field in ("implementer", "part"))
    if not implementer or not part:
        return None
    return ARM_CORES.get((implementer[1], part[1]), f"Arm core, implementer {implementer[1]}, part {part[1]}")


def _quota(sys: Path) -> float | None:
    """Cores' worth of time that a container may take; None for no limit."""
    quota, _, period = text_of(sys / "fs/cgroup/cpu.max").partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _memory_gib(meminfo: Path) -> float | None:
    total = re.search(r"^MemTotal:\s*(\d+) kB", text_of(meminfo), re.MULTILINE)
    return int(total[1]) / 2**20 if total else None


def _policies(sys: Path) -> list[Path]:
    return sorted((sys / "devices/system/cpu").glob("cpu[0-9]*/cpufreq"))


def _governor(sys: Path) -> str | None:
    found = sorted({text_of(policy / "scaling_governor") for policy in _policies(sys)} - {""})
    return ", ".join(found) or None


def _clocks_locked(sys: Path) -> bool | None:
    """Whether every core may run at one clock only, as after jetson_clocks."""
    ranges = [(text_of(p / "scaling_min_freq"), text_of(p / "scaling_max_freq")) for p in _policies(sys)]
    return all(low == high for low, high in ranges) if ranges else None


def _l4t(root: Path) -> str | None:
    release = re.match(r"# R(\d+) \(release\), REVISION: ([\d.]+)", text_of(root / "etc/nv_tegra_release"))
    return f"{release[1]}.{release[2]}" if release else None


def _power_mode(root: Path) -> str | None:
    """The number and name of nvpmodel's mode, from the files it keeps: its command may want root."""
    mode = re.search(r"pmode:(\d+)", text_of(root / "var/lib/nvpmodel/status"))
    if not mode:
        return None
    number = int(mode[1])
    conf = text_of(root / "etc/nvpmodel.conf")
    name = re.search(rf"^<\s*POWER_MODEL\s+ID={number}\s+NAME=(\S+)\s*>", conf, re.MULTILINE)
    return f"{number} ({name[1]})" if name else str(number)
