"""Pairs to measure on: a folder with blur/ and sharp/ that hold pictures of the same names."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from edgedeblur import ExitCode, Failure
from runtime.frame import Image, size_text
from runtime.reaching import reaching
from runtime.sessions.models import ModelOptions, open_session
from runtime.sessions.session import Session
from runtime.sources.image_source import natural_order, read_image
from runtime.sources.source import IMAGE_SUFFIXES


def read_pairs(folder: Path) -> Iterator[tuple[str, Image, Image]]:
    """(name, blurred, sharp) of each pair, in the order people count. Raises: Failure (SOURCE)."""
    blurred, sharp = (_pictures(folder / side) for side in ("blur", "sharp"))
    if lone := blurred.keys() ^ sharp.keys():
        raise Failure(f"{folder}: '{min(lone)}' is in one of blur/ and sharp/ only; remove it", ExitCode.SOURCE)
    for name in blurred:
        pair = read_image(blurred[name]), read_image(sharp[name])
        if pair[0].shape != pair[1].shape:
            sizes = " and ".join(size_text((image.shape[0], image.shape[1])) for image in pair)
            raise Failure(f"{folder}: '{name}' is of two sizes, {sizes}; remove it", ExitCode.SOURCE)
        yield name, *pair


def open_for(folder: Path, model: str, threads: int) -> Session:
    """The session of `model` for the pairs of `folder`. Raises: Failure as `read_pairs` and `open_session` do."""
    first = next(read_pairs(folder))[1]
    return open_session(ModelOptions(model, threads), lambda: (first.shape[0], first.shape[1]))[0]


def add_pair_arguments(parser: argparse.ArgumentParser) -> None:
    """Which pairs, and which network they go through."""
    parser.add_argument("--data", type=Path, required=True, help="a folder with blur/ and sharp/")
    parser.add_argument("--model", default="edge-n", help="as for `edgedeblur run` (default: edge-n)")
    parser.add_argument("--threads", type=int, default=0, help="cores for ONNX Runtime; 0 (the default): all")


def _pictures(folder: Path) -> dict[str, Path]:
    """Pictures by their name without suffix."""
    with reaching(str(folder)):
        if not folder.is_dir():
            raise Failure(f"'{folder}' is not there; expected a folder with blur/ and sharp/", ExitCode.SOURCE)
        paths = sorted((p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES), key=natural_order)
    if not paths:
        raise Failure(f"'{folder}' holds no pictures", ExitCode.SOURCE)
    return {path.stem: path for path in paths}
