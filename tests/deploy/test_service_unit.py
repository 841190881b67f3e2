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
ENVIRONMENT_READER = Path("/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator")
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


def start_command() -> list[str]:
    """The words of ExecStart as systemd hands them on, before its variable is filled in."""
    return [word.replace("$$", "$").replace("%%", "%") for word in shlex.split(of("ExecStart")[0])]


def example_arguments(tmp_path: Path) -> list[str]:
    """The values of EDGEDEBLUR_ARGS in the example, the one that is switched off too, as systemd reads them."""
    if not ENVIRONMENT_READER.exists():
        pytest.skip(f"{ENVIRONMENT_READER}, which has systemd's reader of such files, is not here")
    text = (DEPLOY / "edgedeblur.env").read_text()
    lines = re.findall(r"^(?:# )?EDGEDEBLUR_ARGS=(.*)$", text, re.MULTILINE)
    (tmp_path / "environment.d").mkdir()
    (tmp_path / "environment.d" / "1.conf").write_text("\n".join(f"A{i}={line}" for i, line in enumerate(lines)))
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run([ENVIRONMENT_READER], env=environment, capture_output=True, text=True, check=True)
    read = dict(line.split("=", 1) for line in done.stdout.splitlines())
    return [shlex.split(read[f"A{index}"])[0] for index in range(len(lines))]  # it prints for a shell


def test_the_commands_of_the_example_are_some(tmp_path: Path) -> None:
    """As systemd splits them: at spaces, with quotes respected."""
    off, on = example_arguments(tmp_path)
    parser = argparse.ArgumentParser()
    run_command.add_arguments(parser)
    taken = parser.parse_intermixed_args(shlex.split(on))
    assert (taken.input, taken.output, taken.stats) == ("/dev/video0", ["http://@:8080"], 60)
    taken = parser.parse_intermixed_args(shlex.split(off))
    assert (taken.input, taken.output) == ("gst://v4l2src ! videoconvert", ["out.mkv", "http://@:8080"])
    assert taken.output_split == 60


def test_each_start_records_into_a_folder_of_its_own(tmp_path: Path) -> None:
    """A restart must not find the file of the run before in its way, nor write over it."""
    state, programs = tmp_path / "state", tmp_path / "bin"
    state.mkdir()
    programs.mkdir()
    for name, script in {
        "date": f'echo x >> {tmp_path}/calls; echo "$1" | grep -q + && wc -l < {tmp_path}/calls',  # a second each
        "edgedeblur": 'printf "%s\\n" "$$" "$@" > out.mkv',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    command = [word.replace("/opt/edgedeblur/.venv/bin", str(programs)) for word in start_command()]
    assert command[-1] == "$EDGEDEBLUR_ARGS"
    environment = {"PATH": f"{programs}:/usr/bin:/bin"}
    for words in (["a b", "out.mkv"], ["$x", "out.mkv"]):
        with subprocess.Popen([*command[:-1], *words], cwd=state, env=environment) as process:
            assert process.wait(20) == 0
        (newest,) = [path for path in state.glob("*/out.mkv") if str(process.pid) in path.read_text().split()]
        assert newest.read_text().splitlines()[1:] == ["run", *words]  # one process: signals and the watchdog reach it
    assert len(list(state.iterdir())) == 2
    clean = shlex.split(of("ExecStopPost")[0].removeprefix("-").replace("/var/lib/edgedeblur", str(state)))
    (state / ".cache").mkdir()
    (state / "20261126-093000").mkdir()
    subprocess.run(clean, check=True)
    assert not (state / "20261126-093000").exists()
    assert (state / ".cache").exists()
