"""Puts PyCUDA into this Python for the tests, without a GPU, a driver or a CUDA toolkit; `make test` runs it.

PyCUDA comes as source. It is compiled against cuda.h (of the system's CUDA toolkit, else of NVIDIA's wheel) and linked
with the stub of this folder; any later driver that has what it asks for then serves it. The wheel is kept in the user's
cache, since compiling takes a minute or two. Does nothing where PyCUDA is there already. Prints why, and exits 0, where
it cannot be had: the tests that need it are then skipped, and say so.
"""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))

from runtime.sessions.user_cache import user_cache
from tests.runtime.cuda_stub.build import build_stub

VERSION = "2026.1"
HEADERS = "nvidia-cuda-runtime-cu12==12.6.77"  # the toolkit of JetPack 6; asks less of a driver than later ones
SETTINGS = """CUDA_ROOT = {folder!r}
CUDA_INC_DIR = [{headers!r}]
CUDADRV_LIB_DIR = [{stub!r}]
CUDA_ENABLE_CURAND = False
CUDA_ENABLE_GL = False
"""
PROFILER_HEADER = """#include <cuda.h>
typedef enum { CU_OUT_KEY_VALUE_PAIR, CU_OUT_CSV } CUoutput_mode;
CUresult cuProfilerInitialize(const char *, const char *, CUoutput_mode);
CUresult cuProfilerStart(void);
CUresult cuProfilerStop(void);
"""  # not in the wheel, and asked for


def main() -> None:
    if importlib.util.find_spec("pycuda") is not None:
        return
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}-{platform.machine()}"
    cache = user_cache() / "wheels" / f"pycuda-{VERSION}-{tag}"
    try:
        if not any(cache.glob("*.whl")):
            with tempfile.TemporaryDirectory() as folder:
                _build(Path(folder), cache)
        _pip("install", str(next(cache.glob("*.whl"))))
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"PyCUDA is not installed and its tests will be skipped: {error}", file=sys.stderr)


def _build(folder: Path, cache: Path) -> None:
    print(f"building PyCUDA {VERSION} (a minute or two, once)", file=sys.stderr, flush=True)
    headers = _headers(folder)
    stub = build_stub(folder / "stub").parent
    _pip("download", "--no-deps", "--no-binary", "pycuda", "-d", str(folder), f"pycuda=={VERSION}")
    subprocess.run(["tar", "-xzf", f"pycuda-{VERSION}.tar.gz"], cwd=folder, check=True)
    source = folder / f"pycuda-{VERSION}"
    settings = SETTINGS.format(folder=str(folder), headers=str(headers), stub=str(stub))
    (source / "siteconf.py").write_text(settings)
    _pip("wheel", "--no-deps", "-w", str(cache), str(source))


def _headers(folder: Path) -> Path:
    """A folder with cuda.h."""
    system = Path("/usr/local/cuda/include")
    if (system / "cuda.h").is_file():
        return system
    _pip("install", "--no-deps", "--target", str(folder / "headers"), HEADERS)
    found = next((folder / "headers").glob("**/cuda.h")).parent
    if not (found / "cudaProfiler.h").is_file():
        (found / "cudaProfiler.h").write_text(f'extern "C" {{\n{PROFILER_HEADER}}}\n')
    return found


def _pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", *words[:1], "--quiet", "--disable-pip-version-check", *words[1:]]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
