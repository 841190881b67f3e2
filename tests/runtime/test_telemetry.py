"""What is read of machines whose /sys is known: a Jetson Orin Nano, an AGX Orin, a PC with and without NVIDIA GPU."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from runtime.measure.telemetry import Telemetry, read_telemetry

NANO = {
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
    "sys/class/thermal/thermal_zone0/temp": "52281",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal",
    "sys/class/thermal/thermal_zone1/temp": "51843",
    "sys/class/thermal/thermal_zone2/type": "cv0-thermal",  # switched off: reading gives an error
    "sys/class/thermal/cooling_device0/type": "pwm-fan",
    "sys/class/thermal/cooling_device0/cur_state": "2",
    "sys/class/thermal/cooling_device1/type": "cpu-throttle-alert",
    "sys/class/thermal/cooling_device1/cur_state": "0",
    "sys/class/thermal/cooling_device2/type": "gpu-throttle-alert",
    "sys/class/thermal/cooling_device2/cur_state": "1",
    "sys/class/hwmon/hwmon0/name": "cpu_thermal",  # the zone again
    "sys/class/hwmon/hwmon0/temp1_input": "52281",
    "sys/class/hwmon/hwmon1/name": "ina3221",
    "sys/class/hwmon/hwmon1/in1_label": "VDD_IN",
    "sys/class/hwmon/hwmon1/in1_input": "4984",
    "sys/class/hwmon/hwmon1/curr1_input": "1856",
    "sys/class/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV",
    "sys/class/hwmon/hwmon1/in2_input": "4976",
    "sys/class/hwmon/hwmon1/curr2_input": "640",
    "sys/class/hwmon/hwmon1/in3_label": "VDD_SOC",
    "sys/class/hwmon/hwmon1/in3_input": "4976",
    "sys/class/hwmon/hwmon1/curr3_input": "328",
    "sys/class/hwmon/hwmon1/in7_label": "sum of shunt voltages",
    "sys/class/hwmon/hwmon1/in7_input": "15",
    "sys/class/hwmon/hwmon3/name": "soctherm_oc",
    "sys/class/hwmon/hwmon3/oc1_event_cnt": "0",
    "sys/class/hwmon/hwmon3/oc3_event_cnt": "37",
    "sys/class/devfreq/15340000.vic/cur_freq": "115200000",
    "sys/class/devfreq/17000000.gpu/cur_freq": "918000000",
    **{f"sys/devices/system/cpu/cpu{n}/cpufreq/scaling_cur_freq": "1510400" for n in range(4)},
    **{f"sys/devices/system/cpu/cpu{n}/cpufreq/scaling_cur_freq": "729600" for n in (4, 5)},
}
AGX_RAILS = {  # no rail is the whole
    "sys/class/hwmon/hwmon1/name": "ina3221",
    "sys/class/hwmon/hwmon1/in1_label": "VDD_GPU_SOC",
    "sys/class/hwmon/hwmon1/in1_input": "20000",
    "sys/class/hwmon/hwmon1/curr1_input": "500",
    "sys/class/hwmon/hwmon1/in2_label": "VDD_CPU_CV",
    "sys/class/hwmon/hwmon1/in2_input": "20000",
    "sys/class/hwmon/hwmon1/curr2_input": "100",
    "sys/class/hwmon/hwmon1/in3_label": "VIN_SYS_5V0",
    "sys/class/hwmon/hwmon1/in3_input": "5000",
    "sys/class/hwmon/hwmon1/curr3_input": "800",
    "sys/class/hwmon/hwmon2/name": "ina3221",
    "sys/class/hwmon/hwmon2/in1_label": "NC",
    "sys/class/hwmon/hwmon2/in1_input": "5000",
    "sys/class/hwmon/hwmon2/curr1_input": "8",
    "sys/class/hwmon/hwmon2/in2_label": "VDDQ_VDD2_1V8AO",
    "sys/class/hwmon/hwmon2/in2_input": "5000",
    "sys/class/hwmon/hwmon2/curr2_input": "120",
}
PC = {
    "sys/class/thermal/thermal_zone0/type": "x86_pkg_temp",
    "sys/class/thermal/thermal_zone0/temp": "61000",
    "sys/class/thermal/cooling_device0/type": "Processor",
    "sys/class/thermal/cooling_device0/cur_state": "0",
    "sys/class/thermal/cooling_device1/type": "TCC Offset",
    "sys/class/thermal/cooling_device1/cur_state": "5",
    "sys/class/hwmon/hwmon2/name": "coretemp",
    "sys/class/hwmon/hwmon2/temp1_label": "Package id 0",
    "sys/class/hwmon/hwmon2/temp1_input": "62000",
    "sys/class/hwmon/hwmon2/temp2_label": "Core 0",
    "sys/class/hwmon/hwmon2/temp2_input": "58000",
    "sys/class/powercap/intel-rapl:0/name": "package-0",
    "sys/class/powercap/intel-rapl:0/energy_uj": "262143000000",
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "262143328850",
    "sys/class/powercap/intel-rapl:0:0/name": "core",
    "sys/class/powercap/intel-rapl:0:0/energy_uj": "100000000",
    "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "3",
    "proc/cpuinfo": "processor\t: 0\ncpu MHz\t\t: 3600.000\n\nprocessor\t: 1\ncpu MHz\t\t: 1200.000\n",
}


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


def test_a_jetson_orin_nano(tmp_path: Path) -> None:
    found = read_telemetry(machine(tmp_path, NANO))
    assert found["temperatures_c"] == pytest.approx({"cpu-thermal": 52.281, "gpu-thermal": 51.843})
    rails = {"VDD_IN": 4.984 * 1.856, "VDD_CPU_GPU_CV": 4.976 * 0.640, "VDD_SOC": 4.976 * 0.328}
    assert found["watts"] == pytest.approx(rails)
    assert (found["watts_total"], found["watts_of"]) == (pytest.approx(rails["VDD_IN"]), "VDD_IN")
    assert found["clocks_mhz"] == pytest.approx({"cpu": (4 * 1510.4 + 2 * 729.6) / 6, "gpu": 918})
    assert found["throttling"] == ["gpu-throttle-alert at 1"]
    assert found["throttle_events"] == {"oc1 (under-voltage)": 0, "oc3 (instantaneous over-current)": 37}
    assert found["unreadable"] == {}


def test_without_a_rail_for_all_the_others_are_added_once(tmp_path: Path) -> None:
    found = read_telemetry(machine(tmp_path, AGX_RAILS))
    assert found["watts_total"] == pytest.approx(10 + 2 + 4)
    assert found["watts_of"] == "VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0"
    assert "NC" not in found["watts"]


def test_a_sensor_that_multiplies_by_itself(tmp_path: Path) -> None:
    chip = "sys/class/hwmon/hwmon4/"
    files = {chip + "name": "ina238", chip + "power1_input": "12500000", chip + "in1_label": "VIN"}
    assert read_telemetry(machine(tmp_path, files))["watts"] == pytest.approx({"VIN": 12.5})


def test_a_pc(tmp_path: Path) -> None:
    sensors = Telemetry(machine(tmp_path, PC))
    first = sensors.read()
    assert first["temperatures_c"] == {"x86_pkg_temp": 61, "coretemp Package id 0": 62}
    assert first["clocks_mhz"] == {"cpu": 2400}
    assert first["throttling"] == []
    assert first["throttle_events"] == {"package too hot": 3}
    assert (first["watts"], first["watts_total"]) == ({}, None)
    assert first["unreadable"] == {"watts": "first reading of the energy counter"}
    time.sleep(0.06)
    machine(tmp_path, {"sys/class/powercap/intel-rapl:0/energy_uj": "671150"})  # it began again: 1 J later
    second = sensors.read()
    assert 0 < second["watts_total"] <= 1 / 0.06
    assert second["watts_of"] == "package-0"
    assert sensors.read()["watts"] == second["watts"]  # too soon for another mean


@pytest.mark.parametrize("content", ["", "garbage", "nan", "\udcff\x00"])
def test_nonsense_is_left_out(tmp_path: Path, content: str) -> None:
    root = machine(tmp_path, dict.fromkeys(NANO | PC, "1"))
    for name in NANO | PC:
        (root / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    found = Telemetry(root).read()
    assert found["watts_total"] is None
    assert found["temperatures_c"] == {}
    assert found["throttling"] is None


def test_what_goes_away_is_no_longer_shown(tmp_path: Path) -> None:
    sensors = Telemetry(machine(tmp_path, NANO | PC))
    assert sensors.read()["temperatures_c"]
    shutil.rmtree(tmp_path / "sys")
    found = sensors.read()
    assert found["temperatures_c"] == {}
    assert set(found["unreadable"]) == {"temperatures", "watts", "throttling"}


def test_an_empty_machine_says_why(tmp_path: Path) -> None:
    found = read_telemetry(tmp_path)
    assert (found["watts_total"], found["throttling"], found["clocks_mhz"]) == (None, None, {})
    assert set(found["unreadable"]) == {"temperatures", "watts", "clocks", "throttling"}


def test_this_machine_is_read_quickly() -> None:
    read_telemetry()
    times = []
    for _ in range(50):
        start = time.perf_counter()
        read_telemetry()
        times.append(time.perf_counter() - start)
    assert min(times) < 0.002  # the fastest: this machine may be busy with other things


class FakeNvml(ModuleType):
    """nvidia-ml-py with one GPU at a bus address; answers nothing to what it was not given."""

    NVML_TEMPERATURE_GPU = NVML_CLOCK_GRAPHICS = 0
    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2

    class NVMLError(Exception):
        pass

    def __init__(self, broken: bool = False) -> None:
        super().__init__("pynvml")
        self.broken = broken

    def nvmlInit(self) -> None:
        if self.broken:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return f"gpu{index}"

    def nvmlDeviceGetHandleByPciBusId(self, place: bytes) -> str:
        return "gpu0"

    def nvmlDeviceGetName(self, gpu: str) -> bytes:
        return b"NVIDIA RTX A2000"

    def nvmlDeviceGetTemperature(self, gpu: str, sensor: int) -> int:
        return 64

    def nvmlDeviceGetPowerUsage(self, gpu: str) -> int:
        return 55500

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: str) -> int:
        raise self.NVMLError("Not Supported")

    def nvmlDeviceGetClockInfo(self, gpu: str, kind: int) -> int:
        return {self.NVML_CLOCK_SM: 1200, self.NVML_CLOCK_MEM: 6001}[kind]

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu: str) -> int:
        return 0x1 | 0x4 | 0x40


def test_an_nvidia_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    found = read_telemetry(machine(tmp_path, {**PC, "dev/nvidiactl": ""}))
    name = "NVIDIA RTX A2000"
    assert found["temperatures_c"][name] == 64
    assert found["watts"] == {name: 55.5}
    assert (found["watts_total"], found["watts_of"]) == (55.5, name)
    assert found["clocks_mhz"] == {"cpu": 2400, "gpu": 1200, "gpu memory": 6001}
    assert found["throttling"] == ["gpu: power cap", "gpu: too hot (hardware)"]
    assert name not in found["joules"]


def test_a_boards_rail_already_feeds_its_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    found = read_telemetry(machine(tmp_path, {**AGX_RAILS, "dev/nvidiactl": ""}))
    assert found["watts_total"] == pytest.approx(16)
    assert found["watts"]["NVIDIA RTX A2000"] == 55.5


def test_a_gpu_that_cannot_be_asked_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = machine(tmp_path, {"dev/nvidiactl": ""})
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "pip install nvidia-ml-py" in Telemetry(root).read()["unreadable"]["gpu"]
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(broken=True))
    assert "Driver Not Loaded" in Telemetry(root).read()["unreadable"]["gpu"]
