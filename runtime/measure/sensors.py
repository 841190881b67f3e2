"""Sensors: what Linux shows below /sys of heat, power, clocks and throttling, found once and then only read.

Sources: the kernel's documents on thermal, hwmon, cpufreq, devfreq and powercap; NVIDIA's Jetson Linux guide, chapter
"Platform Power and Performance", for the rails of the INA3221 and the over-current counters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# Chips of hwmon that measure a processor, and which of their readings is the whole of it. Jetsons show theirs as
# thermal zones.
CHIPS = {"coretemp": "Package", "k10temp": "Tctl", "zenpower": "Tdie"}
POWER_CHIPS = ("ina226", "ina230", "ina238")  # those that multiply by themselves; an INA3221 gives volts and amperes
WHOLE_BOARD = ("VDD_IN", "POM_5V_IN")  # rails behind which everything lies
INSIDE_OTHERS = ("VDDQ_VDD2_1V8AO",)  # fed from VIN_SYS_5V0
NOT_CONNECTED = "NC"
MOST_CORES = 8  # whose clocks are read: some kernels take long for each, and clusters run alike
# A cooling device that slows something down when it is active; fans are no throttling.
SLOWING = re.compile(r"cpufreq|devfreq|-alert$|\.gpu$|^Processor$")
OVER_CURRENT = {"oc1": "under-voltage", "oc2": "average over-current", "oc3": "instantaneous over-current"}


@dataclass(frozen=True)
class Sensor:
    """One number: the product of what the files hold, times `scale`."""

    name: str
    files: tuple[Path, ...]
    scale: float = 1.0

    def read(self) -> float | None:
        """None where the kernel does not give it now, as of a part that is switched off."""
        value = self.scale
        try:
            for file in self.files:
                value *= float(file.read_bytes())
        except (OSError, ValueError):
            return None
        return value if math.isfinite(value) else None


def text_of(file: Path) -> str:
    """What a small file says, without the end of the line; empty where it cannot be read."""
    try:
        return file.read_bytes().decode("utf-8", "replace").strip("\n\0 ")
    except OSError:
        return ""


def temperatures(sys: Path) -> list[Sensor]:
    """Of thermal zones and of processors, °C."""
    zones = [Sensor(text_of(zone / "type"), (zone / "temp",), 1e-3) for zone in _numbered(sys, "class/thermal", "zone")]
    chips = [
        Sensor(f"{name} {label}", (chip / f"{reading}_input",), 1e-3)
        for chip, name in _chips(sys, CHIPS)
        for reading, label in _labels(chip, "temp")
        if label.startswith(CHIPS[name])
    ]
    return _apart([*zones, *chips])


def rails(sys: Path) -> list[Sensor]:
    """Power that the board measures, watts."""
    found = [
        Sensor(label, (chip / f"{reading}_input", chip / f"{reading.replace('in', 'curr')}_input"), 1e-6)
        for chip, _ in _chips(sys, ("ina3221",))
        for reading, label in _labels(chip, "in")
        if (chip / f"{reading.replace('in', 'curr')}_input").exists()
    ]
    for chip, name in _chips(sys, POWER_CHIPS):
        label = next((label for reading, label in _labels(chip, "in") if reading == "in1"), name)
        found.append(Sensor(label, (chip / "power1_input",), 1e-6))
    return _apart([sensor for sensor in found if sensor.name != NOT_CONNECTED])


def energies(sys: Path) -> list[Sensor]:
    """What the processor's packages have used since some moment, joules (RAPL)."""
    zones = sorted((sys / "class/powercap").glob("*-rapl:*"))
    return [
        Sensor(text_of(zone / "name"), (zone / "energy_uj",), 1e-6)
        for zone in zones
        if text_of(zone / "name").startswith("package")
    ]


def energy_range(sys: Path, package: str) -> float:
    """Joules after which the counter of a package begins again."""
    for zone in (sys / "class/powercap").glob("*-rapl:*"):
        if text_of(zone / "name") == package:
            return Sensor(package, (zone / "max_energy_range_uj",), 1e-6).read() or 0.0
    return 0.0


def core_clocks(sys: Path) -> list[Sensor]:
    """Of some cores, MHz."""
    files = sorted((sys / "devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    step = -(-len(files) // MOST_CORES) or 1
    return [Sensor(file.parts[-3], (file,), 1e-3) for file in files[::step]]


def device_clocks(sys: Path) -> list[Sensor]:
    """Of a GPU that the kernel clocks itself, as a Jetson's, MHz."""
    folders = sorted((sys / "class/devfreq").glob("*"))
    gpus = [folder for folder in folders if re.search(r"gpu|g[vpa]\d+b", folder.name)]
    return [Sensor("gpu", (folder / "cur_freq",), 1e-6) for folder in gpus[:1]]


def slowing(sys: Path) -> list[Sensor]:
    """Cooling devices that slow something down while they are above 0."""
    devices = _numbered(sys, "class/thermal", "cooling_device")
    found = [Sensor(text_of(device / "type"), (device / "cur_state",)) for device in devices]
    return _apart([sensor for sensor in found if SLOWING.search(sensor.name)])


def throttle_counts(sys: Path) -> list[Sensor]:
    """How often something was slowed down since the start of the machine."""
    found = [
        Sensor(f"{reading} ({OVER_CURRENT.get(reading, 'over-current')})", (chip / f"{reading}_event_cnt",))
        for chip, _ in _chips(sys, ("soctherm_oc",))
        for reading in sorted(file.name.removesuffix("_event_cnt") for file in chip.glob("oc*_event_cnt"))
    ]
    package = sys / "devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"
    return [*found, Sensor("package too hot", (package,))] if package.exists() else found


def _numbered(sys: Path, folder: str, kind: str) -> list[Path]:
    found = (sys / folder).glob(f"*{kind}[0-9]*")
    return sorted(found, key=lambda path: int(re.sub(r"\D", "", path.name)))


def _chips(sys: Path, names: Iterable[str]) -> list[tuple[Path, str]]:
    chips = ((chip, text_of(chip / "name")) for chip in _numbered(sys, "class/hwmon", "hwmon"))
    return [(chip, name) for chip, name in chips if name in names]


def _labels(chip: Path, kind: str) -> list[tuple[str, str]]:
    """(temp1, Package id 0) of each reading that has a label."""
    files = sorted(chip.glob(f"{kind}[0-9]*_label"))
    return [(file.name.removesuffix("_label"), text_of(file)) for file in files]


def _apart(sensors: list[Sensor]) -> list[Sensor]:
    """With a number behind names that come again, so that none hides another."""
    seen: dict[str, int] = {}
    named = []
    for sensor in sensors:
        seen[sensor.name] = count = seen.get(sensor.name, 0) + 1
        named.append(sensor if count == 1 else Sensor(f"{sensor.name} {count}", sensor.files, sensor.scale))
    return named
