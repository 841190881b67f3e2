"""The unit of systemd: systemd itself takes it, and nothing in it shuts off what a camera or a GPU needs."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from edgedeblur import ExitCode
from runtime import run_command
from runtime.live.service import PATIENCE_S

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = (DEPLOY / "edgedeblur.service").read_text()
SETTINGS = re.findall(r"^([A-Za-z]+)=(.*)$", UNIT, re.MULTILINE)
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here (sudo apt install systemd)")


def of(name: str) -> list[str]:
    return [value for key, value in SETTINGS if key == name]


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a command that this machine has."""
    path = tmp_path / "edgedeblur.service"
    path.write_text(UNIT.replace("/opt/edgedeblur/.venv/bin/edgedeblur", "/bin/true"))
    return path


def analyze(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(ANALYZE), *map(str, words)], capture_output=True, text=True, timeout=60)


@needs_systemd
def test_systemd_takes_it(unit: Path) -> None:
    done = analyze("verify", unit)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_a_mistake_in_it_would_be_seen(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("WatchdogSec=60", "WatchdogSec=soon"))
    assert analyze("verify", unit).stderr != ""


@needs_systemd
def test_it_may_do_little_else(unit: Path) -> None:
    done = analyze("security", "--offline=true", unit)
    exposure = re.search(r"Overall exposure level for edgedeblur.service: ([\d.]+)", done.stdout)
    if exposure is None:
        pytest.skip(f"this systemd-analyze does not look at files: {done.stderr.strip()}")
    assert float(exposure[1]) <= 4.5  # 9.6 without any of it


@pytest.mark.parametrize(
    "setting",
    [
        "PrivateDevices",  # no /dev/video*, no GPU
        "ProtectClock",  # brings a list of allowed devices that has neither
        "DevicePolicy",
        "DeviceAllow",
        "PrivateTmp",  # no /tmp/argus_socket
        "PrivateNetwork",
        "MemoryDenyWriteExecute",  # CUDA and ONNX Runtime compile
        "SystemCallFilter",
        "DynamicUser",  # would bring PrivateTmp
    ],
)
def test_nothing_shuts_cameras_and_gpu_off(setting: str) -> None:
    assert of(setting) == []


def test_it_comes_back_and_is_watched() -> None:
    assert of("Type") == ["notify"]
    assert of("Restart") == ["always"]
    assert of("StartLimitIntervalSec") == ["0"]
    assert float(of("WatchdogSec")[0]) >= PATIENCE_S  # it is fed at half that, and must not be late on a busy machine
    assert of("SuccessExitStatus") == [str(int(ExitCode.INTERRUPTED))]


def test_its_folders_fit_together() -> None:
    (state,) = of("StateDirectory")
    assert of("WorkingDirectory") == [f"/var/lib/{state}"]
    variables = dict(word.split("=", 1) for line in of("Environment") for word in line.split())
    assert variables["HOME"] == f"/var/lib/{state}"
    assert all(variables[name].startswith("/var/cache/edgedeblur") for name in ("XDG_CACHE_HOME", "CUDA_CACHE_PATH"))
    assert of("ReadWritePaths") == ["/tmp"]


def test_the_command_of_the_example_is_one() -> None:
    """As systemd splits it: at spaces, with quotes respected."""
    assert of("ExecStart")[0].endswith("edgedeblur run $EDGEDEBLUR_ARGS")
    (words,) = re.findall(r"^EDGEDEBLUR_ARGS=(.*)$", (DEPLOY / "edgedeblur.env").read_text(), re.MULTILINE)
    parser = argparse.ArgumentParser()
    run_command.add_arguments(parser)
    taken = parser.parse_intermixed_args(shlex.split(words))
    assert taken.input == "/dev/video0"
    assert taken.output == ["http://@:8080"]
