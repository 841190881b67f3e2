"""ONNX → engine in memory: passes for the target, parse, build. Nothing here touches the disk."""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir

from edgedeblur import ExitCode, Failure
from engines.errors import Messages, build_failure
from engines.memory import GIB, find_memory, plan_workspace
from engines.network import layers_of, network_from_onnx, tensors_of
from engines.plugin_library import PluginLibrary, load_plugin
from engines.progress import Progress
from engines.toolkit import Toolkit
from export.passes import apply_passes, passes_for
from export.passes.model_file import FRAME, model_bytes
from runtime.sessions.size_range import SizeRange


@dataclass(frozen=True)
class BuildConfig:
    """What the engine is built for. Everything in it goes into the engine's key."""

    sizes: SizeRange  # of the frame
    precision: str = "fp16"  # "fp32", "fp16" or "int8"; the last of a calibrated graph
    deform: str = "gather"  # which form of DeformConv, see export.passes
    plugin: PluginLibrary | None = None  # our plugin's library, for deform "plugin"
    capabilities: tuple[str, ...] = ()  # TensorRT-RTX: GPUs to build for, such as ("86", "89"); () is its own default
    workspace_gib: float | None = None  # scratch memory that the user lets the builder plan with; None: not said
    optimization_level: int | None = None  # 0 (fast to build) to 5; None is TensorRT's default
    verbose: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class BuiltEngine:
    """A plan and what is known of it."""

    plan: bytes
    layers: list[dict[str, Any]]
    tensors: list[dict[str, Any]]
    timing_cache: bool  # whether one was used
    warnings: list[str]
    seconds: float
    peak_host_bytes: int  # of the whole process so far
    workspace_gib: float | None  # scratch memory that the builder could plan with; None: TensorRT's default


class AskedTwice(KeyboardInterrupt):
    """Ctrl-C again while TensorRT still works on its step: leave at once. Nothing is on disk, so nothing is lost."""


def engine_from_onnx(
    model: ir.Model,
    config: BuildConfig,
    toolkit: Toolkit,
    timing_cache: bytes = b"",
    keep_timings: Callable[[bytes], None] = lambda _: None,
    expected_s: float | None = None,
) -> BuiltEngine:
    """Build `model` (which is changed) for `config.sizes`.

    keep_timings: gets the timing cache as soon as there is one, however the build ends: what was measured is not lost.
    expected_s: how long this took last time, for the progress bar.

    One size is fixed in the graph and not by a profile over dynamic sizes: that parses to a third fewer layers.
    Raises Failure: MODEL when TensorRT refuses the graph, MEMORY, ENVIRONMENT; KeyboardInterrupt after Ctrl-C,
    AskedTwice when it came again; the caller then cleans up and must leave by os._exit.
    """
    started = time.monotonic()
    size = config.sizes.usual if config.sizes.is_fixed else None
    data = model_bytes(apply_passes(model, passes_for(config.deform, config.precision, size)))
    trt = toolkit.module
    messages = Messages(trt, config.verbose)
    if config.plugin is not None:
        load_plugin(trt, config.plugin.path)
    builder = trt.Builder(messages.logger)
    network = network_from_onnx(trt, builder, data, messages)
    layers, tensors = layers_of(network), tensors_of(network)
    progress = Progress(trt, expected_s)
    workspace_gib = _plan_workspace(config, toolkit)
    settings = _builder_config(toolkit, builder, config, progress, workspace_gib)
    cache = _set_timing_cache(settings, timing_cache) if toolkit.has_timing_cache else None
    plan = _build(builder, network, settings, progress)
    timings = bytes(cache.serialize()) if cache is not None else None
    if timings is not None:
        keep_timings(timings)
    if progress.stopped:
        raise KeyboardInterrupt
    if plan is None:
        raise build_failure("building the engine", messages.errors)
    return BuiltEngine(
        plan=plan,
        layers=layers,
        tensors=tensors,
        timing_cache=timings is not None,
        warnings=messages.warnings,
        seconds=time.monotonic() - started,
        peak_host_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        workspace_gib=workspace_gib,
    )


def _plan_workspace(config: BuildConfig, toolkit: Toolkit) -> float | None:
    limit, notes = plan_workspace(config.workspace_gib, find_memory(toolkit.gpu))
    for note in notes:
        print(note, file=sys.stderr)
    return limit


def _builder_config(
    toolkit: Toolkit, builder: Any, config: BuildConfig, progress: Progress, workspace_gib: float | None
) -> Any:
    trt, settings = toolkit.module, builder.create_builder_config()
    settings.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # layer names for inspect and profilers
    settings.progress_monitor = progress.monitor
    if not config.sizes.is_fixed:
        settings.add_optimization_profile(_profile(builder, config.sizes))
    if workspace_gib is not None:
        settings.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(workspace_gib * GIB))
    if config.optimization_level is not None:
        settings.builder_optimization_level = config.optimization_level
    _set_capabilities(trt, settings, config.capabilities)
    return settings


def _set_capabilities(trt: Any, settings: Any, capabilities: Sequence[str]) -> None:
    """GPUs to build for ahead of time, which only TensorRT-RTX can."""
    if not capabilities or not hasattr(trt, "ComputeCapability"):
        return
    settings.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        settings.set_compute_capability(getattr(trt.ComputeCapability, f"SM{capability}"), index)


def _profile(builder: Any, sizes: SizeRange) -> Any:
    """One profile over height and width of the frame."""
    profile = builder.create_optimization_profile()
    profile.set_shape(FRAME, (*sizes.smallest, 3), (*sizes.usual, 3), (*sizes.largest, 3))
    return profile


def _set_timing_cache(settings: Any, saved: bytes) -> Any:
    """Start from earlier builds' measurements; those of another GPU or version TensorRT refuses, and none are used."""
    cache = settings.create_timing_cache(saved)
    if cache is None or not settings.set_timing_cache(cache, False):
        cache = settings.create_timing_cache(b"")
        settings.set_timing_cache(cache, False)
    return cache


def _build(builder: Any, network: Any, settings: Any, progress: Progress) -> bytes | None:
    """Build in a thread: Python runs signal handlers only in the main one, which a build would block for minutes."""
    result: list[bytes | Exception | None] = []
    done = threading.Event()  # not Thread.join: Ctrl-C during a join can mark a running thread as ended
    threading.Thread(target=_build_into, args=(result, done, builder, network, settings), daemon=True).start()
    while not done.is_set():
        try:
            done.wait(0.1)
        except KeyboardInterrupt:
            if progress.stopped:
                raise AskedTwice from None
            progress.stop()
    progress.close()
    if isinstance(result[0], Exception):
        raise Failure(f"building the engine failed: {result[0]}", ExitCode.MODEL) from result[0]
    return result[0]


def _build_into(
    result: list[bytes | Exception | None], done: threading.Event, builder: Any, network: Any, settings: Any
) -> None:
    try:
        plan = builder.build_serialized_network(network, settings)
        result.append(None if plan is None else bytes(plan))
    except Exception as error:  # it would end with the thread; the main thread raises it
        result.append(error)
    finally:
        done.set()
