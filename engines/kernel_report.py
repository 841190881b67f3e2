"""Registers, shared memory and spills of the CUDA kernels for every GPU that the compiler knows, as a Markdown table.

`python -m engines.kernel_report` (all of ARCHITECTURES), or `python -m engines.kernel_report 87 110`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edgedeblur import Failure
from engines.nvcc import Nvcc, find_nvcc
from engines.plugin_library import FOLDER

KERNELS = "deform_kernel.cu"
# What the plugin is built for; CMakeLists.txt has the same ones. Thor is 101 in CUDA 12 and 110 from CUDA 13 on.
ARCHITECTURES = (75, 80, 86, 87, 89, 90, 100, 101, 110, 120)
# One kernel in what `ptxas -v` says; names are mangled.
ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)' for 'sm_\d+'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
    re.DOTALL,
)


@dataclass(frozen=True)
class KernelUse:
    """What one kernel takes of one GPU."""

    kernel: str  # with its template arguments
    sm: int
    registers: int  # of each thread
    stack_bytes: int  # of each thread, in slow local memory
    spill_bytes: int  # written to and read back from local memory for want of registers
    shared_bytes: int  # static, of each block


def known_architectures(nvcc: Nvcc) -> tuple[int, ...]:
    """Those of ARCHITECTURES that this compiler has."""
    return tuple(sm for sm in ARCHITECTURES if sm in nvcc.architectures)


def kernel_uses(nvcc: Nvcc, architectures: Sequence[int]) -> list[KernelUse]:
    """Compile all kernels for each GPU, several at a time. Raises Failure (ENVIRONMENT) when one does not compile."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outputs = list(pool.map(lambda sm: _ptxas_output(nvcc, sm), architectures))
    found = [(sm, match) for sm, text in zip(architectures, outputs, strict=True) for match in ENTRY.finditer(text)]
    names = _demangled([match["name"] for _, match in found])
    return [_use(name, sm, match) for name, (sm, match) in zip(names, found, strict=True)]


def table(uses: Sequence[KernelUse]) -> str:
    """Markdown: a row for each kernel and a column for each GPU, with registers and bytes of local memory, if any."""
    columns = sorted({use.sm for use in uses})
    cells = {(use.kernel, use.sm): _cell(use) for use in uses}
    lines = ["| kernel | " + " | ".join(f"sm_{sm}" for sm in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for kernel in dict.fromkeys(use.kernel for use in uses):
        lines.append(f"| `{kernel}` | " + " | ".join(cells.get((kernel, sm), "") for sm in columns) + " |")
    return "\n".join(lines)


def _ptxas_output(nvcc: Nvcc, sm: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        target = ["-cubin", f"-arch=sm_{sm}", "-o", str(Path(folder) / "kernel.cubin")]
        return nvcc.run(["-O3", "-std=c++17", "-Xptxas", "-v", *target, str(FOLDER / KERNELS)])


def _use(name: str, sm: int, match: re.Match[str]) -> KernelUse:
    shared = re.search(r"(\d+) bytes smem", match["rest"])
    spilled = int(match["stores"]) + int(match["loads"])
    return KernelUse(
        name, sm, int(match["registers"]), int(match["stack"]), spilled, int(shared[1]) if shared is not None else 0
    )


def _cell(use: KernelUse) -> str:
    """What spills lies in the stack frame too, which is told only where it holds something else."""
    if use.spill_bytes:
        return f"{use.registers}, spills {use.spill_bytes} B"
    return f"{use.registers}" + (f", stack {use.stack_bytes} B" if use.stack_bytes else "")


def _demangled(names: Sequence[str]) -> list[str]:
    """`edgedeblur::kernel<64>(…)` as `kernel<64>`; left as they are without c++filt, which comes with g++."""
    filter_path = shutil.which("c++filt")
    if filter_path is None or not names:
        return list(names)
    done = subprocess.run([filter_path, *names], capture_output=True, text=True, check=True)
    return [_short(line) for line in done.stdout.splitlines()]


def _short(name: str) -> str:
    name = name.replace("(anonymous namespace)::", "").replace("edgedeblur::", "").removeprefix("void ")
    return re.sub(r"\((?:int|bool|unsigned int)\)", "", name).partition("(")[0]


def _main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.kernel_report", description="registers and spills")
    parser.add_argument("sm", nargs="*", type=int, help="compute capabilities, such as 87; all if not given")
    asked = parser.parse_args(arguments).sm
    try:
        nvcc = find_nvcc()
        uses = kernel_uses(nvcc, asked or known_architectures(nvcc))
    except Failure as failure:
        print(f"kernels: {failure}", file=sys.stderr)
        return failure.code
    print(f"Registers of each thread, compiled with CUDA {nvcc.version}:\n\n{table(uses)}")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
