"""Inspector reports of both generations, and times by the profiler, as one table.

inspector_10.json and inspector_11.json are written by hand after NVIDIA's documentation (engine inspector; migration
from 10.x to 11.x): they show the structure, no engine ever gave them.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgedeblur import ExitCode, Failure
from engines.inspect_command import _print_layers
from engines.layer_times import RUNS, WARM_UP, layer_times
from engines.layers import layers_of_report, type_of, with_times

REPORTS = [
    json.loads(Path(__file__).with_name(f"inspector_{generation}.json").read_text()) for generation in ("10", "11")
]
CONV, REFORMAT, RESHAPE = (
    {"name": "conv_1 + relu_1", "type": "CaskConvolution", "precision": "INT8", "shape": [1, 32, 23, 40]},
    {
        "name": "Reformatting CopyNode for Input Tensor 0 to conv_1 + relu_1",
        "type": "Reformat",
        "precision": "FP16",
        "shape": [1, 3, 45, 80],
    },
    {"name": "reshape_2", "type": "NoOp", "precision": "N/A due to dynamic shapes", "shape": [1, -1, 32]},
)


@pytest.mark.parametrize("report", REPORTS, ids=["TensorRT 10", "TensorRT 11"])
def test_both_generations_give_one_table(report: dict[str, Any]) -> None:
    assert layers_of_report(report) == [REFORMAT, CONV, RESHAPE]


def test_engine_without_details() -> None:
    bare = {"name": "conv_1", "type": None, "precision": None, "shape": None}
    assert layers_of_report({"Layers": ["conv_1"], "Bindings": ["frame"]}) == [bare]
    assert layers_of_report({}) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Row major linear FP32", "FP32"),
        ("Two wide channel vectorized row major FP16 format", "FP16"),
        ("Half", "FP16"),
        ("Float NCHW", "FP32"),
        ("BF16", "BF16"),
        ("UINT8", "UINT8"),
        ("INT64", "INT64"),
        ("N/A due to dynamic shapes", "N/A due to dynamic shapes"),
        ("", ""),
        (None, None),
    ],
)
def test_names_of_types(text: str | None, name: str | None) -> None:
    assert type_of(text) == name


def test_times_and_shares(capsys: pytest.CaptureFixture[str]) -> None:
    times = {str(REFORMAT["name"]): 0.25, "conv_1 + relu_1": 0.5, "only timed": 0.25}
    layers = with_times([REFORMAT, CONV, RESHAPE], times)
    assert [(layer["ms"], layer["share"]) for layer in layers] == [(0.25, 0.25), (0.5, 0.5), (None, None), (0.25, 0.25)]
    assert layers[-1]["name"] == "only timed"
    _print_layers(layers, "engine")
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.endswith(("relu_1", "reshape_2", "timed"))]
    assert rows[0][:6] == ["0.5000", "ms", "50.0%", "INT8", "CaskConvolution", "1x32x23x40"], "the slowest comes first"
    assert rows[-1][:3] == ["-", "ms", "-"]


class StandInContext:
    """Reports two layers after each run once it has a profiler, as TensorRT documents it; fails at `fails`."""

    def __init__(self, fails: int = -1) -> None:
        self.profiler: Any = None
        self.addresses: dict[str, int] = {}
        self.runs, self.fails = 0, fails

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        self.runs += 1
        if self.profiler is not None:
            self.profiler.report_layer_time("conv", float(self.runs))
            self.profiler.report_layer_time("resize", 0.5)
        return self.runs != self.fails


DRIVER = SimpleNamespace(
    to_device=lambda frame: 1000 + frame.nbytes,
    mem_alloc=lambda size: 2000 + size,
    Stream=lambda: SimpleNamespace(handle=7, synchronize=lambda: None),
)
TRT = SimpleNamespace(IProfiler=object)


def test_times_are_medians_of_warm_runs() -> None:
    context = StandInContext()
    times = layer_times(TRT, context, (45, 80), DRIVER)
    assert context.addresses == {"frame": 1000 + 45 * 80 * 3, "sharp": 2000 + 45 * 80 * 3}
    assert times == {"conv": np.median(np.arange(WARM_UP + 1, WARM_UP + RUNS + 1)), "resize": 0.5}


def test_an_engine_that_does_not_run() -> None:
    with pytest.raises(Failure, match="does not run") as caught:
        layer_times(TRT, StandInContext(fails=3), (45, 80), DRIVER)
    assert caught.value.code == ExitCode.MODEL


def test_the_profiler_is_one_that_tensorrt_takes(rtx: None) -> None:
    trt = importlib.import_module("tensorrt_rtx")
    assert list(layer_times(trt, StandInContext(), (9, 16), DRIVER)) == ["conv", "resize"]
