"""Telemetry: how hot, how fast and at what power this machine runs, as far as it says; never a made-up zero."""

from __future__ import annotations

import functools
import statistics
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from runtime.frame import now_ns
from runtime.measure import sensors
from runtime.measure.nvml import Nvml
from runtime.measure.sensors import INSIDE_OTHERS, WHOLE_BOARD, Sensor, text_of

ROOT = Path("/")
READING_AGAIN_NS = 50_000_000  # a mean power over less says little


def read_telemetry(root: Path = ROOT) -> dict[str, Any]:
    """What the sensors say now, in less than 2 ms after the first call; never raises, may be called by any thread.

    - temperatures_c: {place: °C}
    - watts: {rail, package or GPU: W}; watts_total: their sum without counting anything twice, None where nothing is
      known; watts_of: what that sum is of
    - joules: {counter: J since some moment}, where a counter exists
    - clocks_mhz: {cpu (mean of its cores), gpu, gpu memory: MHz}
    - throttling: what slows the machine down now, [] for nothing, None where it does not say;
      throttle_events: {cause: times since the start of the machine}
    - unreadable: {temperatures, watts, clocks, throttling: why there is nothing}

    root: where /sys and /proc lie.
    """
    return _telemetry(root).read()


class Telemetry:
    """The sensors of one machine, found once."""

    def __init__(self, root: Path = ROOT) -> None:
        self._sys = root / "sys"
        self._cpuinfo = root / "proc/cpuinfo"
        self._temperatures = sensors.temperatures(self._sys)
        self._rails = sensors.rails(self._sys)
        self._energies = sensors.energies(self._sys)
        self._cores, self._devices = sensors.core_clocks(self._sys), sensors.device_clocks(self._sys)
        self._slowing, self._counts = sensors.slowing(self._sys), sensors.throttle_counts(self._sys)
        self._gpu, self._no_gpu = _open_gpu(root)
        self._gpu_name = (self._gpu and self._gpu.name()) or "gpu"
        self._lock = threading.Lock()
        self._last_joules: tuple[int, dict[str, float]] = (0, {})
        self._package_watts: dict[str, float] = {}

    def read(self) -> dict[str, Any]:
        """As `read_telemetry` says."""
        with self._lock:
            joules, rails = self._joules(), _values(self._rails)
            parts = self._watts_of_parts(joules)
            found: dict[str, Any] = {
                "temperatures_c": self._celsius(),
                "watts": rails | parts,
                **_total(rails or parts),  # the rails of a board feed its processors
                "joules": joules,
                "clocks_mhz": self._clocks(),
                "throttling": self._throttling(),
                "throttle_events": {name: int(count) for name, count in _values(self._counts).items()},
            }
            return {**found, "unreadable": self._unreadable(found)}

    def _celsius(self) -> dict[str, float]:
        # A zone whose part is switched off shows some value far below freezing, or nothing.
        found = {name: celsius for name, celsius in _values(self._temperatures).items() if -50 < celsius < 200}
        celsius = self._gpu.celsius() if self._gpu else None
        return found if celsius is None else {**found, self._gpu_name: celsius}

    def _joules(self) -> dict[str, float]:
        found = _values(self._energies)
        joules = self._gpu.joules() if self._gpu else None
        return found if joules is None else {**found, self._gpu_name: joules}

    def _watts_of_parts(self, joules: dict[str, float]) -> dict[str, float]:
        watts = self._watts_of_packages(joules)
        gpu_watts = self._gpu.watts() if self._gpu else None
        return watts if gpu_watts is None else {**watts, self._gpu_name: gpu_watts}

    def _watts_of_packages(self, joules: dict[str, float]) -> dict[str, float]:
        """Mean since the reading before, whoever asked for that."""
        now, (then, before) = now_ns(), self._last_joules
        if now - then < READING_AGAIN_NS:
            return self._package_watts
        packages = {sensor.name: joules[sensor.name] for sensor in self._energies if sensor.name in joules}
        self._last_joules = now, packages
        self._package_watts = {
            name: self.used(name, before[name], value) / (now - then) * 1e9
            for name, value in packages.items()
            if name in before
        }
        return self._package_watts

    def used(self, counter: str, before: float, after: float) -> float:
        """Joules between two readings of a counter, which may have begun again in between."""
        return after - before if after >= before else after - before + sensors.energy_range(self._sys, counter)

    def _clocks(self) -> dict[str, float]:
        cores = list(_values(self._cores).values()) or self._clocks_by_cpuinfo()
        found = {"cpu": statistics.fmean(cores)} if cores else {}
        return found | _values(self._devices) | (self._gpu.clocks_mhz() if self._gpu else {})

    def _clocks_by_cpuinfo(self) -> list[float]:
        """Where the hypervisor hides cpufreq this is what it says of each core, often one fixed figure."""
        lines = text_of(self._cpuinfo).splitlines()
        found = []
        for line in lines:
            if line.startswith("cpu MHz"):
                with suppress(ValueError):
                    found.append(float(line.partition(":")[2]))
        return found

    def _throttling(self) -> list[str] | None:
        states = _values(self._slowing)
        gpu = self._gpu.slowed_by() if self._gpu else None
        if not states and gpu is None:
            return None
        return [f"{name} at {state:g}" for name, state in states.items() if state > 0] + (gpu or [])

    def _unreadable(self, found: dict[str, Any]) -> dict[str, str]:
        reasons = {}
        if not found["temperatures_c"]:
            reasons["temperatures"] = "no thermal zone, processor sensor or NVIDIA GPU shows one"
        if not found["watts"]:
            reasons["watts"] = self._no_watts(found["joules"])
        if not found["clocks_mhz"]:
            reasons["clocks"] = "neither cpufreq nor /proc/cpuinfo shows one"
        if found["throttling"] is None:
            reasons["throttling"] = "no cooling device or NVIDIA GPU says whether it slows anything down"
        if self._no_gpu:
            reasons["gpu"] = self._no_gpu
        return reasons

    def _no_watts(self, joules: dict[str, float]) -> str:
        if joules:
            return "first reading of the energy counter"
        if self._energies:
            return f"{self._energies[0].files[0]} is readable by root only (sudo chmod a+r, each start)"
        return self._no_gpu or "no INA sensor, RAPL counter or NVIDIA GPU shows any"


@functools.lru_cache(maxsize=4)
def _telemetry(root: Path) -> Telemetry:
    return Telemetry(root)


def _open_gpu(root: Path) -> tuple[Nvml | None, str]:
    """NVML, or why it is not there; nothing is said where there is no NVIDIA driver at all."""
    if not (root / "dev/nvidiactl").exists():
        return None, ""
    try:
        return Nvml(), ""
    except ImportError:
        return None, "the GPU's readings need a package: pip install nvidia-ml-py"
    except OSError as error:
        return None, f"NVML does not answer: {error}"


def _values(readers: Sequence[Sensor]) -> dict[str, float]:
    values = {sensor.name: sensor.read() for sensor in readers}
    return {name: value for name, value in values.items() if value is not None}


def _total(watts: dict[str, float]) -> dict[str, Any]:
    board = next((rail for rail in WHOLE_BOARD if rail in watts), None)
    counted = [board] if board else [name for name in watts if name not in INSIDE_OTHERS]
    if not counted:
        return {"watts_total": None, "watts_of": None}
    return {"watts_total": sum(watts[name] for name in counted), "watts_of": " + ".join(counted)}
