"""Measuring a network on blurred/sharp pairs, as its users run it: uint8 frames in, uint8 frames out."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from training.evaluation.metrics import capped_psnr, ssim
from training.frame_model import FrameModel
from training.network import SAPHNet

Image = NDArray[np.uint8]
Deblur = Callable[[Image], Image]


def torch_model(network: SAPHNet, device: str) -> Deblur:
    """The network as a function of frames."""
    model = FrameModel(network).to(device).eval()

    @torch.inference_mode()
    def deblur(frame: Image) -> Image:
        sharp: Image = model(torch.from_numpy(np.ascontiguousarray(frame)).to(device)).cpu().numpy()
        return sharp

    return deblur


def crop_metrics(network: SAPHNet, crops: Iterable[tuple[Image, Image]], device: str) -> dict[str, float]:
    """Mean PSNR (dB) and SSIM of a network on fixed (blurred, sharp) crops, and the PSNR of the blurred crops."""
    training = network.training
    deblur = torch_model(network, device)
    rows = [_crop_row(deblur, *crop) for crop in crops]
    network.train(training)
    return {name: float(np.mean([row[name] for row in rows])) for name in ("psnr", "ssim", "psnr_blurred")}


def _crop_row(deblur: Deblur, blurred: Image, sharp: Image) -> dict[str, float]:
    output = deblur(blurred)
    return {
        "psnr": capped_psnr(output, sharp),
        "ssim": ssim(output, sharp),
        "psnr_blurred": capped_psnr(blurred, sharp),
    }
