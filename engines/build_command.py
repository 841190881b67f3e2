"""`edgedeblur build m.onnx --size 720x1280`: an engine for one frame size, with its sidecar, reused when it exists."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from engines.artefact import Artefact, key_parts_of, name_of, timing_cache_path
from engines.build import AskedTwice, BuildConfig, engine_from_onnx
from engines.existing import ENGINE_SUFFIXES, check_replaceable, find_existing
from engines.files import build_lock, make_folder, write_together
from engines.precision_gate import DEFAULT_MIN_PSNR, check_built, measure_built
from engines.sidecar import calibration_of, sidecar_bytes, sidecar_of, tool_version
from engines.sizes import check_size, parse_size
from engines.toolkit import MODULES, Toolkit, find_toolkit
from export.passes.model_file import CALIBRATION_KEY, DEFORM_KEY, PRECISION_KEY, model_from_bytes, read_model_bytes

MIB = 1 << 20
LARGEST_WORKSPACE = 1024  # GiB; no GPU has as much, and TensorRT counts bytes in 64 bits
PRECISIONS = ("fp32", "fp16", "int8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("onnx", type=Path, help="the ONNX file that edgedeblur export wrote")
    parser.add_argument("--size", required=True, metavar="HxW", help="frame size, height x width, such as 720x1280")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="sampling positions stay fp32 (default: fp16, or int8 for a file of edgedeblur calibrate)",
        default=argparse.SUPPRESS,
    )
    for precision in PRECISIONS:
        parser.add_argument(
            f"--{precision}",
            dest="precision",
            action="store_const",
            const=precision,
            default=argparse.SUPPRESS,
            help=f"the same as --precision {precision}",
        )
    parser.add_argument("--toolkit", choices=("auto", *MODULES), default="auto", help="which TensorRT builds")
    parser.add_argument(
        "--compute-capability",
        default="auto",
        metavar="LIST",
        help="tensorrt_rtx: GPUs to build for, such as 86,89, or portable; auto: this machine's, else portable",
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--engine-dir", type=Path, metavar="DIR", help="folder for engines; the ONNX file's if not given"
    )
    place.add_argument(
        "--save-engine", type=Path, metavar="FILE", help="this very file instead of a name that says all"
    )
    parser.add_argument("--workspace", type=float, metavar="GIB", help="scratch memory the builder may plan with")
    parser.add_argument("--builder-optimization-level", type=int, choices=range(6), help="0 builds fast, 5 runs fast")
    parser.add_argument("--timing-cache", type=Path, metavar="FILE", help="kernel timings of earlier builds (tensorrt)")
    parser.add_argument(
        "--min-psnr",
        type=float,
        default=DEFAULT_MIN_PSNR,
        metavar="DB",
        help="gate: dB between the output of the graph that is built and that of the file",
    )
    parser.add_argument("--force", action="store_true", help="build even when this engine exists")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--verbose", "-v", action="store_true", help="print all that TensorRT says")


def run(args: argparse.Namespace) -> int:
    """Build, or find, the engine. Raises Failure as the stages do; see engines/build.py."""
    size = parse_size(args.size)
    _check_options(args)
    data = read_model_bytes(args.onnx)
    metadata = model_from_bytes(data, args.onnx).metadata_props
    check_size(size, metadata)
    precision = _precision(getattr(args, "precision", None), args.onnx, metadata.get(PRECISION_KEY, "fp32"))
    toolkit = find_toolkit(args.toolkit)
    config = BuildConfig(
        size=size,
        precision=precision,
        capabilities=_capabilities(args.compute_capability, toolkit),
        workspace_gib=args.workspace,
        optimization_level=args.builder_optimization_level,
        verbose=args.verbose,
    )
    if args.timing_cache is not None and not toolkit.has_timing_cache:
        print(f"--timing-cache is ignored: {toolkit.name} has no timing cache", file=sys.stderr)
    digest = hashlib.sha256(data).hexdigest()
    parts = key_parts_of(digest, config, toolkit, tool_version(), metadata.get(CALIBRATION_KEY))
    artefact = _artefact(args, parts, toolkit)
    make_folder(artefact.engine.parent)
    try:
        with build_lock(artefact.lock):
            sidecar = None if args.force else find_existing(artefact, parts)
            reused = sidecar is not None
            if sidecar is None:
                sidecar = _build(args, data, config, toolkit, artefact, parts)
    except AskedTwice:  # the lock is gone; TensorRT's threads still run and would crash in a Python that shuts down
        os._exit(ExitCode.INTERRUPTED)
    if precision == "fp16":  # it may have been built with a lower --min-psnr
        check_built(sidecar.get("quality", {}).get("fp16_psnr_to_fp32"), args.min_psnr)
    _report(args, artefact, sidecar, reused)
    return ExitCode.OK


def _check_options(args: argparse.Namespace) -> None:
    """Raises Failure (USAGE) for numbers and names that make no sense."""
    if args.workspace is not None and not 0 < args.workspace <= LARGEST_WORKSPACE:  # NaN compares as False
        raise Failure(f"--workspace is {args.workspace:g}; expected GiB above 0, at most {LARGEST_WORKSPACE}")
    if not math.isfinite(args.min_psnr):
        raise Failure(f"--min-psnr is {args.min_psnr:g}; expected dB, such as {DEFAULT_MIN_PSNR:g}")
    if args.save_engine is not None and args.save_engine.suffix not in ENGINE_SUFFIXES:
        raise Failure(
            f"--save-engine is '{args.save_engine}'; expected a file name ending in {' or '.join(ENGINE_SUFFIXES)}"
        )
    if args.timing_cache is not None and args.timing_cache.suffix not in (".timing", ".cache"):
        raise Failure(
            f"--timing-cache is '{args.timing_cache}', which is written to; expected a name ending in .timing"
        )


def _build(
    args: argparse.Namespace,
    data: bytes,
    config: BuildConfig,
    toolkit: Toolkit,
    artefact: Artefact,
    parts: dict[str, Any],
) -> dict[str, Any]:
    """Build and write. The timing cache is kept even when the engine's own files cannot be written."""
    if args.save_engine is not None:
        check_replaceable(artefact, args.force)
    model = model_from_bytes(data, args.onnx)
    metadata = dict(model.metadata_props)
    calibration = calibration_of(metadata, args.onnx)
    fp16_psnr = _gate(args, data, config, metadata)
    cache = args.timing_cache or timing_cache_path(artefact.engine.parent, toolkit)
    saved = _read_timing_cache(cache) if toolkit.has_timing_cache else b""
    print(f"building {artefact.engine.name} with {toolkit.name} {toolkit.version}", file=sys.stderr, flush=True)
    built = engine_from_onnx(model, config, toolkit, saved)
    if built.timing_cache is not None:
        write_together({cache: built.timing_cache})
    sidecar = sidecar_of(built, parts, metadata, toolkit, calibration, fp16_psnr)
    write_together({artefact.engine: built.plan, artefact.sidecar: sidecar_bytes(sidecar)})
    return sidecar


def _gate(args: argparse.Namespace, data: bytes, config: BuildConfig, metadata: Mapping[str, str]) -> float | None:
    """How near FP16 is to FP32 in dB; None where nothing was measured, or another file than FP32 is built.

    A file of calibrate was measured when it was made; it is only tried where its DeformConv is lowered now.
    Raises Failure (QUALITY) when the graph to build is not near enough.
    """
    found = metadata.get(PRECISION_KEY, "fp32")
    if config.precision == "fp32" or (found != "fp32" and metadata.get(DEFORM_KEY) == config.deform):
        return None
    measured = measure_built(data, args.onnx, config.size, config.precision, found)
    check_built(measured, args.min_psnr, found)
    if measured is not None:
        what = f"the {config.precision.upper()} graph is {measured:.1f} dB from the {found.upper()} file"
        print(f"gate: {what}, at least {args.min_psnr:g} asked", file=sys.stderr)
    return measured if found == "fp32" else None


def _read_timing_cache(path: Path) -> bytes:
    """What earlier builds measured. Raises Failure (ENVIRONMENT) when the file is there and cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}; see --timing-cache", ExitCode.ENVIRONMENT) from error


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
