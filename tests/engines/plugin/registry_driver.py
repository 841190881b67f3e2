"""Loads a plugin library through TensorRT-RTX's registry and prints what TensorRT finds; a process of its own.

TensorRT-RTX reads plugin nodes but takes no plugins in its networks: it ends the process at the first one, which is why
the ONNX file comes last. Arguments: the library and the ONNX file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorrt_rtx as trt

from engines.plugin_library import load_plugin
from export.passes.rename_deform import PLUGIN_NAMESPACE, PLUGIN_OP, PLUGIN_VERSION


def say(key: str, value: Any) -> None:
    print(json.dumps([key, value]), flush=True)


class Logger(trt.ILogger):  # type: ignore[misc]  # untyped
    def __init__(self) -> None:
        trt.ILogger.__init__(self)

    def log(self, severity: Any, message: str) -> None:
        say(f"log {severity.name}", message)


def created(creator: Any, attributes: dict[str, list[int]]) -> Any:
    fields = [
        trt.PluginField(name, np.array(values, np.int32), trt.PluginFieldType.INT32)
        for name, values in attributes.items()
    ]
    return creator.create_plugin("layer", trt.PluginFieldCollection(fields), trt.TensorRTPhase.BUILD)


def main(library: Path, onnx: Path) -> None:
    builder = trt.Builder(Logger())
    load_plugin(trt, library)
    load_plugin(trt, library)  # a second time changes nothing
    creator = trt.get_plugin_registry().get_creator(PLUGIN_OP, PLUGIN_VERSION, PLUGIN_NAMESPACE)
    say("creator", [creator.plugin_namespace, creator.name, creator.plugin_version])
    say("fields", {field.name: [field.type.name, field.data.tolist()] for field in creator.field_names})
    plugin = created(creator, {"stride": [1, 2], "padding": [2, 1, 2, 1], "offset_group": [2]})
    core = plugin.get_capability_interface(trt.PluginCapabilityType.CORE)
    say("core", [core.plugin_namespace, core.plugin_name, core.plugin_version])
    for kind in ("BUILD", "RUNTIME"):
        capability = plugin.get_capability_interface(getattr(trt.PluginCapabilityType, kind))
        say(kind, capability.interface_info.kind)
    say("refused", created(creator, {"stride": [0, 2]}) is None)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    trt.OnnxParser(network, Logger()).parse(onnx.read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
