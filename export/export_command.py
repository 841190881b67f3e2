"""`edgedeblur export`: checkpoint in, ONNX out, written only when it is proved to compute the same."""

from __future__ import annotations

import argparse
import hashlib
import math
from pathlib import Path

import onnx_ir as ir

from edgedeblur import ExitCode
from export.golden import golden_pairs
from export.graph import add_metadata, graph_from_network
from export.passes import apply_passes, passes_for
from export.passes.golden_file import golden_bytes, golden_path
from export.passes.model_file import check_onnx_output, parse_size, save_model
from export.passes.whole_files import check_free
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
    parser.add_argument(
        "--golden",
        metavar="HxW",
        help="store a golden frame of this size too: an engine for it is then compared with PyTorch itself",
    )
    parser.add_argument("--force", action="store_true", help="write over the output if it is there")


def run(arguments: argparse.Namespace) -> int:
    """Export, compare, write the ONNX file and, beside it, its golden file."""
    output = arguments.output or arguments.checkpoint.with_suffix(".onnx")
    check_onnx_output(output, arguments.checkpoint, arguments.force)
    check_free([golden_path(output)], arguments.force)
    golden_sizes = [] if arguments.golden is None else [parse_size(arguments.golden, "--golden")]
    network, content = load_network(arguments.checkpoint)
    frames = verification_frames(arguments.data, network.config.min_size)
    graph = graph_from_network(network)
    agreement = compare(network, graph, frames)
    measured = {f"val_{name}": f"{value:.4f}" for name, value in content["metrics"].items()}
    digest = hashlib.sha256(arguments.checkpoint.read_bytes()).hexdigest()
    add_metadata(graph, content["preset"], network.config, {"checkpoint_sha256": digest, **measured})
    model = apply_passes(ir.serde.deserialize_model(graph), passes_for(arguments.deform, "fp32"))
    if arguments.deform == "gather":
        agreement = compare(network, ir.serde.serialize_model(model), frames)
    golden = golden_pairs(network, golden_sizes)
    save_model(model, output, lambda data: {golden_path(output): golden_bytes(data, golden)})
    apart = "equal" if math.isinf(agreement.psnr) else f"{agreement.psnr:.1f} dB and {agreement.worst} grey level apart"
    print(
        f"{output} ({output.stat().st_size / 2**20:.2f} MiB): PyTorch and ONNX Runtime are {apart} "
        f"on {agreement.frames} frames"
    )
    return ExitCode.OK
