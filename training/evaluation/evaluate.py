"""Measuring a model on blurred/sharp pairs, as its users run it: uint8 frames in, uint8 frames out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure
from training.checkpoint import load_network
from training.evaluation.metrics import psnr, ssim
from training.frame_model import FrameModel
from training.network import SAPHNet

Image = NDArray[np.uint8]
Deblur = Callable[[Image], Image]
Size = tuple[int, int]  # (height, width)


def open_model(path: Path, device: str = "cpu") -> tuple[Deblur, Size]:
    """A function from (H, W, 3) uint8 BGR to the same, and its smallest frame, for a `.pt` or `.onnx` file.

    Raises Failure (MODEL).
    """
    if path.suffix == ".onnx":
        return _onnx_model(path)
    network, _ = load_network(path)
    return torch_model(network, device), network.config.min_size


def torch_model(network: SAPHNet, device: str) -> Deblur:
    """The network as a function of frames."""
    model = FrameModel(network).to(device).eval()

    @torch.inference_mode()
    def deblur(frame: Image) -> Image:
        sharp: Image = model(torch.from_numpy(np.ascontiguousarray(frame)).to(device)).cpu().numpy()
        return sharp

    return deblur


def _onnx_model(path: Path) -> tuple[Deblur, Size]:
    import onnxruntime

    if not path.is_file():
        raise Failure(f"{path} does not exist; expected a model written by `edgedeblur export`", ExitCode.MODEL)
    try:
        options = onnxruntime.SessionOptions()
        # Fused INT8 convolutions saturate on CPUs with AVX2 but no VNNI, and would cost an INT8 model about 7 dB.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no public base class but this
        raise Failure(
            f"{path} cannot be loaded by ONNX Runtime {onnxruntime.__version__}: {error}", ExitCode.MODEL
        ) from error
    contract = [(item.name, item.type) for item in (*session.get_inputs(), *session.get_outputs())]
    if contract != [("frame", "tensor(uint8)"), ("sharp", "tensor(uint8)")]:
        raise Failure(
            f"{path} is not a frame-in, frame-out model; expected one from `edgedeblur export`", ExitCode.MODEL
        )

    def deblur(frame: Image) -> Image:
        sharp: Image = session.run(None, {"frame": frame})[0]
        return sharp

    smallest = session.get_modelmeta().custom_metadata_map.get("edgedeblur.min_size", "1x1")
    height, width = (int(length) for length in smallest.split("x"))
    return deblur, (height, width)


def crop_metrics(network: SAPHNet, crops: Iterable[tuple[Image, Image]], device: str) -> dict[str, float]:
    """Mean PSNR (dB) and SSIM of a network on fixed (blurred, sharp) crops, and the PSNR of the blurred crops."""
    training = network.training
    rows = [pair_metrics(torch_model(network, device), *crop) for crop in crops]
    network.train(training)
    return {name: float(np.mean([row[name] for row in rows])) for name in ("psnr", "ssim", "psnr_blurred")}


def pair_metrics(deblur: Deblur, blurred: Image, sharp: Image) -> dict[str, float]:
    """PSNR (dB) and SSIM of one pair, before and after.

    PSNR ends at 100 dB here: one pair that is matched exactly must not make a mean infinite.
    """
    output = deblur(blurred)
    return {
        "psnr_blurred": min(psnr(blurred, sharp), 100.0),
        "psnr": min(psnr(output, sharp), 100.0),
        "ssim_blurred": ssim(blurred, sharp),
        "ssim": ssim(output, sharp),
    }
