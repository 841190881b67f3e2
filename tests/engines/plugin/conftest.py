"""What the plugin's tests share: the compiler, TensorRT's headers where there are any, and a compiled driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgedeblur import Failure
from engines.nvcc import Nvcc, find_nvcc
from engines.plugin_library import FOLDER
from engines.tensorrt_headers import Headers, installed_headers

HERE = Path(__file__).parent
NO_HEADERS = (
    "needs TensorRT's C++ headers, which cannot be shipped: name a folder with NvInfer.h in TENSORRT_INCLUDE "
    "(include/ of github.com/NVIDIA/TensorRT)"
)


@pytest.fixture(scope="session")
def nvcc() -> Nvcc:
    try:
        return find_nvcc()
    except Failure as failure:
        pytest.skip(str(failure))


@pytest.fixture(scope="session")
def headers() -> Headers:
    """TensorRT's own headers."""
    found = installed_headers()
    if not found:
        pytest.skip(NO_HEADERS)
    return found[0]


# Without headers of TensorRT test_plugin_registry.py says so, once.
@pytest.fixture(scope="session", params=["stand-in headers", *(["TensorRT's headers"] if installed_headers() else [])])
def driver(request: pytest.FixtureRequest, nvcc: Nvcc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """glue_driver.cpp with the plugin's glue, as a program; no GPU code is in it."""
    include = HERE / "stand_in"
    if request.param == "TensorRT's headers":
        include = request.getfixturevalue("headers").folder
    program = tmp_path_factory.mktemp("driver") / "driver"
    sources = [HERE / "glue_driver.cpp", FOLDER / "deform_plugin.cpp", FOLDER / "deform_creator.cpp"]
    warnings = ["-Xcompiler", "-Wall,-Wextra,-Werror"]
    options = ["-std=c++17", "-cudart", "none", *warnings, "-I", str(FOLDER), "-isystem", str(include)]
    nvcc.run([*options, *map(str, sources), "-o", str(program)])
    return program
