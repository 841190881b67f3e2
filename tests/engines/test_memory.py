"""Memory before a build: what is read of the machine, which workspace follows, and what the user is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engines import build
from engines.build import BuildConfig, _plan_workspace
from engines.gpu import driver_cuda, free_bytes
from engines.memory import Memory, find_memory, plan_workspace
from engines.toolkit import Toolkit
from runtime.sessions.gpu import Gpu
from runtime.sessions.size_range import fixed_size
from tests.runtime.cuda_stub.build import build_stub

ORIN = Gpu("Orin", 87, True)
MEMINFO = (
    "MemTotal:  7802000 kB\nMemFree:  200000 kB\nMemAvailable:  {} kB\nSwapFree:  3145728 kB\nHugePages_Total: 0\n"
)


def proc(folder: Path, available_kb: int, swaps: str) -> Path:
    (folder / "meminfo").write_text(MEMINFO.format(available_kb))
    (folder / "swaps").write_text(f"Filename Type Size Used Priority\n{swaps}\n")
    return folder


def test_unified_memory_is_the_machines(tmp_path: Path) -> None:
    found = find_memory(ORIN, proc(tmp_path, 4 << 20, "/dev/zram0 partition 3145728 0 5"))
    assert found == Memory(4.0, True, 3.0, True)
    assert find_memory(ORIN, proc(tmp_path, 4 << 20, "/swapfile file 3145728 0 -2")) == Memory(4.0, True, 3.0, False)


def test_a_system_that_does_not_say(tmp_path: Path) -> None:
    assert find_memory(ORIN, tmp_path) is None
    (tmp_path / "swaps").write_text("")
    for content in ("", "MemAvailable: many kB\n", "MemAvailable:\n", "\x00\x00"):
        (tmp_path / "meminfo").write_text(content)
        assert find_memory(ORIN, tmp_path) is None
    assert find_memory(None) is None


def test_half_of_unified_memory_unless_the_user_says() -> None:
    roomy = Memory(5.3, True, 0.0)
    assert plan_workspace(None, roomy) == (
        2.5,
        ["workspace: 2.5 GiB, half of the 5.3 GiB that are free (--workspace sets it)"],
    )
    assert plan_workspace(4.0, roomy) == (4.0, [])
    assert plan_workspace(None, Memory(0.1, True))[0] == 0.25


def test_tensorrts_default_on_a_gpu_with_memory_of_its_own() -> None:
    assert plan_workspace(None, Memory(7.0, False)) == (None, [])
    assert plan_workspace(None, None) == (None, [])
    assert plan_workspace(3.0, None) == (3.0, [])


def test_little_memory_comes_with_advice() -> None:
    (limit, notes) = plan_workspace(None, Memory(1.2, True, 3.9, True))
    assert limit == 0.5
    assert "only 1.2 GiB of memory are free (and 3.9 GiB of swap, zram, which is memory itself)" in notes[0]
    assert "add a swap file on disk" in notes[0]
    (limit, notes) = plan_workspace(None, Memory(1.2, False))
    assert limit is None
    assert notes == ["only 1.2 GiB of GPU memory are free: close other programs that use the GPU"]


@pytest.mark.parametrize("unified", [True, False])
def test_more_than_is_free_is_said_and_kept(unified: bool) -> None:
    limit, notes = plan_workspace(6.0, Memory(4.0, unified))
    assert limit == 6.0
    assert notes == [
        "--workspace is 6 GiB and 4.0 GiB are free: the build may be killed; --workspace 2 would fit",
    ]


def test_notes_are_told_before_the_build(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(build, "find_memory", lambda gpu: Memory(1.0, gpu.integrated))
    config = BuildConfig(fixed_size((64, 96)), workspace_gib=None)
    assert _plan_workspace(config, Toolkit(None, "tensorrt", "10.3.0", ORIN)) == 0.5
    assert "only 1.0 GiB of memory are free" in capsys.readouterr().err


def test_without_a_driver() -> None:
    assert free_bytes("libno-such-driver.so") is None
    assert driver_cuda("libno-such-driver.so") is None


PROGRAM = """
import json
from engines.gpu import driver_cuda, free_bytes
from engines.memory import find_memory
from runtime.sessions.gpu import find_gpu
from tests.runtime.cuda_stub import driver

memory = find_memory(find_gpu())
failed = []
for function in ("cuDevicePrimaryCtxRetain", "cuCtxPushCurrent", "cuMemGetInfo"):
    driver.fail(function, 1, 2)
    failed.append(free_bytes())
print(json.dumps([free_bytes(), driver_cuda(), memory and memory.free, driver.alive(), failed]))
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc to build the stub of libcuda.so.1 with")
def test_the_driver_is_asked_and_given_everything_back(tmp_path: Path) -> None:
    """Over the driver on host memory: what it has free, and no context is left behind, whatever fails."""
    library = build_stub(tmp_path)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library.parent), "STUB_INTEGRATED": "0"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    free, version, gib, alive, failed = json.loads(done.stdout)
    assert (free, version, gib) == (8 << 30, "13.0", 8.0)
    assert alive == {}
    assert failed == [None] * 3
