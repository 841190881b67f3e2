"""The TensorRT session, for real on PyCUDA, over a driver that works on host memory and a stand-in for TensorRT.

What is checked is in cuda_stub/check_*.py. Each of those files runs under a pytest of its own, in a process where the
stub is libcuda.so.1: in this process other tests count on there being no GPU.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime import fake_tensorrt
from tests.runtime.cuda_stub.build import build_stub

FOLDER = Path(__file__).parent / "cuda_stub"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def stub_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the stub is the driver."""
    pycuda = importlib.util.find_spec("pycuda")
    if pycuda is None or pycuda.origin is None:
        pytest.skip("PyCUDA is not installed; `make test` builds it (tests/runtime/cuda_stub/install_pycuda.py)")
    if not shutil.which("gcc") or not shutil.which("nm"):
        pytest.skip("no gcc and nm to build the stub of libcuda.so.1 with")
    module = next(Path(pycuda.origin).parent.glob("_driver*.so"))
    library = build_stub(tmp_path_factory.mktemp("cuda_stub"), module)
    return {**os.environ, "LD_LIBRARY_PATH": str(library.parent)}


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("check_*.py")))
def test_on_the_stub(name: str, stub_environment: dict[str, str]) -> None:
    # Without conftest.py: it imports torch.
    options = ["-q", "--noconftest", "-p", "no:cacheprovider", "-p", "tests.runtime.cuda_stub.fixtures"]
    command = [sys.executable, "-m", "pytest", *options, "-o", "python_files=check_*.py", str(FOLDER / name)]
    done = subprocess.run(command, cwd=ROOT, env=stub_environment, capture_output=True, text=True, timeout=200)
    print(done.stdout[-20_000:], done.stderr[-5_000:])
    assert done.returncode == 0, done.stdout.strip().splitlines()[-1]


def test_the_stand_in_has_no_name_that_tensorrt_lacks() -> None:
    real = pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed (pip install -e '.[engines]')")
    fake = fake_tensorrt.make(lambda *_: True, "tensorrt_rtx")
    names = [name for name, part in vars(fake).items() if isinstance(part, type)]
    assert {"Runtime", "ICudaEngine", "IExecutionContext", "IRuntimeConfig"} <= set(names)
    for name in names:
        public = {part for part in dir(getattr(fake, name)) if not part.startswith("_")} - {"mro"}
        assert public <= set(dir(getattr(real, name))), f"{name} has more than TensorRT's"
    assert callable(real.get_plugin_registry)
