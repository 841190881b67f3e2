"""Which layers a graph has, what they are called and which of them stay in high precision, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from calibration.graph.compute import macs_by_precision, sizes_of
from calibration.graph.forms import Graphs
from calibration.graph.layers import (
    CONV,
    DEFORM_NATIVE,
    DEFORMED,
    FIRST,
    LAST,
    NARROW,
    POSITIONS,
    SKIP,
    find_layers,
    without_idle_skips,
)
from export.passes.graph_tools import COMPUTE_KEY
from export.passes.model_file import load_model
from tests.calibration.small_graphs import CHANNELS, frame_model, loaded, residual_graph, weights
from training.checkpoint import load_network


def test_names_kinds_and_reasons_of_a_residual_graph() -> None:
    layers = {layer.name: layer for layer in find_layers(loaded(residual_graph()))}
    assert {name: layer.kept for name, layer in layers.items()} == {
        "stem": FIRST,
        "block.first": "",
        "block.second": "",
        "side": "",
        "down": "",
        "up": "",
        "gate": POSITIONS,
        "head": NARROW,
        "block.second.skip": "",
    }
    assert layers["up"].kind == "conv_transpose"
    assert layers["block.second.skip"].kind == SKIP
    assert layers["block.second.skip"].activation is layers["block.first"].activation
    assert not layers["gate"].searched
    assert layers["stem"].searched


def test_every_layer_of_a_preset_is_a_module_of_the_network(
    exported: Callable[[str], Path], checkpoint: Callable[[str], Path]
) -> None:
    network, _ = load_network(checkpoint("edge-s"))
    layers = find_layers(load_model(exported("edge-s")))
    for layer in layers:
        if layer.kind != SKIP:
            module = network.get_submodule(layer.name)
            assert module.weight.shape[0] >= 1  # type: ignore[index]
        else:
            assert layer.name.endswith(".second.skip")
            network.get_submodule(layer.name.removesuffix(".second.skip"))
    convolutions = [name for name, module in network.named_modules() if module.__class__.__name__ == "Conv2d"]
    assert sorted(layer.name for layer in layers if layer.kind != SKIP) == sorted(convolutions)


def test_positions_and_the_ends_stay_in_high_precision(exported: Callable[[str], Path]) -> None:
    kept = {layer.name: layer.kept for layer in find_layers(load_model(exported("edge-n"))) if layer.kept}
    assert {name for name, why in kept.items() if why == FIRST} == {"encoders.0.stem"}
    assert {name for name, why in kept.items() if why == LAST} == {"decoders.0.head"}
    assert {name for name, why in kept.items() if why == DEFORM_NATIVE} == {
        f"encoders.0.stages.2.{block}.content_aware.filter.filter" for block in (0, 1)
    }
    sensitive = {name.rsplit(".", 1)[1] for name, why in kept.items() if why == POSITIONS}
    assert sensitive == {"offset", "modulation", "mask", "fusion", "key", "query"}


def test_lowering_keeps_names_and_frees_the_deformable_product(exported: Callable[[str], Path]) -> None:
    graphs = Graphs(load_model(exported("edge-n")), "gather")
    native = find_layers(load_model(exported("edge-n")))
    assert [layer.name for layer in graphs.layers] == [layer.name for layer in native]
    lowered = [layer for layer in graphs.layers if layer.kind == DEFORMED]
    assert len(lowered) == 2
    assert all(layer.node.op_type == "MatMul" and not layer.kept and layer.searched for layer in lowered)
    model, _ = graphs.fp32()
    assert "DeformConv" not in {node.op_type for node in model.graph}


def test_a_weight_that_two_convolutions_share_gives_two_names() -> None:
    arrays = weights()
    first = helper.make_node("Conv", ["image", "network.stem.weight"], ["a"], pads=[1] * 4)
    shared = [
        helper.make_node("Conv", [x, "network.block.first.weight"], [y], pads=[1] * 4)
        for x, y in (("a", "b"), ("b", "c"))
    ]
    last = helper.make_node("Conv", ["c", "network.head.weight"], ["residual_image"], pads=[1] * 4)
    names = [layer.name for layer in find_layers(loaded(frame_model([first, *shared, last], arrays)))]
    assert names == ["stem", "block.first", "block.first#2", "head"]


def test_a_computed_weight_is_no_layer() -> None:
    arrays = weights()
    nodes = [
        helper.make_node("Relu", ["network.head.weight"], ["w"]),
        helper.make_node("Conv", ["image", "network.stem.weight"], ["a"], pads=[1] * 4),
        helper.make_node("Conv", ["a", "w"], ["residual_image"], pads=[1] * 4),
    ]
    assert [layer.name for layer in find_layers(loaded(frame_model(nodes, arrays)))] == ["stem"]


def test_a_skip_whose_operand_nobody_quantises_is_idle() -> None:
    layers = find_layers(loaded(residual_graph()))
    names = frozenset(["block.second.skip", "block.second"])
    assert without_idle_skips(layers, names) == {"block.second"}
    assert without_idle_skips(layers, names | {"side"}) == names | {"side"}  # reads the same activation


def test_multiply_accumulates_are_those_of_the_shapes() -> None:
    model = loaded(residual_graph())
    find_layers(model)
    sizes = sizes_of(model)
    assert sizes.macs["stem"] == 720 * 1280 * 3 * CHANNELS * 9
    assert sizes.macs["down"] == 360 * 640 * 12 * CHANNELS * 4
    assert sizes.macs["up"] == 360 * 640 * 12 * CHANNELS * 4  # each of its input's pixels meets the whole kernel
    assert macs_by_precision(model) == {"int8": 0, "fp16": 0, "fp32": sum(sizes.macs.values())}
    assert sizes.bytes_per_pixel["x0"] == 4 * CHANNELS
    assert sizes.bytes_per_pixel["d2"] == 4 * 12 / 4


def test_multiply_accumulates_of_a_preset_are_those_of_the_readme(exported: Callable[[str], Path]) -> None:
    model = load_model(exported("edge-n"))
    assert abs(sum(macs_by_precision(model).values()) / 1e9 - 7.72) < 0.01


def test_finding_layers_changes_names_only() -> None:
    before, model = residual_graph(), loaded(residual_graph())
    find_layers(model)
    after = ir.serde.serialize_model(model)
    onnx.checker.check_model(after, full_check=True)
    assert [node.op_type for node in after.graph.node] == [node.op_type for node in before.graph.node]


def between(*nodes: onnx.NodeProto) -> ir.Model:
    """A stem that makes `x`, some nodes, and a head that reads `y`."""
    stem = helper.make_node("Conv", ["image", "network.stem.weight"], ["x"], pads=[1] * 4)
    head = helper.make_node("Conv", ["y", "network.head.weight"], ["residual_image"], pads=[1] * 4)
    return loaded(frame_model([stem, *nodes, head], weights()))


def named(graph: ir.Graph) -> list[str | None]:
    return [node.name for node in graph]


@pytest.mark.parametrize("deform", ["native", "gather"])
def test_convolutions_that_compute_the_same_are_one_layer(deform: str) -> None:
    """Lowering would make them one later on, and the second could not be found again."""
    inputs = ["x", "network.block.first.weight"]
    twins = [helper.make_node("Conv", inputs, [name], pads=[1] * 4) for name in "ab"]
    graphs = Graphs(between(*twins, helper.make_node("Add", ["a", "b"], ["y"])), deform)
    assert [layer.name for layer in graphs.layers] == ["stem", "block.first", "head"]


@pytest.mark.parametrize("deform", ["native", "gather"])
def test_a_convolution_that_nothing_reads_is_no_layer(deform: str) -> None:
    dead = helper.make_node("Conv", ["x", "network.block.first.weight"], ["unread"], pads=[1] * 4)
    graphs = Graphs(between(dead, helper.make_node("Relu", ["x"], ["y"])), deform)
    assert [layer.name for layer in graphs.layers] == ["stem", "head"]


@pytest.mark.parametrize("name", ["", "twin"])
def test_nodes_without_a_name_of_their_own_are_given_one(name: str) -> None:
    proto = residual_graph()
    for node in proto.graph.node:
        node.name = name
    graphs = Graphs(loaded(proto), "gather")
    model, _ = graphs.fp32()
    assert all(named(model.graph))
    assert len(set(named(model.graph))) == len(named(model.graph))
    assert [layer.name for layer in graphs.layers] == [layer.name for layer in find_layers(loaded(residual_graph()))]
    node = next(node for node in model.graph if node.op_type == "Sigmoid")
    half = graphs.fp16([str(node.name)])
    marked = [one.op_type for one in half.graph if COMPUTE_KEY in one.metadata_props]
    assert marked.count("Sigmoid") == 1
    assert "Relu" not in marked


def test_layers_keep_their_name_where_another_node_has_it() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="block.first"),
        helper.make_node("Conv", ["r", "network.block.first.weight"], ["y"], name="other", pads=[1] * 4),
    ]
    graphs = Graphs(between(*nodes), "gather")
    found = {layer.name: layer.node.op_type for layer in graphs.layers}
    assert found["block.first"] == "Conv"
    model, _ = graphs.fp32()
    assert {"block.first", "block.first#2"} <= set(named(model.graph))


def test_a_skip_does_not_take_the_name_of_a_layer() -> None:
    proto = residual_graph()
    for node in proto.graph.node:
        node.input[:] = [name.replace("network.down", "network.block.second.skip") for name in node.input]
    for constant in proto.graph.initializer:
        constant.name = constant.name.replace("network.down", "network.block.second.skip")
    layers = {layer.name: layer.kind for layer in Graphs(loaded(proto), "gather").layers}
    assert layers["block.second.skip"] == CONV
    assert layers["block.second.skip#2"] == SKIP
