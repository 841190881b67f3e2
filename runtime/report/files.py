"""The files that `profile` writes beside what it prints; whether they can be written is checked before measuring."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgedeblur import Failure
from runtime.measure.profiles.stamps import Stamps
from runtime.report.times_file import SUFFIXES, times_bytes
from runtime.sinks.output_path import cannot_write, check_output

Layers = list[dict[str, Any]]
LAYERS_SHAPE = 'expected what "edgedeblur inspect ENGINE --times --json" prints'


def check_files(args: argparse.Namespace) -> Layers | None:
    """The layers of --layers; every file that is to be written can be.

    Raises: Failure (USAGE) for a name or a file that makes no sense here, (ENVIRONMENT) for one that cannot be written.
    """
    if args.export_times is not None and args.export_times.suffix.lower() not in SUFFIXES:
        raise Failure(f"--export-times '{args.export_times}' ends in neither {' nor '.join(SUFFIXES)}")
    wanted = [path for path in (args.save, args.report, args.export_times) if path is not None]
    if len({path.resolve() for path in wanted}) < len(wanted):
        raise Failure("--save, --report and --export-times need a file each")
    for path in wanted:
        check_output(path, args.force, [])
    return read_layers(args.layers) if args.layers is not None else None


def write_files(args: argparse.Namespace, report: dict[str, Any], stamps: Stamps, say: Callable[[str], None]) -> None:
    """Raises: Failure (ENVIRONMENT) for a full disk."""
    if args.save is not None:
        write_file(args.save, (json.dumps(report, indent=1) + "\n").encode(), say)
    if args.export_times is not None:
        write_file(args.export_times, times_bytes(stamps, args.export_times), say)
    if args.report is not None:
        from runtime.report.page import report_page

        write_file(args.report, report_page(report, stamps).encode(), say)


def read_layers(path: Path) -> Layers:
    """[{name, ms, …}] in the order they run. Raises: Failure (USAGE) for another file."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Failure(f"--layers '{path}' cannot be read: {error}; {LAYERS_SHAPE}") from error
    layers = found.get("layers") if isinstance(found, dict) else found
    timed = [layer for layer in layers if _is_timed(layer)] if isinstance(layers, list) else []
    if not timed:
        raise Failure(f"--layers '{path}' has no layers with times; {LAYERS_SHAPE}")
    return timed


def _is_timed(layer: object) -> bool:
    return (
        isinstance(layer, dict)
        and isinstance(layer.get("name"), str)
        and isinstance(layer.get("ms"), int | float)
        and not isinstance(layer.get("ms"), bool)
    )


def write_file(path: Path, content: bytes, say: Callable[[str], None]) -> None:
    """Whole or not at all. Raises: Failure (ENVIRONMENT)."""
    partial = path.with_name(f".{path.name}.part")
    try:
        if path.exists() and not path.is_file():  # /dev/stdout and the like
            path.write_bytes(content)
        else:
            partial.write_bytes(content)
            partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise cannot_write(path, error) from error
    say(f"wrote {path}")
