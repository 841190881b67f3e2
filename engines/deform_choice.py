"""Which form DeformConv takes in an engine: our plugin where TensorRT can have it, else standard operators (Gather)."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx_ir as ir

from edgedeblur import ExitCode, Failure
from engines.plugin_library import PluginLibrary, named_plugin, plugin_library
from engines.toolkit import Toolkit
from export.passes.deform_node import deform_nodes
from export.passes.model_file import DEFORM_KEY
from export.passes.rename_deform import PLUGIN_OP

FORMS = ("auto", "plugin", "gather")


def choose_deform(
    asked: str, named: Path | None, model: ir.Model, source: Path, toolkit: Toolkit
) -> tuple[str, PluginLibrary | None]:
    """The form to build, `plugin` or `gather`, and the library that `plugin` needs.

    asked: one of FORMS. named: the library of --plugins. source: where `model` was read, for messages.
    Raises Failure: USAGE for options that exclude each other, MODEL when the graph is not of the form asked for,
    ENVIRONMENT when the plugin is asked for and cannot be had.
    """
    if named is not None and asked == "gather":
        raise Failure("--plugins is of no use with --deform gather; leave one of them out")
    found = _form_of(model)
    if found not in ("native", asked) and asked != "auto":
        raise Failure(
            f"{source} has its deformable convolutions in {found} form already, of which --deform {asked} cannot be "
            "made; give build what edgedeblur export, or calibrate with --deform native, writes",
            ExitCode.MODEL,
        )
    wanted = found if found != "native" else asked
    missing = _no_plugins(toolkit)
    if missing is not None and (wanted == "plugin" or named is not None):
        raise Failure(
            f"{missing}, and it is the toolkit in use: install tensorrt for the plugin, or leave --deform plugin and "
            f"--plugins out{' and give build the file that export wrote' if found == 'plugin' else ''}"
        )
    if found == "gather" and asked == "auto" and missing is None:
        print(
            f"building without our plugin: {source} has its deformable convolutions as standard operators already; "
            "give build what export, or calibrate with --deform native, writes",
            file=sys.stderr,
        )
    if wanted == "gather" or missing is not None or not (found == "plugin" or any(deform_nodes(model))):
        return "gather", None
    return _plugin_or_gather(named, toolkit, may_fall_back=wanted == "auto" and named is None)


def _form_of(model: ir.Model) -> str:
    """`native`, `gather` or `plugin`: what the graph has, whatever its metadata say of the plugin."""
    if any(node.op_type == PLUGIN_OP for node in model.graph):
        return "plugin"
    return "native" if any(deform_nodes(model)) else model.metadata_props.get(DEFORM_KEY, "native")


def _no_plugins(toolkit: Toolkit) -> str | None:
    """Why this toolkit takes no plugin; None when it does."""
    if hasattr(toolkit.module.INetworkDefinition, "add_plugin_v3"):
        return None
    return f"{toolkit.name} takes no plugins"


def _plugin_or_gather(named: Path | None, toolkit: Toolkit, may_fall_back: bool) -> tuple[str, PluginLibrary | None]:
    try:
        return "plugin", plugin_library(toolkit) if named is None else named_plugin(named)
    except Failure as failure:
        if not may_fall_back:
            raise
        print(f"building without our plugin, from standard operators (slower): {failure}", file=sys.stderr)
        return "gather", None
