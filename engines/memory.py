"""Before a build: how much memory is free for it, and how much scratch memory (workspace) it may plan with.

TensorRT's default is all the memory of the GPU. On a Jetson that is the memory of the whole machine, so a build at its
default is what gets killed, or fails with "could not find any implementation".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engines.gpu import free_bytes
from runtime.sessions.gpu import Gpu

GIB = 1 << 30
LITTLE = 2.0  # GiB; the builder, CUDA and the weights take some hundreds of MiB themselves
SHARE = 0.5  # of what is free, for the workspace: the rest is for weights, activations and the builder
LEAST = 0.25  # GiB; less makes kernels fail that every network needs
PROC = Path("/proc")


@dataclass(frozen=True)
class Memory:
    """What a build could take now, in GiB."""

    free: float
    unified: bool  # the GPU's memory is the machine's (Jetson)
    swap: float = 0.0  # free swap, of unified memory only: GPU memory cannot be swapped
    zram: bool = False  # part of the swap is compressed memory and not disk


def find_memory(gpu: Gpu | None, proc: Path = PROC) -> Memory | None:
    """The memory that `gpu` builds in; None without a GPU, or where the system does not say."""
    if gpu is None:
        return None
    if not gpu.integrated:
        free = free_bytes()
        return None if free is None else Memory(free / GIB, unified=False)
    try:
        lines = (line.split(":", 1) for line in (proc / "meminfo").read_text().splitlines() if ":" in line)
        fields = {name: int(value.split()[0]) * 1024 / GIB for name, value in lines}
        zram = "zram" in (proc / "swaps").read_text()
        return Memory(fields["MemAvailable"], True, fields.get("SwapFree", 0.0), zram)
    except (OSError, KeyError, ValueError, IndexError):
        return None


def plan_workspace(asked: float | None, memory: Memory | None) -> tuple[float | None, list[str]]:
    """GiB of workspace to build with, None for TensorRT's default, and what the user should know.

    What the user asked for is never changed.
    """
    if memory is None:
        return asked, []
    notes = [_little(memory)] if memory.free < LITTLE else []
    if asked is not None:
        if asked > memory.free:
            notes.append(
                f"--workspace is {asked:g} GiB and {memory.free:.1f} GiB are free: the build may be killed; "
                f"--workspace {_half(memory):g} would fit"
            )
        return asked, notes
    if not memory.unified:
        return None, notes
    limit = _half(memory)
    notes.append(f"workspace: {limit:g} GiB, half of the {memory.free:.1f} GiB that are free (--workspace sets it)")
    return limit, notes


def _half(memory: Memory) -> float:
    """In quarters of a GiB, so that a repeated build has the same unless a lot has changed."""
    return max(int(memory.free * SHARE / LEAST) * LEAST, LEAST)


def _little(memory: Memory) -> str:
    said = f"only {memory.free:.1f} GiB of {'memory' if memory.unified else 'GPU memory'} are free"
    if not memory.unified:
        return f"{said}: close other programs that use the GPU"
    swap = f"{memory.swap:.1f} GiB of swap" + (", zram, which is memory itself" if memory.zram else "")
    return (
        f"{said} (and {swap}): close other programs, stop the desktop (sudo systemctl isolate multi-user.target) "
        "or add a swap file on disk"
    )
