"""V4L2 cameras and virtual cameras, for real but for the kernel: a library in its place has the devices.

What is checked is in v4l2_stub/check_*.py. Each of those files runs under a pytest of its own, in a process that the
library (stub.c) was loaded into; devices.py says how any other test can use it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.v4l2_stub.devices import StubDevices

FOLDER = Path(__file__).parent / "v4l2_stub"
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("check_*.py")))
def test_on_the_stub(name: str, tmp_path: Path) -> None:
    environment = StubDevices(tmp_path / "dev").environment
    # Without conftest.py: it imports torch.
    options = ["-q", "--noconftest", "-p", "no:cacheprovider", "-p", "tests.runtime.v4l2_stub.fixtures"]
    command = [sys.executable, "-m", "pytest", *options, "-o", "python_files=check_*.py", str(FOLDER / name)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    print(done.stdout[-20_000:], done.stderr[-5_000:])
    assert done.returncode == 0, done.stdout.strip().splitlines()[-1]
