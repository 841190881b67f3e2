"""`edgedeblur inspect F.engine|F.onnx`: what it is, how it was built, whether it is whole, and its layers."""

from __future__ import annotations

import argparse
import collections
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from engines.inspection import describe_engine, describe_onnx


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="an engine that edgedeblur build made, or an ONNX file")
    parser.add_argument("--times", action="store_true", help="run the engine on this GPU and time every layer")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    """Print. Raises Failure (MODEL) also when the engine is not the one that its sidecar describes."""
    is_onnx = args.file.suffix.lower() == ".onnx"
    if is_onnx and args.times:
        raise Failure(f"--times is for engines and {args.file} is an ONNX file; make an engine with edgedeblur build")
    described = describe_onnx(args.file) if is_onnx else describe_engine(args.file, args.times)
    if args.json:
        print(json.dumps(described))
    elif is_onnx:
        _print_fields(described)
    else:
        _print_engine(described)
    if described.get("differs"):
        raise Failure(
            f"{args.file} is not the engine that its sidecar describes: {'; '.join(described['differs'])}; "
            "build it again with edgedeblur build --force",
            ExitCode.MODEL,
        )
    return ExitCode.OK


def _print_engine(described: Mapping[str, Any]) -> None:
    sidecar = described["sidecar"]
    print(f"{described['file']}: {described['plan_toolkit']} plan, {described['plan_bytes']} bytes")
    if sidecar is None:
        print("no sidecar beside it: the plan alone says no more without a GPU of the kind it was built for")
    else:
        _print_fields({key: value for key, value in sidecar.items() if key not in ("layers", "layers_from")})
    for outdated in described["outdated"]:
        print(f"the ONNX file has changed since ({outdated}): edgedeblur build makes a new engine")
    print(f"the toolkit's own program: {described['trtexec']}")
    _print_layers(described["layers"], described["layers_from"])


def _print_layers(layers: list[dict[str, Any]], layers_from: str) -> None:
    if not layers:
        return
    print(f"layers: {len(layers)}, from the {layers_from}")
    _print_fields({"types": _counts(layers, "type"), "precisions": _counts(layers, "precision")}, "  ")
    timed = "ms" in layers[0]
    for layer in sorted(layers, key=lambda layer: -(layer["ms"] or 0)) if timed else layers:
        times = f"{_number(layer['ms'], '.4f')} ms {_number(layer['share'], '.1%')}  " if timed else ""
        shape = "x".join(map(str, layer["shape"] or ()))
        print(f"  {times}{layer['precision'] or '-':8} {layer['type'] or '-':20} {shape:24} {layer['name']}")


def _number(value: float | None, form: str) -> str:
    return f"{'-' if value is None else format(value, form):>8}"


def _counts(layers: list[dict[str, Any]], field: str) -> dict[str, int]:
    return dict(collections.Counter(str(layer[field]) for layer in layers).most_common())


def _print_fields(fields: Mapping[str, Any], indent: str = "") -> None:
    for key, value in fields.items():
        if isinstance(value, Mapping):
            print(f"{indent}{key}:")
            _print_fields(value, f"{indent}  ")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            print(f"{indent}{key}:")
            for item in value:
                print(f"{indent}  {', '.join(f'{name} {what}' for name, what in item.items())}")
        else:
            print(f"{indent}{key}: {'-' if value is None else value}")
