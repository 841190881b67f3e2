"""`edgedeblur triton --engine F --repository DIR`: a model for NVIDIA's Triton server, which serves many cameras."""

from __future__ import annotations

import argparse
import os
import re
import secrets
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from edgedeblur import ExitCode, Failure
from runtime.run_options import positive
from runtime.sinks.output_path import cannot_write, make_folder
from runtime.triton_config import config_text
from runtime.triton_input import Wanted, from_engine, from_onnx

NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")  # a folder's name, and a part of the server's URLs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edgedeblur triton`."""
    parser.formatter_class = argparse.HelpFormatter  # the defaults are said in words where there are any
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--engine", type=Path, help="a TensorRT engine that edgedeblur build made, its .json beside it")
    model.add_argument("--model", type=Path, metavar="F.onnx", help="an ONNX file, for Triton's ONNX Runtime")
    parser.add_argument("--repository", type=Path, required=True, metavar="DIR", help="the server's model repository")
    parser.add_argument("--name", help="the model's name there (default: the file's, up to its first dot)")
    parser.add_argument(
        "--instances", type=positive, default=1, help="frames at once, each with memory of its own (default: 1)"
    )
    parser.add_argument(
        "--kind", choices=("gpu", "cpu"), help="what runs it (default: gpu for an engine, cpu for an ONNX file)"
    )
    parser.add_argument(
        "--queue", type=positive, default=0, metavar="FRAMES", help="refuse frames while so many wait (default: never)"
    )
    parser.add_argument(
        "--queue-ms", type=positive, default=0, help="refuse a frame that has waited so long (default: never)"
    )
    parser.add_argument("--force", action="store_true", help="replace a model of that name")


def run(args: argparse.Namespace) -> int:
    """Write the model and print how to serve it. Raises: Failure."""
    name = args.name or (args.engine or args.model).name.split(".")[0]
    if not NAME.fullmatch(name):
        raise Failure(f"'{name}' is no name for a model; expected letters, digits, '-', '_' and '.', see --name")
    wanted = Wanted(name, args.instances, args.queue, args.queue_ms)
    if args.engine:
        if args.kind == "cpu":
            raise Failure("an engine runs on the GPU; for a server without one give --model MODEL.onnx")
        model, files, notes = from_engine(args.engine, wanted, args.repository.absolute() / name)
    else:
        model, files, notes = from_onnx(args.model, wanted, args.kind or "cpu")
    make_folder(args.repository)
    _write({"config.pbtxt": config_text(model).encode(), **files}, args.repository / name, args.force)
    print(args.repository / name)
    for note in [*notes, f"serve it with: tritonserver --model-repository={args.repository.absolute()}"]:
        print(f"note: {note}", file=sys.stderr)
    return ExitCode.OK


def _write(files: Mapping[str, bytes], folder: Path, force: bool) -> None:
    """All files or none; a model that is there is replaced as a whole, and only with `force`. Raises: Failure."""
    if os.path.lexists(folder) and not force:
        raise Failure(f"'{folder}' is there already; give another --name, or --force to replace it")
    token = secrets.token_hex(4)
    staged, old = (folder.with_name(f".{kind}-{token}") for kind in ("new", "old"))
    try:
        for name, data in files.items():
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            (staged / name).write_bytes(data)
        if os.path.lexists(folder):
            folder.rename(old)
        staged.rename(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        if os.path.lexists(old) and not os.path.lexists(folder):
            old.rename(folder)
        shutil.rmtree(staged, ignore_errors=True)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
