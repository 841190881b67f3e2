"""The report of a calibration as JSON, for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def report_bytes(report: Mapping[str, Any]) -> bytes:
    """Strict JSON, UTF-8, keys in the order of `report`; the same bytes for the same report.

    null: not known, or a number that is infinite. A PSNR is so where two pictures are equal, and the SSIM beside it is
    then 1. Raises TypeError for what JSON has no form for. Schema 1:

    - model, output: names of files; model_sha256, preset, precision (int8 or fp16: of the graph that was measured
      last; fp16 where INT8 was asked for, too, when FP16 alone is over the budget), deform (native or gather), method
      (null for fp16); reference: the file whose FP32 output losses are measured against
    - budget_db: the largest PSNR drop allowed; passed: whether the graph kept to it; versions: of each package
    - frames: source, seen (frames read), held_out (quality was measured on other frames than `chosen`; null: on data
      that was given apart), chosen (name, why, sharpness, brightness, contrast, motion of each), settling (frames,
      psnr_to_fp32 with that many of them)
    - quality: per set its frames, truth (sharp frames are known; else drops are estimated from the distance to FP32)
      and rows: precision, psnr and psnr_to_fp32 in dB, ssim and ssim_to_fp32, drop_db in the mean and worst_drop_db on
      one frame, positive where quality is lost
    - layers: name, kind, precision, macs, range (largest magnitude of its input that is represented), cost_db (PSNR
      lost with this layer alone in INT8; null: not measured), why
    - macs: size (height, width), multiply-accumulates for a frame of that size in int8, fp16 and fp32
    - bias_corrected: layers with a corrected bias; evaluations: graphs measured by the search
    - half: nodes kept in FP32, node and why
    """
    return (json.dumps(_finite(report), indent=1, allow_nan=False) + "\n").encode()


def _finite(value: Any) -> Any:
    """The same with None for what JSON cannot hold, and Python's own numbers for numpy's."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
