"""`edgedeblur explain`: the maps and filters behind one deblurred frame, or how filters follow a known blur."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np

from edgedeblur import ExitCode, Failure
from training.blocks import ContentAware
from training.checkpoint import load_network
from training.data.pictures import check_size, read_picture
from training.device import usable_device
from training.explain.filter_figure import draw_filters
from training.explain.filters import Pixel
from training.explain.map_figures import draw_maps, shared_scales
from training.explain.observe import Image, Layer, observe
from training.explain.overview_figure import draw_overview
from training.explain.psf_report import check_filters_differ, explain_psf
from training.explain.summary import Summary, missing, slug, summarise, telling_pixels
from training.network import SAPHNet
from training.whole_files import replacing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `edgedeblur explain`."""
    parser.add_argument(
        "frames", type=Path, nargs="*", metavar="FRAME", help="a picture; with --psf: sharp ones, or none"
    )
    parser.add_argument("--model", type=Path, required=True, help="a .pt of `train`")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the figures")
    parser.add_argument(
        "--pixels", nargs="+", metavar="ROW,COLUMN", help="where to draw filters (default: some edges and flat places)"
    )
    parser.add_argument("--npz", action="store_true", help="write the raw arrays of each module, too")
    parser.add_argument(
        "--psf",
        action="store_true",
        help="blur FRAMEs (or dead leaves) along known angles and compare the filters' own",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, …")
    parser.add_argument("--force", action="store_true", help="write into a folder that holds files already")


def run(arguments: argparse.Namespace) -> int:
    """Write the figures; the last line printed is where they are."""
    if arguments.psf and (arguments.pixels or arguments.npz):
        raise Failure("--pixels and --npz belong to the maps of one frame; leave them out, or leave out --psf")
    if not arguments.psf and len(arguments.frames) != 1:
        raise Failure(f"found {len(arguments.frames)} frames; expected one FRAME, or --psf")
    network = _open_network(arguments.model).to(usable_device(arguments.device))
    pictures = {str(path): _read_frame(path, network) for path in arguments.frames}
    if arguments.psf:
        check_filters_differ(network.config)
        _make_folder(arguments.output, arguments.force)
        explain_psf(network, pictures, arguments.output)
    else:
        (frame,) = pictures.values()
        pixels = _pixels(arguments.pixels, frame) if arguments.pixels else telling_pixels(frame)
        _make_folder(arguments.output, arguments.force)
        _explain_frame(network, frame, pixels, arguments.output, arguments.npz)
    print(arguments.output)
    return ExitCode.OK


def _explain_frame(network: SAPHNet, frame: Image, pixels: list[Pixel], folder: Path, npz: bool) -> None:
    summaries: list[Summary] = []

    def visit(layer: Layer) -> None:
        summaries.append(summarise(layer, pixels, network.config))
        if npz:
            _save_arrays(folder / f"{slug(layer)}.npz", layer)

    sharp = observe(network, frame, visit)
    absent, scales = missing(network.config), shared_scales(summaries)
    for kind, reason in absent.items():
        print(f"no {kind}: {reason}")
    written = []
    for summary in summaries:
        written += draw_maps(folder, frame, summary, scales)
        if summary.filters:
            written.append(draw_filters(folder, frame, summary, pixels, scales.modulation))
    draw_overview(folder / "overview.png", frame, sharp, summaries, scales, absent)
    print(f"overview.png and {len(written)} figures of {len(summaries)} modules")


def _open_network(path: Path) -> SAPHNet:
    if path.suffix == ".onnx":
        raise Failure(f"{path}: an .onnx no longer holds the network's modules; give the .pt that it was exported from")
    network, _ = load_network(path)
    if not any(isinstance(module, ContentAware) for module in network.modules()):
        raise Failure(f"{path} has no content-aware module to explain; expected a model with some", ExitCode.MODEL)
    return network


def _read_frame(path: Path, network: SAPHNet) -> Image:
    frame = read_picture(path)
    check_size(frame, path, network.config.min_size)
    return frame


def _make_folder(folder: Path, force: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as error:
        raise Failure(f"cannot write into {folder}: {error.strerror}; give another -o", ExitCode.ENVIRONMENT) from error
    if taken and not force:
        raise Failure(f"{folder} holds files already; give another -o, or add --force to write over figures there")


def _pixels(words: list[str], frame: Image) -> list[Pixel]:
    pixels = []
    for word in words:
        match = re.fullmatch(r"(\d+),(\d+)", word)
        if match is None:
            raise Failure(f"--pixels has '{word}'; expected ROW,COLUMN like 120,340")
        row, column = int(match[1]), int(match[2])
        if row >= frame.shape[0] or column >= frame.shape[1]:
            raise Failure(f"--pixels has {word}; the frame is {frame.shape[0]}x{frame.shape[1]} (rows x columns)")
        pixels.append((row, column))
    return pixels


def _save_arrays(path: Path, layer: Layer) -> None:
    """Maps as in `Layer` and `Sampling`: what the module does not have is left out."""
    arrays = {"mask": layer.mask, "fusion": layer.fusion, **(vars(layer.sampling) if layer.sampling else {})}
    present = {name: values for name, values in arrays.items() if values is not None}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **present, stride=layer.stride, grid=layer.grid, name=layer.name)
