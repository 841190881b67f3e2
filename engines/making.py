"""Making an engine: gate its graph, build, compare the engine on the device, and only then put it in its place."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from engines.artefact import Artefact
from engines.build import BuildConfig, BuiltEngine, engine_from_onnx
from engines.files import write_together
from engines.parity import Parity, check_parity, measure, references, running, why_not_here
from engines.plugin_library import PluginLibrary
from engines.plugin_probe import check_plugin
from engines.precision_gate import DEFAULT_MIN_PSNR, check_built, measure_built
from engines.sidecar import Source, sidecar_bytes, sidecar_of
from engines.toolkit import Toolkit
from export.passes.golden_file import Pair
from export.passes.model_file import DEFORM_KEY, PRECISION_KEY, model_from_bytes
from runtime.measure.quality import MOST_DB
from runtime.sessions.engine_file import EngineFile


@dataclass(frozen=True)
class Job:
    """One engine to make."""

    source: Source
    data: bytes  # of the ONNX file
    golden: Sequence[Pair]
    config: BuildConfig
    toolkit: Toolkit
    artefact: Artefact
    parts: Mapping[str, Any]
    timing_cache: Path
    min_psnr: float | None  # dB that the user set for both gates

    @property
    def found(self) -> str:
        """The precision of the ONNX file."""
        return self.source.metadata.get(PRECISION_KEY, "fp32")


def make_engine(job: Job, previous: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Build and write; returns the sidecar. previous: that of the last such engine, for the time it took.

    An engine that computes something else than its file is not written. Raises Failure as the steps do: QUALITY for
    either gate, and what engine_from_onnx and write_together raise.
    """
    fp16_psnr = _gate(job)
    if job.config.plugin is not None and why_not_here(job.toolkit.gpu, job.parts["sm"]) is None:
        check_plugin(job.config.plugin, job.config, job.toolkit)
    built = _build(job, previous)
    plugin = None if job.config.plugin is None else plugin_beside(job.config.plugin, job.artefact.engine)
    sidecar = sidecar_of(built, job.parts, job.source, job.artefact, plugin, fp16_psnr)
    parity = _compare(job, built, sidecar)
    sidecar["quality"]["parity"] = None if parity is None else parity.as_json()
    library = {} if plugin is None or job.config.plugin is None else {plugin.path: job.config.plugin.path.read_bytes()}
    write_together({**library, job.artefact.engine: built.plan, job.artefact.sidecar: sidecar_bytes(sidecar)})
    return sidecar


def plugin_beside(plugin: PluginLibrary, engine: Path) -> PluginLibrary:
    """The copy that lies beside `engine`, named by its hash: they can be moved together, and engines share it."""
    return plugin._replace(path=engine.with_name(f"edgedeblur-plugin.{plugin.sha256[:12]}.so"))


def _gate(job: Job) -> float | None:
    """How near FP16 is to FP32 in dB; None where nothing was measured, or another file than FP32 is built.

    A file of calibrate was measured when it was made; it is only tried where its DeformConv is lowered now.
    Raises Failure (QUALITY) when the graph to build is not near enough.
    """
    config = job.config
    if config.precision == "fp32" or (
        job.found != "fp32" and config.deform in ("plugin", job.source.metadata.get(DEFORM_KEY))
    ):
        return None
    least = DEFAULT_MIN_PSNR if job.min_psnr is None else job.min_psnr
    measured = measure_built(job.data, job.source.onnx, config.sizes, config.precision, job.found)
    check_built(measured, least, job.found)
    if measured is not None:
        far = f"is {measured:.1f} dB from" if measured < MOST_DB else "computes exactly what is in"
        what = f"the {config.precision.upper()} graph {far} the {job.found.upper()} file"
        print(f"gate: {what}, at least {least:g} asked", file=sys.stderr)
    return measured if job.found == "fp32" else None


def _build(job: Job, previous: Mapping[str, Any] | None) -> BuiltEngine:
    def keep(timings: bytes) -> None:
        try:
            write_together({job.timing_cache: timings})
        except Failure as failure:  # the engine matters more
            print(f"kernel timings are not kept: {failure}", file=sys.stderr)

    last = (previous or {}).get("build")
    seconds = last.get("seconds") if isinstance(last, Mapping) else None
    took = seconds if isinstance(seconds, int | float) else None
    before = "" if took is None else f", which took {took:.0f} s last time"
    name = job.artefact.engine.name
    high, wide = job.config.sizes.usual
    with_what = f"with {job.toolkit.name} {job.toolkit.version}, for frames {wide} wide and {high} high{before}"
    print(f"building {name} {with_what}", file=sys.stderr, flush=True)
    saved = _read_timings(job.timing_cache) if job.toolkit.has_timing_cache else b""
    model = model_from_bytes(job.data, job.source.onnx)
    return engine_from_onnx(model, job.config, job.toolkit, saved, keep, took)


def _read_timings(path: Path) -> bytes:
    """What earlier builds measured. Raises Failure (ENVIRONMENT) when the file is there and cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}; see --timing-cache", ExitCode.ENVIRONMENT) from error


def _compare(job: Job, built: BuiltEngine, sidecar: Mapping[str, Any]) -> Parity | None:
    """How near the engine is to what its file computes, on this machine's GPU; None, with the reason said, if not here.

    Raises Failure: QUALITY when it is too far, and what the session raises when the engine does not run.
    """
    reason = why_not_here(job.toolkit.gpu, job.parts["sm"])
    try:
        expected = [] if reason else references(job.data, job.source.onnx, job.found, job.golden, job.config.sizes)
    except Failure as failure:
        reason = str(failure)
    if reason:
        print(f"the engine was not compared with its file: {reason}", file=sys.stderr)
        return None
    with running(EngineFile(job.artefact.engine, built.plan, job.toolkit.name, sidecar)) as engine:
        parity = measure(engine, expected)
    check_parity(parity, job.config.precision, job.min_psnr)
    print(
        f"gate: the engine is {parity.worst:.1f} dB from its file, at worst, on {len(expected)} frames", file=sys.stderr
    )
    return parity
