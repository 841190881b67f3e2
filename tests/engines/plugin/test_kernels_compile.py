"""The CUDA kernels compile for every GPU that the compiler knows, and keep what they compute in registers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from engines import kernel_report
from engines.kernel_report import ARCHITECTURES, KernelUse, kernel_uses, known_architectures, table
from engines.nvcc import Nvcc
from engines.plugin_library import FOLDER
from engines.tensorrt_headers import VARIABLES

HERE = Path(__file__).parent
# Bytes that kernels may write to and read from local memory for want of registers, by how their names begin.
MOST_SPILL_BYTES = {"plain_kernel<": 0, "fused_kernel<": 640}


@pytest.fixture(scope="module")
def uses(nvcc: Nvcc) -> list[KernelUse]:
    found = kernel_uses(nvcc, known_architectures(nvcc))
    print(table(found))  # pytest shows it with a failure
    return found


def test_kernels_compile_for_every_gpu(uses: list[KernelUse], nvcc: Nvcc) -> None:
    architectures = set(known_architectures(nvcc))
    assert {75, 80, 86, 87, 89, 90} <= architectures
    for kernel in {use.kernel for use in uses}:
        assert {use.sm for use in uses if use.kernel == kernel} == architectures


@pytest.mark.parametrize("beginning", MOST_SPILL_BYTES)
def test_kernels_keep_their_values_in_registers(uses: list[KernelUse], beginning: str) -> None:
    kernels = [use for use in uses if use.kernel.startswith(beginning)]
    assert kernels
    assert [use for use in kernels if use.spill_bytes > MOST_SPILL_BYTES[beginning]] == []


def test_report_shows_registers_and_spills(tmp_path: Path, nvcc: Nvcc, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that is told to use few registers spills, and the table says so."""
    code = """
    template <int N> __global__ void __launch_bounds__(1024) crowded(float* x) {
        float a[N], sum = 0;
        for (int i = 0; i < N; ++i) sum += a[i] = x[i * 1024 + threadIdx.x];
        for (int i = 0; i < N; ++i) x[i * 1024 + threadIdx.x] = a[i] * sum;  // all of them live until here
    }
    template __global__ void crowded<96>(float*);
    __global__ void roomy(float* x) { __shared__ float s[32]; s[threadIdx.x] = *x; __syncthreads(); *x = s[0]; }
    """
    (tmp_path / "deform_kernel.cu").write_text(code)
    monkeypatch.setattr(kernel_report, "FOLDER", tmp_path)
    found = {use.kernel: use for use in kernel_uses(nvcc, [86])}
    assert set(found) == {"crowded<96>", "roomy"}
    assert found["crowded<96>"].registers <= 64
    assert found["crowded<96>"].spill_bytes > 0
    assert (found["roomy"].spill_bytes, found["roomy"].shared_bytes) == (0, 128)
    header, _, *rows = table(list(found.values())).splitlines()
    assert header == "| kernel | sm_86 |"
    assert any("`crowded<96>`" in row and f"spills {found['crowded<96>'].spill_bytes} B" in row for row in rows)


def test_cmake_compiles_for_the_same_gpus_and_says_what_is_missing(
    tmp_path: Path, nvcc: Nvcc, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (FOLDER / "CMakeLists.txt").read_text()
    listed = re.search(r"set\(EDGEDEBLUR_ARCHITECTURES ([\d ]+) CACHE", text)
    assert listed is not None
    assert tuple(map(int, listed[1].split())) == ARCHITECTURES
    if shutil.which("cmake") is None:
        pytest.skip("needs cmake to try it: sudo apt install cmake")
    command = ["cmake", "-S", str(FOLDER), "-B", str(tmp_path), f"-DCMAKE_CUDA_COMPILER={nvcc.path}"]
    command += ["-DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF"]  # not what is installed here, nor what variables name
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "libnvinfer-headers-dev" in refused.stderr
    found = subprocess.run([*command, f"-DTENSORRT_INCLUDE={HERE / 'stand_in'}"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert f"TensorRT headers: {HERE / 'stand_in'}" in found.stdout
