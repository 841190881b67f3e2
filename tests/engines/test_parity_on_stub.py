"""Runs check_parity_on_stub.py where a driver on host memory is libcuda.so.1."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.cuda_stub.build import build_stub

HERE = Path(__file__).parent


def test_parity_through_the_session(tmp_path: Path) -> None:
    pycuda = importlib.util.find_spec("pycuda")
    if pycuda is None or pycuda.origin is None:
        pytest.skip("PyCUDA is not installed; `make test` builds it (tests/runtime/cuda_stub/install_pycuda.py)")
    if not shutil.which("gcc") or not shutil.which("nm"):
        pytest.skip("no gcc and nm to build the stub of libcuda.so.1 with")
    library = build_stub(tmp_path, next(Path(pycuda.origin).parent.glob("_driver*.so")))
    options = ["-q", "--noconftest", "-p", "no:cacheprovider", "-p", "tests.runtime.cuda_stub.fixtures"]
    command = [sys.executable, "-m", "pytest", *options, str(HERE / "check_parity_on_stub.py")]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library.parent)}
    done = subprocess.run(
        command, cwd=HERE.parents[1], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "4 passed" in done.stdout
