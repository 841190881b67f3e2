"""`edgedeblur build m.onnx --size 720x1280`: an engine for one frame size or a range, reused when it exists."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from engines.artefact import Artefact, key_parts_of, name_of, timing_cache_path
from engines.build import AskedTwice, BuildConfig
from engines.build_options import add_arguments, check_options, rebuild_words
from engines.deform_choice import choose_deform
from engines.existing import check_replaceable, find_existing, find_previous
from engines.files import build_lock, check_writable, make_folder
from engines.making import Job, make_engine
from engines.parity import check_parity
from engines.precision_gate import DEFAULT_MIN_PSNR, check_built
from engines.sidecar import Source, calibration_of, quality_of, tool_version
from engines.sizes import check_sizes, parse_sizes
from engines.toolkit import Toolkit, find_toolkit
from export.passes.golden_file import golden_path, read_golden
from export.passes.model_file import CALIBRATION_KEY, PRECISION_KEY, model_from_bytes, read_model_bytes

__all__ = ["add_arguments", "run"]
MIB = 1 << 20


def run(args: argparse.Namespace) -> int:
    """Build, or find, the engine. Raises Failure as the stages do; see engines/making.py."""
    job = _job(args)
    make_folder(job.artefact.engine.parent)
    check_writable(job.artefact.engine.parent)
    try:
        with build_lock(job.artefact.lock):
            sidecar = None if args.force else find_existing(job.artefact, job.parts)
            reused = sidecar is not None
            if sidecar is None:
                sidecar = _make(args, job)
    except AskedTwice:  # the lock is gone; TensorRT's threads still run and would crash in a Python that shuts down
        os._exit(ExitCode.INTERRUPTED)
    if reused:
        _check_again(job, sidecar)
    _report(args, job.artefact, sidecar, reused)
    return ExitCode.OK


def _job(args: argparse.Namespace) -> Job:
    """What there is to make, with everything checked that can be before it takes time."""
    sizes = parse_sizes(args.size, args.min_size, args.opt_size, args.max_size)
    check_options(args)
    data = read_model_bytes(args.onnx)
    digest = hashlib.sha256(data).hexdigest()
    model = model_from_bytes(data, args.onnx)
    metadata = dict(model.metadata_props)
    check_sizes(sizes, metadata)
    precision = _precision(getattr(args, "precision", None), args.onnx, metadata.get(PRECISION_KEY, "fp32"))
    source = Source(args.onnx, digest, metadata, calibration_of(metadata, args.onnx), rebuild_words(args))
    golden = read_golden(golden_path(args.onnx), args.onnx, digest)
    toolkit = find_toolkit(args.toolkit)
    if args.timing_cache is not None and not toolkit.has_timing_cache:
        print(f"--timing-cache is ignored: {toolkit.name} has no timing cache", file=sys.stderr)
    capabilities = _capabilities(args.compute_capability, toolkit)
    deform, plugin = choose_deform(args.deform, args.plugins, model, args.onnx, toolkit)
    config = BuildConfig(
        sizes=sizes,
        precision=precision,
        deform=deform,
        plugin=plugin,
        capabilities=capabilities,
        workspace_gib=args.workspace,
        optimization_level=args.builder_optimization_level,
        verbose=args.verbose,
    )
    parts = key_parts_of(digest, config, toolkit, tool_version(), metadata.get(CALIBRATION_KEY))
    artefact = _artefact(args, parts, toolkit)
    cache = args.timing_cache or timing_cache_path(artefact.engine.parent, toolkit)
    return Job(source, data, golden, config, toolkit, artefact, parts, cache, args.min_psnr)


def _make(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    if args.save_engine is not None:
        check_replaceable(job.artefact, args.force)
    return make_engine(job, find_previous(job.artefact, job.parts, args.onnx.stem))


def _check_again(job: Job, sidecar: dict[str, Any]) -> None:
    """An engine that is there may have been built with a lower --min-psnr. Raises Failure (QUALITY)."""
    fp16_psnr, parity = quality_of(sidecar)
    check_built(fp16_psnr, DEFAULT_MIN_PSNR if job.min_psnr is None else job.min_psnr)
    if parity is not None:
        check_parity(parity, job.config.precision, job.min_psnr)


def _precision(asked: str | None, path: Path, found: str) -> str:
    """What to build from a graph of precision `found`. Raises Failure (MODEL) when the graph cannot give it."""
    possible = {"fp32": ("fp16", "fp32"), "fp16": ("fp16",), "int8": ("int8",)}.get(found, ())
    if not possible or (asked is not None and asked not in possible):
        wanted = "edgedeblur calibrate" if asked == "int8" else "edgedeblur export"
        raise Failure(
            f"{path} is {found}, of which --precision {asked or 'fp16'} cannot be made; "
            f"expected a file that {wanted} wrote",
            ExitCode.MODEL,
        )
    return asked or possible[0]


def _capabilities(asked: str, toolkit: Toolkit) -> tuple[str, ...]:
    """What TensorRT-RTX builds for. Raises Failure: USAGE for one it does not know, ENVIRONMENT for this GPU."""
    known = toolkit.capabilities
    if asked == "auto":
        if not known or toolkit.gpu is None:
            return toolkit.portable_capabilities
        if str(toolkit.gpu.sm) not in known:
            raise Failure(
                f"{toolkit.name} {toolkit.version} does not build for {toolkit.gpu.name} (sm{toolkit.gpu.sm}), only "
                f"for {', '.join(known)}; use --toolkit tensorrt, or --compute-capability for another machine",
                ExitCode.ENVIRONMENT,
            )
        return (str(toolkit.gpu.sm),)
    if asked == "portable" and known:
        return toolkit.portable_capabilities
    wanted = tuple(sorted({part.strip() for part in asked.split(",")}, key=lambda part: (len(part), part)))
    unknown = [capability for capability in wanted if capability not in known]
    if unknown or not known:
        expected = f"one or more of {','.join(known)}" if known else "nothing: tensorrt builds for its own GPU"
        raise Failure(f"--compute-capability is '{asked}'; {toolkit.name} takes {expected}")
    return wanted


def _artefact(args: argparse.Namespace, parts: dict[str, Any], toolkit: Toolkit) -> Artefact:
    if args.save_engine is not None:
        return Artefact(args.save_engine)
    folder = args.engine_dir or args.onnx.parent
    return Artefact(folder / args.onnx.stem / name_of(args.onnx.stem, parts, toolkit))


def _report(args: argparse.Namespace, artefact: Artefact, sidecar: dict[str, Any], reused: bool) -> None:
    if args.json:
        shown = {key: value for key, value in sidecar.items() if key != "layers"}
        print(json.dumps({"engine": str(artefact.engine), "reused": reused, **shown}))
        return
    how = "found, nothing to do (--force builds again)" if reused else f"built in {sidecar['build']['seconds']:.1f} s"
    print(f"{artefact.engine}\n{sidecar['plan_bytes'] / MIB:.1f} MiB, {how}")
