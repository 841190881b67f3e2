"""What a report says of the machine: its facts, its neighbours, its power over a run."""

from __future__ import annotations

import hashlib
import json
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from runtime.frame import now_ns
from runtime.measure.machine import machine_facts, versions
from runtime.measure.meter import Meter, Sample
from runtime.measure.neighbours import ProcessorTime, processor_time
from runtime.measure.process import descriptors, resident_bytes, threads
from runtime.measure.profiles.header import UNKNOWN, header_of
from runtime.sessions.engine_file import SCHEMA
from runtime.sources.replay_source import ReplaySource
from tests.runtime.fakes import SlowSession
from tests.runtime.test_telemetry import machine

JETSON = {
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 62.50\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n",
    "proc/meminfo": "MemTotal:        7802500 kB\nMemFree: 1 kB",
    "proc/loadavg": "0.52 0.58 0.59 1/467 3051",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64",
    "etc/nvpmodel.conf": "# < POWER_MODEL ID=1 NAME=OLD >\n< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n"
    "< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n",
    "var/lib/nvpmodel/status": "pmode:0002",
    **{f"sys/devices/system/cpu/cpu{n}/cpufreq/scaling_governor": "schedutil" for n in range(6)},
    **{f"sys/devices/system/cpu/cpu{n}/cpufreq/scaling_min_freq": "1728000" for n in range(6)},
    **{f"sys/devices/system/cpu/cpu{n}/cpufreq/scaling_max_freq": "1728000" for n in range(6)},
}
PC = {
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD Ryzen 7 7700X\n",
    "sys/class/dmi/id/product_name": "B650",
    "sys/fs/cgroup/cpu.max": "150000 100000",
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.03  Release Build\n"
    "GCC version:  gcc version 12.2.0",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "400000",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "5573000",
}


def test_a_jetson(tmp_path: Path) -> None:
    facts, unreadable = machine_facts(machine(tmp_path, JETSON))
    assert facts["device"] == "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    assert facts["cpu"] == "Cortex-A78AE"
    assert (facts["power_mode"], facts["l4t"]) == ("2 (MAXN_SUPER)", "36.4.3")
    assert (facts["governor"], facts["clocks_locked"]) == ("schedutil", True)
    assert facts["memory_gib"] == pytest.approx(7.44, abs=0.01)
    assert facts["load_average"] == "0.52"
    assert set(unreadable) <= {"gpu", "compute_capability", "driver", "driver_cuda"}


def test_a_pc_in_a_container(tmp_path: Path) -> None:
    facts, unreadable = machine_facts(machine(tmp_path, PC))
    assert (facts["device"], facts["cpu"], facts["driver"]) == ("B650", "AMD Ryzen 7 7700X", "580.159.03")
    assert (facts["cpu_quota"], facts["clocks_locked"], facts["governor"]) == (1.5, False, "powersave")
    assert "not a Jetson" in unreadable["l4t"]
    assert "not a Jetson" in unreadable["power_mode"]


def test_every_fact_that_is_missing_says_why(tmp_path: Path) -> None:
    facts, unreadable = machine_facts(tmp_path)
    assert {name for name, value in facts.items() if value is None} - {"cpu_quota"} == set(unreadable)


def test_versions_are_those_that_are_installed() -> None:
    found = versions()
    assert {"numpy", "av", "onnxruntime"} <= set(found)
    assert not any("libs" in name or "bindings" in name for name in found)


class EngineSession(SlowSession):
    """Tells of itself what an engine's session does."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.how = path, "frames copied beside the computing, CUDA graph"


def test_a_header_says_which_engine_it_was(tmp_path: Path) -> None:
    engine = tmp_path / "edge-n.engine"
    engine.write_bytes(b"ftrt plan")
    sidecar = {"schema": SCHEMA, "key": "abcd1234", "build": {"seconds": 61.5}, "model": {"preset": "edge-n"}}
    engine.with_suffix(".json").write_text(json.dumps(sidecar | {"key_parts": {"precision": "int8"}}))
    header = header_of(EngineSession(engine), ReplaySource([]), "no frame is lost")
    assert (header["model_file"], header["engine_key"], header["engine_build_s"]) == ("edge-n.engine", "abcd1234", 61.5)
    assert (header["preset"], header["precision"]) == ("edge-n", "int8")
    assert header["copies"].endswith("CUDA graph")
    assert header["model_sha256"] == hashlib.sha256(b"ftrt plan").hexdigest()
    engine.with_suffix(".json").write_text("damaged")
    header = header_of(EngineSession(engine), ReplaySource([]), "no frame is lost")
    assert header["engine_key"] is None
    assert "sidecar" in header["unreadable"]["engine_key"]


def test_a_header_without_a_word_of_the_model_says_so() -> None:
    header = header_of(SlowSession(), ReplaySource([]), "no frame is lost")
    assert header["model_file"] is None
    assert set(UNKNOWN) - {"engine_build_s"} <= set(header["unreadable"])


def test_neighbours_are_what_the_processor_did_that_was_not_ours() -> None:
    before = ProcessorTime(total=100.0, busy=40.0, stolen=1.0, ours=5.0)
    after = ProcessorTime(total=120.0, busy=55.0, stolen=2.0, ours=11.0)
    shares = after.since(before)
    assert shares is not None
    assert shares == pytest.approx({"others": 9 / 20, "stolen": 1 / 20})
    assert before.since(before) is None


def test_the_kernels_count_is_read(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  100 10 20 800 30 5 5 30 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    found = processor_time(tmp_path / "stat")
    assert found is not None
    assert (found.total, found.busy, found.stolen) == pytest.approx((10.0, 1.4, 0.3))
    (tmp_path / "stat").write_text("intr 0\n")
    assert processor_time(tmp_path / "stat") is None
    assert processor_time(tmp_path / "nothing") is None
    assert processor_time() is not None


def telemetry(watts: float | None, celsius: float = 50.0, throttling: list[str] | None = None) -> dict[str, Any]:
    return {
        "temperatures_c": {"cpu": celsius},
        "watts": {} if watts is None else {"VDD_IN": watts},
        "watts_total": watts,
        "watts_of": None if watts is None else "VDD_IN",
        "clocks_mhz": {"cpu": 1000.0 - celsius},
        "throttling": throttling,
        "throttle_events": {"oc1": int(celsius)},
        "unreadable": {} if watts is not None else {"watts": "no sensor"},
    }


def test_mean_power_is_by_time_and_energy_by_frame() -> None:
    meter = Meter(lambda: telemetry(None))
    readings = [(0, 100.0, 40.0, None), (10, 4.0, 50.0, []), (11, 8.0, 60.0, ["too hot"]), (13, 6.0, 55.0, [])]
    meter.samples = [Sample(int(s * 1e9), telemetry(w, c, t), None) for s, w, c, t in readings]
    found = meter.summary(int(10e9), int(13e9), frames=60)
    assert found["watts_mean"] == pytest.approx((8.0 * 1 + 6.0 * 2) / 3)  # not the 100 W before it
    assert found["joules_per_frame"] == pytest.approx(found["watts_mean"] * 3 / 60)
    assert found["temperatures_c"] == {"start": {"cpu": 50.0}, "end": {"cpu": 55.0}}
    assert found["clocks_mhz"]["least"] == {"cpu": 940.0}
    assert (found["throttling"], found["throttle_events"]) == (["too hot"], {"oc1": 5})


def test_power_that_nobody_measures_is_no_zero() -> None:
    with Meter(lambda: telemetry(None), every_s=0.01) as meter:
        start_ns = now_ns()
        time.sleep(0.05)
    found = meter.summary(start_ns, now_ns(), frames=3)
    assert (found["watts_mean"], found["joules_per_frame"], found["watts_of"]) == (None, None, None)
    assert found["unreadable"] == {"watts": "no sensor"}
    assert found["throttling"] is None


def test_a_meter_of_a_long_run_keeps_a_bounded_number_of_samples() -> None:
    numbers = count()
    meter = Meter(lambda: telemetry(float(next(numbers))))
    for _ in range(10000):
        meter._take()
    assert len(meter.samples) <= 4096
    assert (meter.samples[0].telemetry["watts_total"], meter.samples[-1].telemetry["watts_total"]) == (0, 9999)


def test_the_process_is_looked_at() -> None:
    assert resident_bytes() > 2**20
    before = descriptors()
    with open("/dev/null", "rb"):
        assert descriptors() == before + 1
    assert threads() >= 1
