"""The whole plugin, compiled against TensorRT's own headers and loaded by TensorRT-RTX's registry, without a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import onnx_ir as ir
import pytest

from engines.nvcc import Nvcc
from engines.plugin_library import compile_command, named_plugin
from engines.tensorrt_headers import Headers
from export.passes import apply_passes, passes_for
from export.passes.model_file import model_bytes
from export.passes.rename_deform import PLUGIN_OP
from tests.engines.frame_graph import frame_graph

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@pytest.fixture(scope="module")
def whole_plugin(nvcc: Nvcc, headers: Headers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin as `edgedeblur build` compiles it, against TensorRT's own headers."""
    path = tmp_path_factory.mktemp("plugin") / "plugin.so"
    nvcc.run(compile_command(nvcc, headers, 86, path))
    return path


def test_library_gives_away_two_names_and_needs_none_of_tensorrt(whole_plugin: Path) -> None:
    names = subprocess.run(["nm", "-D", "-C", str(whole_plugin)], capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=2) for line in names.splitlines() if line[:16].strip()]
    assert sorted(name for _, kind, name in lines if kind.isupper()) == ["getCreators", "setLoggerFinder"]
    needed = [line.split(maxsplit=1)[1] for line in names.splitlines() if line.split()[0] == "U"]
    assert needed
    assert not [name for name in needed if "nvinfer" in name or "Infer" in name or "cuda" in name]
    assert named_plugin(whole_plugin).path == whole_plugin


def test_real_registry_loads_it_and_the_parser_makes_plugins_of_our_nodes(
    rtx: None, whole_plugin: Path, tmp_path: Path
) -> None:
    onnx = tmp_path / "plugin.onnx"
    onnx.write_bytes(model_bytes(apply_passes(ir.from_proto(frame_graph()), passes_for("plugin", "fp16", (64, 96)))))
    command = [sys.executable, str(HERE / "registry_driver.py"), str(whole_plugin), str(onnx)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    said = defaultdict(list)
    for line in done.stdout.splitlines():
        key, value = json.loads(line)
        said[key].append(value)
    assert said["creator"] == said["core"] == [["edgedeblur", PLUGIN_OP, "1"]], done.stderr
    assert set(said["fields"][0]) == {"stride", "padding", "dilation", "group", "offset_group", "activation"}
    assert {kind for kind, _ in said["fields"][0].values()} == {"INT32"}
    assert (said["BUILD"], said["RUNTIME"]) == (["PLUGIN_V3ONE_BUILD"], ["PLUGIN_V3ONE_RUNTIME"])
    assert said["refused"] == [True]
    assert f"Successfully created plugin: {PLUGIN_OP}" in said["log INFO"]
    assert not [line for line in said["log ERROR"] if "Cannot find plugin" in line]
