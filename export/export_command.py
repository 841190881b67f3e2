"""`edgedeblur export`: checkpoint in, ONNX out, written only when it is proved to compute the same."""

from __future__ import annotations

import argparse
import hashlib
import math
import os
from pathlib import Path

from edgedeblur import ExitCode, Failure
from export.graph import add_metadata, graph_from_network
from export.verify import compare, verification_frames
from training.checkpoint import load_network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `edgedeblur export`."""
    parser.add_argument("checkpoint", type=Path, help="a .pt of `edgedeblur train`")
    parser.add_argument("-o", "--output", type=Path, help="ONNX file to write (default: beside the checkpoint)")
    parser.add_argument(
        "--deform",
        choices=("native", "gather", "plugin"),
        default="native",
        help="deformable convolution as ONNX's operator, as standard operators, or as our TensorRT plugin",
    )
    parser.add_argument("--data", type=Path, help="folder of real frames to compare on (default: dead-leaves pictures)")


def run(arguments: argparse.Namespace) -> int:
    """Export, compare, write."""
    output = arguments.output or arguments.checkpoint.with_suffix(".onnx")
    if output.suffix != ".onnx":
        raise Failure(f"the output is {output}; expected a name that ends in .onnx")
    network, content = load_network(arguments.checkpoint)
    frames = verification_frames(arguments.data, network.config.min_size)
    graph = graph_from_network(network)
    agreement = compare(network, graph, frames)
    measured = {f"val_{name}": f"{value:.4f}" for name, value in content["metrics"].items()}
    digest = hashlib.sha256(arguments.checkpoint.read_bytes()).hexdigest()
    add_metadata(graph, content["preset"], network.config, {"checkpoint_sha256": digest, **measured})
    data = graph.SerializeToString()
    write_atomically(output, data)
    apart = "equal" if math.isinf(agreement.psnr) else f"{agreement.psnr:.1f} dB and {agreement.worst} grey level apart"
    print(f"{output} ({len(data) / 2**20:.2f} MiB): PyTorch and ONNX Runtime are {apart} on {agreement.frames} frames")
    return ExitCode.OK


def write_atomically(path: Path, data: bytes) -> None:
    """The whole file or the old one. Raises Failure (ENVIRONMENT) when it cannot be written."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise Failure(f"cannot write {path}: {error.strerror}", ExitCode.ENVIRONMENT) from error
