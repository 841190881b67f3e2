"""The plugin's library: compiled once and kept, whole or not at all; what is missing or does not fit is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from edgedeblur import ExitCode, Failure
from engines import nvcc as compiler
from engines import plugin_library as library
from engines.plugin_library import SOURCES, load_plugin, named_plugin, plugin_library
from engines.tensorrt_headers import Headers, find_headers
from engines.toolkit import Toolkit
from export.passes.rename_deform import PLUGIN_OP
from runtime.sessions.gpu import Gpu

ROOT = Path(__file__).parents[3]
ORIN = Gpu("Orin", 87, True)
# Answers as nvcc 12.6 does, notes each compilation, and writes what stands for a library; slowly, so that two overlap.
NVCC = """#!/bin/sh
here=$(dirname "$0")
case "$1" in
    --version) echo "Cuda compilation tools, release 12.6, V12.6.68"; exit;;
    --list-gpu-arch) printf 'compute_75\\ncompute_86\\ncompute_87\\n'; exit;;
esac
echo "$@" >> "$here/compilations"
test -e "$here/broken" && { echo "deform_kernel.cu(7): error: expected a ;" >&2; exit 1; }
sleep 0.3
while test "$1" != -o; do shift; done
date +%N > "$2"
"""


def toolkit(version: str = "10.3.0", gpu: Gpu | None = ORIN) -> Toolkit:
    return Toolkit(module=None, name="tensorrt", version=version, gpu=gpu)


def version_header(major: int, minor: int, indirect: bool = False) -> str:
    """Both ways in which NvInferVersion.h says it."""
    if indirect:
        return (
            f"#define TRT_MAJOR_ENTERPRISE {major}\n#define TRT_MINOR_ENTERPRISE {minor}\n#define TRT_PATCH_X 0\n"
            "#define NV_TENSORRT_MAJOR TRT_MAJOR_ENTERPRISE //!< major\n"
            "#define NV_TENSORRT_MINOR TRT_MINOR_ENTERPRISE //!< minor\n#define NV_TENSORRT_PATCH TRT_PATCH_X\n"
        )
    return "".join(
        f"#define NV_TENSORRT_{part} {number} //!< TensorRT version.\n"
        for part, number in (("MAJOR", major), ("MINOR", minor), ("PATCH", 0))
    )


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for a machine: CUDA in cuda/, headers of TensorRT 10.3 in include/, a cache in cache/."""
    nvcc = tmp_path / "cuda" / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text(NVCC)
    nvcc.chmod(0o755)
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "NvInfer.h").write_text("")
    (tmp_path / "include" / "NvInferVersion.h").write_text(version_header(10, 3))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda"))
    monkeypatch.setenv("TENSORRT_INCLUDE", str(tmp_path / "include"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def compilations(machine: Path) -> list[str]:
    log = machine / "cuda" / "bin" / "compilations"
    return log.read_text().splitlines() if log.exists() else []


def refusal(code: ExitCode = ExitCode.ENVIRONMENT, **options: Any) -> str:
    with pytest.raises(Failure) as failure:
        plugin_library(toolkit(**options))
    assert failure.value.code == code
    return str(failure.value)


def test_compiled_once_for_this_gpu_and_then_found(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = plugin_library(toolkit())
    (command,) = compilations(machine)
    assert "-gencode arch=compute_87,code=sm_87" in command
    assert f"-I {machine / 'include'}" in command
    assert all(str(library.FOLDER / name) in command for name in SOURCES)
    monkeypatch.setattr(library, "build_lock", None)  # finding writes nothing: the folder may be read-only by then
    assert plugin_library(toolkit()) == first
    assert len(compilations(machine)) == 1
    names = sorted(path.name for path in (machine / "cache" / "edgedeblur").iterdir())
    assert names == [first.path.with_suffix(".sha256").name, first.path.name]


def test_sources_are_installed_with_the_package() -> None:
    """A checkout finds what the list forgot; a wheel does not."""
    assert 'engines = ["plugin/*"]' in (ROOT / "pyproject.toml").read_text()
    assert {*SOURCES, library.EXPORTS} <= {path.name for path in library.FOLDER.iterdir()}


def test_whatever_goes_into_the_library_gives_another(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {plugin_library(toolkit()).path}
    found.add(plugin_library(toolkit(gpu=Gpu("RTX 3060", 86, False))).path)
    (machine / "include" / "NvInferVersion.h").write_text(version_header(10, 2))
    found.add(plugin_library(toolkit()).path)
    nvcc = machine / "cuda" / "bin" / "nvcc"
    nvcc.write_text(NVCC.replace("12.6.68", "12.6.85"))
    found.add(plugin_library(toolkit()).path)
    shutil.copytree(library.FOLDER, machine / "sources")
    (machine / "sources" / "deform_params.h").write_text("// changed\n")
    monkeypatch.setattr(library, "FOLDER", machine / "sources")
    found.add(plugin_library(toolkit()).path)
    monkeypatch.setattr(library, "FLAGS", (*library.FLAGS, "--use_fast_math"))
    found.add(plugin_library(toolkit()).path)
    assert len(found) == len(compilations(machine)) == 6


@pytest.mark.parametrize("damage", ["cut short", "other bytes", "no sum", "empty sum", "garbled sum"])
def test_damaged_library_is_compiled_again(machine: Path, damage: str) -> None:
    path, _ = plugin_library(toolkit())
    total = path.with_suffix(".sha256")
    if damage == "no sum":
        total.unlink()
    else:
        damaged = total if damage.endswith("sum") else path
        content = {"other bytes": b"x" * path.stat().st_size, "garbled sum": b"\xff\xfe"}
        damaged.write_bytes(content.get(damage, b""))
    again = plugin_library(toolkit())
    assert again.path == path
    assert len(compilations(machine)) == 2
    assert plugin_library(toolkit()) == again


def test_two_processes_compile_once(machine: Path) -> None:
    code = (
        "from engines.plugin_library import plugin_library; from engines.toolkit import Toolkit;"
        "from runtime.sessions.gpu import Gpu;"
        "print(plugin_library(Toolkit(None, 'tensorrt', '10.3.0', Gpu('Orin', 87, True))).sha256)"
    )
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]
    printed = {process.communicate(timeout=60)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0]
    assert len(printed) == 1
    assert len(compilations(machine)) == 1


def test_what_does_not_compile_leaves_nothing(machine: Path) -> None:
    (machine / "cuda" / "bin" / "broken").touch()
    message = refusal()
    assert "deform_kernel.cu(7): error: expected a ;" in message
    assert "CUDA 12.6.68" in message
    assert list((machine / "cache" / "edgedeblur").iterdir()) == []


def test_missing_compilers_are_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "tools").mkdir()
    for tool in ("dirname", "sh"):
        os.symlink(str(shutil.which(tool)), machine / "tools" / tool)
    monkeypatch.setenv("PATH", str(machine / "tools"))
    assert "g++" in refusal()
    assert "sudo apt install g++" in refusal()
    monkeypatch.delenv("CUDA_HOME")
    monkeypatch.setattr(compiler, "USUAL", machine / "nowhere")
    monkeypatch.setattr(compiler, "_from_pip", list)
    message = refusal()
    for words in ("nvcc, the CUDA compiler, is not here", "nvidia-jetpack", "'.[nvcc]'", "CUDA_HOME"):
        assert words in message


def test_missing_or_foreign_headers_are_named(machine: Path) -> None:
    message = refusal(version="10.2.0")
    assert "the C++ headers of TensorRT 10.2.0 are not here; found 10.3.0 in" in message
    assert "found 10.3.0" in refusal(version="11.1.0")
    (machine / "include" / "NvInfer.h").unlink()
    message = refusal()
    for words in ("sudo apt install libnvinfer-headers-dev", "TENSORRT_ROOT", "TENSORRT_INCLUDE"):
        assert words in message
    assert "found" not in message


def test_headers_of_either_form_and_of_older_minor_versions_are_taken(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_headers("10.16.2.10") == Headers(machine / "include", (10, 3, 0))
    root = machine / "TensorRT-11.1"
    shutil.copytree(machine / "include", root / "include")
    (root / "include" / "NvInferVersion.h").write_text(version_header(11, 1, indirect=True))
    monkeypatch.delenv("TENSORRT_INCLUDE")
    monkeypatch.setenv("TENSORRT_ROOT", str(root))
    assert find_headers("11.4.1").text == "11.1.0"


def test_gpus_and_drivers_that_do_not_fit_are_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is none" in refusal(gpu=None)
    assert "CUDA 12.6.68) does not compile for RTX 5090 (sm120)" in refusal(gpu=Gpu("RTX 5090", 120, False))
    monkeypatch.setattr(library, "driver_cuda", lambda: "11.4")
    assert "this driver serves CUDA 11.4" in refusal()
    assert compilations(machine) == []


def test_cache_that_cannot_be_written_is_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")  # where root cannot make a folder either
    message = refusal()
    assert "/proc/edgedeblur cannot be written" in message
    assert "XDG_CACHE_HOME" in message
    assert compilations(machine) == []


def test_no_place_to_compile_in_and_no_home(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(machine / "nowhere"))
    assert "nowhere" in refusal()
    assert list((machine / "cache" / "edgedeblur").iterdir()) == []

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", nobody)
    assert "set HOME or XDG_CACHE_HOME" in refusal()


def shared_object(folder: Path, code: str) -> Path:
    source, path = folder / "made.c", folder / "made.so"
    source.write_text(code)
    subprocess.run(["gcc", "-shared", "-fPIC", str(source), "-o", str(path)], check=True)
    return path


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_named_libraries_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    good = shared_object(tmp_path, f'const char name[] = "{PLUGIN_OP}"; void* getCreators(int* n) {{ return 0; }}')
    found = named_plugin(Path("made.so"))
    assert found.path == good
    assert len(found.sha256) == 64
    (tmp_path / "text.so").write_text("not a library")
    other = shared_object(tmp_path / "..", "int other(void) { return 1; }").rename(tmp_path / "other.so")
    for path, words in (("absent.so", "No such file"), ("text.so", "text.so cannot be loaded"), (other, PLUGIN_OP)):
        with pytest.raises(Failure, match=words) as failure:
            named_plugin(Path(path))
        assert failure.value.code == ExitCode.USAGE


class NoPlugins:
    """A registry that takes no library, as TensorRT's does when one was made for another version."""

    __version__ = "10.3.0"
    all_creators: tuple[Any, ...] = ()

    def get_plugin_registry(self) -> NoPlugins:
        return self

    def load_library(self, path: str) -> None:
        self.asked = path


def test_library_that_tensorrt_does_not_take_is_refused() -> None:
    registry = NoPlugins()
    with pytest.raises(
        Failure, match=r"TensorRT 10\.3\.0 does not load EdgeDeformConv2d version 1 from /x\.so"
    ) as failure:
        load_plugin(registry, Path("/x.so"))
    assert failure.value.code == ExitCode.ENVIRONMENT
    assert registry.asked == "/x.so"
