"""Builds libcuda.so.1 on host memory (stub.c) with gcc, complete for a given PyCUDA."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("stub.c")
NAME = "libcuda.so.1"


def build_stub(folder: Path, pycuda: Path | None = None) -> Path:
    """The library in `folder`, also as libcuda.so to link with.

    pycuda: PyCUDA's compiled module. All that it asks of the driver must be there before Python loads it; what stub.c
    does not have says its name and returns CUDA_ERROR_NOT_SUPPORTED.
    Raises: CalledProcessError, FileNotFoundError without gcc and nm.
    """
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / NAME
    _compile(library, [SOURCE])
    if pycuda is not None:
        rest = folder / "rest.c"
        missing = sorted(_symbols(pycuda, "--undefined-only") - _symbols(library, "--defined-only"))
        lines = [f'int {name}(void) {{ fprintf(stderr, "stub: no {name}\\n"); return 801; }}' for name in missing]
        rest.write_text("\n".join(["#include <stdio.h>", *lines, ""]))
        _compile(library, [SOURCE, rest])
    link = folder / "libcuda.so"
    link.unlink(missing_ok=True)
    link.symlink_to(NAME)
    return library


def _compile(library: Path, sources: list[Path]) -> None:
    options = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    command = ["gcc", *options, f"-Wl,-soname,{NAME}", "-o", str(library), *map(str, sources)]
    subprocess.run(command, check=True, capture_output=True, text=True)


def _symbols(library: Path, which: str) -> set[str]:
    """The names of driver functions in a library's dynamic table."""
    command = ["nm", "--dynamic", which, str(library)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    names = {line.split()[-1].split("@")[0] for line in lines}
    return {name for name in names if name.startswith("cu") and name[2:3].isupper()}
