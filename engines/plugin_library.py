"""Our TensorRT plugin as a shared library: compiled once for this TensorRT and this GPU, kept, found again, loaded.

`python -m engines.plugin_library` prints its path, compiling it first if need be:
`trtexec --loadEngine=m.engine --dynamicPlugins=$(python -m engines.plugin_library)`.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from edgedeblur import ExitCode, Failure
from engines.files import build_lock, make_folder
from engines.gpu import driver_cuda
from engines.nvcc import Nvcc, find_nvcc
from engines.tensorrt_headers import Headers, find_headers
from engines.toolkit import Toolkit, find_toolkit
from export.passes.rename_deform import PLUGIN_NAMESPACE, PLUGIN_OP, PLUGIN_VERSION
from export.passes.whole_files import cannot_write, write_whole
from runtime.sessions.gpu import Gpu
from runtime.sessions.user_cache import user_cache

FOLDER = Path(__file__).parent / "plugin"
SOURCES = ("deform_kernel.cu", "deform_plugin.cpp", "deform_creator.cpp")
EXPORTS = "plugin_exports.map"
# Nothing of TensorRT is linked: what would miss shows when the library is made. Its headers use what they deprecate.
FLAGS = (
    "-O3",
    "-std=c++17",
    "-shared",
    "-Xcompiler",
    "-fPIC,-Wno-deprecated-declarations",
    "-Xlinker",
    "--no-undefined",
)
ADVICE = "free space, name another cache folder in XDG_CACHE_HOME, or a ready library with --plugins"


class PluginLibrary(NamedTuple):
    """A shared library with our plugin, and what its bytes hash to."""

    path: Path
    sha256: str


def plugin_library(toolkit: Toolkit) -> PluginLibrary:
    """The library for this TensorRT and GPU: from the user's cache folder, else compiled into it.

    Raises Failure (ENVIRONMENT) naming what is missing (nvcc, g++, headers, a GPU), or the folder that cannot be
    written. The compiler is needed to find a kept library too: its version is part of what names it.
    """
    if toolkit.gpu is None:
        raise Failure("the plugin is compiled for this machine's GPU, and there is none", ExitCode.ENVIRONMENT)
    nvcc, headers = find_nvcc(), find_headers(toolkit.version)
    _check_fits(nvcc, toolkit.gpu)
    path = user_cache() / _name(nvcc, headers, toolkit.gpu.sm)
    kept = _kept(path)
    if kept is not None:
        return kept
    make_folder(path.parent, ADVICE)
    with build_lock(path.with_suffix(".lock"), ADVICE):
        return _kept(path) or _compile(nvcc, headers, toolkit.gpu.sm, path)


def named_plugin(path: Path) -> PluginLibrary:
    """The library that a user named. Raises Failure (USAGE) unless it is one with our plugin that loads here."""
    path = path.absolute()
    try:
        data = path.read_bytes()
        exported = hasattr(ctypes.CDLL(str(path)), "getCreators")
    except OSError as error:  # ctypes' has no strerror
        raise Failure(f"{path} cannot be loaded as a plugin library: {error.strerror or error}") from error
    if not exported or PLUGIN_OP.encode() not in data:
        raise Failure(f"{path} has no plugin {PLUGIN_OP}; expected a library that engines/plugin/ was built to")
    return PluginLibrary(path, hashlib.sha256(data).hexdigest())


def load_plugin(trt: Any, path: Path) -> None:
    """Make the plugin known to `trt` (the tensorrt module). Raises Failure (ENVIRONMENT) when it is not, afterwards."""
    registry = trt.get_plugin_registry()
    if not _knows_plugin(registry):
        registry.load_library(str(path))
    if not _knows_plugin(registry):
        raise Failure(
            f"TensorRT {trt.__version__} does not load {PLUGIN_OP} version {PLUGIN_VERSION} from {path}; expected a "
            "library compiled for this TensorRT: leave --plugins out, and it is compiled here",
            ExitCode.ENVIRONMENT,
        )


def _knows_plugin(registry: Any) -> bool:
    """By the list of all: asking for one that is not there is an error in TensorRT's log."""
    found = [(creator.name, creator.plugin_version, creator.plugin_namespace) for creator in registry.all_creators]
    return (PLUGIN_OP, PLUGIN_VERSION, PLUGIN_NAMESPACE) in found


def compile_command(nvcc: Nvcc, headers: Headers, sm: int, output: Path) -> list[str]:
    """nvcc's arguments for the whole plugin, for one GPU."""
    sources = [str(FOLDER / name) for name in SOURCES]
    gpu = f"arch=compute_{sm},code=sm_{sm}"
    exports = f"--version-script={FOLDER / EXPORTS}"
    # -I, not -isystem, which would put a folder that g++ knows anyway, as apt's is, before the ones it belongs behind.
    return [*FLAGS, "-Xlinker", exports, "-gencode", gpu, "-I", str(headers.folder), *sources, "-o", str(output)]


def _name(nvcc: Nvcc, headers: Headers, sm: int) -> str:
    """Equal names hold equal libraries: everything that goes into one is hashed."""
    sources = sorted([*FOLDER.glob("deform_*"), FOLDER / EXPORTS])
    code = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sources}
    parts = json.dumps([nvcc.version, headers.version, sm, FLAGS, code])
    key = hashlib.sha256(parts.encode()).hexdigest()[:16]
    return f"{PLUGIN_OP}.trt{headers.text}.sm{sm}.{key}.so"


def _check_fits(nvcc: Nvcc, gpu: Gpu) -> None:
    """Raises Failure (ENVIRONMENT) when what nvcc makes cannot run here."""
    if gpu.sm not in nvcc.architectures:
        raise Failure(
            f"{nvcc.path} (CUDA {nvcc.version}) does not compile for {gpu.name} (sm{gpu.sm}); "
            "name another CUDA's folder in CUDA_HOME",
            ExitCode.ENVIRONMENT,
        )
    served = driver_cuda()
    if served is not None and _major(nvcc.version) > _major(served):
        raise Failure(
            f"{nvcc.path} is of CUDA {nvcc.version} and this driver serves CUDA {served}; "
            "update the driver, or name an older CUDA's folder in CUDA_HOME",
            ExitCode.ENVIRONMENT,
        )


def _major(version: str) -> int:
    return int(version.split(".")[0])


def _kept(path: Path) -> PluginLibrary | None:
    """What an earlier call compiled; None when it is not there, not whole or not what was written."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return PluginLibrary(path, digest) if _sum_file(path).read_bytes().strip() == digest.encode() else None
    except OSError:
        return None


def _compile(nvcc: Nvcc, headers: Headers, sm: int, path: Path) -> PluginLibrary:
    print(f"compiling the plugin for TensorRT {headers.text} and sm{sm}, once", file=sys.stderr, flush=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / path.name
            nvcc.run(compile_command(nvcc, headers, sm, output))
            data = output.read_bytes()
    except OSError as error:  # of the temporary folder
        raise cannot_write(Path(error.filename or path), error, ADVICE) from error
    digest = hashlib.sha256(data).hexdigest()
    write_whole({path: data, _sum_file(path): f"{digest}\n".encode()}, ADVICE)
    return PluginLibrary(path, digest)


def _sum_file(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _main() -> int:
    try:
        print(plugin_library(find_toolkit("tensorrt")).path)
    except Failure as failure:
        print(f"plugin: {failure}", file=sys.stderr)
        return failure.code
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(_main())
