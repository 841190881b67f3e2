"""The probe of the plugin: right operators pass far above its limit, wrong ones fall far below it; tried once."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import ModelProto, NodeProto, helper, numpy_helper

import edgedeblur
from edgedeblur import ExitCode, Failure
from engines import build_command, making, parity, plugin_probe
from engines.build import BuildConfig, engine_from_onnx
from engines.plugin_library import PluginLibrary
from engines.plugin_probe import KERNEL, LEAST_DB, NAME, OFFSET_GROUPS, SIZE, check_plugin, probe_bytes
from engines.toolkit import Toolkit, find_toolkit
from export.passes import apply_passes, passes_for
from export.passes.emulate_half import emulate_half
from export.passes.model_file import model_bytes, model_from_bytes
from export.passes.rename_deform import OFFSET_INPUT, PLUGIN_OP
from runtime.sessions.gpu import Gpu
from runtime.sessions.onnx_session import OnnxSession
from runtime.sessions.size_range import fixed_size

Change = Callable[[ModelProto, NodeProto], list[NodeProto]]
PLUGIN = PluginLibrary(Path("/cache/plugin.so"), "ab" * 32)
ORIN = Toolkit(SimpleNamespace(), "tensorrt", "10.3.0", Gpu("Orin", 87, True))
CONFIG = BuildConfig(fixed_size((720, 1280)), "fp16", "plugin", PLUGIN)
TAPS = KERNEL[0] * KERNEL[1]
MARGIN_DB = 12.0  # between the limit and what is right, and between what is wrong and the limit


def constant(model: ModelProto, array: Any, name: str = "added") -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return name


def reordered(model: ModelProto, deform: NodeProto, order: np.ndarray) -> list[NodeProto]:
    """Planes of the offset in another order: (groups, taps, 2) as `order` has them."""
    deform.input[OFFSET_INPUT] = "reordered"
    return [helper.make_node("Gather", ["offset", constant(model, order.ravel())], ["reordered"], axis=1)]


PLANES = np.arange(2 * OFFSET_GROUPS * TAPS).reshape(OFFSET_GROUPS, TAPS, 2)


def axes_exchanged(model: ModelProto, deform: NodeProto) -> list[NodeProto]:
    return reordered(model, deform, PLANES[..., ::-1])


def groups_exchanged(model: ModelProto, deform: NodeProto) -> list[NodeProto]:
    return reordered(model, deform, PLANES[::-1])


def taps_by_column(model: ModelProto, deform: NodeProto) -> list[NodeProto]:
    return reordered(model, deform, PLANES.reshape(OFFSET_GROUPS, *KERNEL, 2).transpose(0, 2, 1, 3))


def half_positions(model: ModelProto, deform: NodeProto) -> list[NodeProto]:
    """Positions in pixels go through half precision, as in NVIDIA's own plugin."""
    row, column = np.divmod(np.arange(TAPS), KERNEL[1])
    rows, columns = np.indices(SIZE)
    base = np.zeros((OFFSET_GROUPS, TAPS, 2, *SIZE), np.float32)
    base[:, :, 0], base[:, :, 1] = (row - 1)[:, None, None] + rows, (column - 2)[:, None, None] + columns
    constant(model, base.reshape(1, -1, *SIZE))
    deform.input[OFFSET_INPUT] = "rounded"
    return [
        helper.make_node("Add", ["offset", "added"], ["position"]),
        helper.make_node("Cast", ["position"], ["halved"], to=onnx.TensorProto.FLOAT16),
        helper.make_node("Cast", ["halved"], ["single"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Sub", ["single", "added"], ["rounded"]),
    ]


def nearest_pixel(model: ModelProto, deform: NodeProto) -> list[NodeProto]:
    deform.input[OFFSET_INPUT] = "rounded"
    return [helper.make_node("Round", ["offset"], ["rounded"])]


def mask_ignored(model: ModelProto, deform: NodeProto) -> list[NodeProto]:
    del deform.input[4]
    return []


def offset_ignored(model: ModelProto, deform: NodeProto) -> list[NodeProto]:
    deform.input[OFFSET_INPUT] = "nothing"
    return [helper.make_node("Mul", ["offset", constant(model, np.float32(0))], ["nothing"])]


def changed(change: Change) -> bytes:
    """The probe with a DeformConv that does something else."""
    model = onnx.load_model_from_string(probe_bytes())
    place = next(index for index, node in enumerate(model.graph.node) if node.op_type == "DeformConv")
    for node in reversed(change(model, model.graph.node[place])):
        model.graph.node.insert(place, node)
    return bytes(model.SerializeToString())


WRONG = (
    *(axes_exchanged, groups_exchanged, taps_by_column, half_positions),
    *(nearest_pixel, mask_ignored, offset_ignored),
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes, str], float]:
    """dB between the probe by ONNX Runtime and a graph in Gather form, which stands for an engine."""
    expected = parity.references(probe_bytes(), NAME, "fp32", [], fixed_size(SIZE))
    file = tmp_path_factory.mktemp("probe") / "engine.onnx"

    def measure(data: bytes, precision: str) -> float:
        file.write_bytes(engine_bytes(data, precision))
        return parity.measure(OnnxSession(file), expected).worst

    return measure


@functools.cache
def engine_bytes(data: bytes, precision: str) -> bytes:
    model = apply_passes(model_from_bytes(data, NAME), passes_for("gather", precision, SIZE))
    return model_bytes(model if precision == "fp32" else emulate_half(model))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_right_operator_is_far_above_the_limit(measured: Callable[[bytes, str], float], precision: str) -> None:
    assert measured(probe_bytes(), precision) > LEAST_DB + MARGIN_DB


@pytest.mark.parametrize("change", WRONG)
def test_wrong_operator_is_far_below_the_limit(measured: Callable[[bytes, str], float], change: Change) -> None:
    assert measured(changed(change), "fp32") < LEAST_DB - MARGIN_DB


def test_graph_for_the_plugin_and_for_tensorrt(rtx: None) -> None:
    """Positions are FP32 and the rest follows the precision; the parser knows all else."""
    model = apply_passes(model_from_bytes(probe_bytes(), NAME), passes_for("plugin", "fp16", SIZE))
    model_bytes(model)
    (node,) = [node for node in model.graph if node.op_type == PLUGIN_OP]
    types = [value.dtype for value in node.inputs if value is not None]
    assert types == [ir.DataType.FLOAT if index == OFFSET_INPUT else ir.DataType.FLOAT16 for index in range(5)]
    config = dataclasses.replace(CONFIG, deform="gather", plugin=None, sizes=fixed_size(SIZE), capabilities=("86",))
    assert engine_from_onnx(model_from_bytes(probe_bytes(), NAME), config, find_toolkit("tensorrt_rtx")).plan


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What stands for TensorRT: `content` is what its engines compute, `built` the configurations that it built."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    state = SimpleNamespace(content=probe_bytes(), built=[])
    file = tmp_path / "engine.onnx"

    def build(model: ir.Model, config: BuildConfig, toolkit: Toolkit) -> Any:
        state.built.append(config)
        file.write_bytes(engine_bytes(state.content, config.precision))
        return SimpleNamespace(plan=b"ftrt")

    @contextlib.contextmanager
    def running(_: Any) -> Iterator[OnnxSession]:
        yield OnnxSession(file)

    monkeypatch.setattr(plugin_probe, "engine_from_onnx", build)
    monkeypatch.setattr(plugin_probe, "running", running)
    return state


def test_a_plugin_is_tried_once(engine: Any) -> None:
    check_plugin(PLUGIN, CONFIG, ORIN)
    check_plugin(PLUGIN, CONFIG, ORIN)
    check_plugin(PLUGIN, dataclasses.replace(CONFIG, precision="int8"), ORIN)  # to the plugin it is FP16
    (config,) = engine.built
    assert (config.sizes, config.precision, config.deform, config.plugin) == (
        fixed_size(SIZE),
        "fp16",
        "plugin",
        PLUGIN,
    )
    check_plugin(PLUGIN, dataclasses.replace(CONFIG, precision="fp32"), ORIN)
    check_plugin(PLUGIN._replace(sha256="cd" * 32), CONFIG, ORIN)
    check_plugin(PLUGIN, CONFIG, dataclasses.replace(ORIN, version="10.16.2"))
    check_plugin(PLUGIN, CONFIG, dataclasses.replace(ORIN, gpu=Gpu("Thor", 110, True)))
    assert len(engine.built) == 5


def test_a_wrong_one_is_refused_every_time(engine: Any) -> None:
    engine.content = changed(axes_exchanged)
    for _ in range(2):
        with pytest.raises(Failure, match=r"plugin\.so computes something else with tensorrt 10\.3\.0") as caught:
            check_plugin(PLUGIN, CONFIG, ORIN)
        assert caught.value.code == ExitCode.QUALITY
        assert "--deform gather" in str(caught.value)
    assert len(engine.built) == 2


def test_what_cannot_be_tried_or_remembered_is_said(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("no folder")
    check_plugin(PLUGIN, CONFIG, ORIN)
    assert "that the plugin passed is not remembered" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    check_plugin(PLUGIN, CONFIG, ORIN)
    assert "the plugin was not tried for itself: ONNX Runtime does not run" in capsys.readouterr().err
    assert len(engine.built) == 1


@pytest.mark.parametrize(
    ("deform", "here", "tried"), [("plugin", True, True), ("plugin", False, False), ("gather", True, False)]
)
def test_it_is_tried_before_an_engine_is_made_with_it(
    rtx: None, onnx_file: Path, deform: str, here: bool, tried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise Failure("the plugin is wrong", ExitCode.QUALITY)

    def build(*_: Any) -> None:
        raise Failure("would build", ExitCode.SOURCE)

    chosen = (deform, PLUGIN if deform == "plugin" else None)
    monkeypatch.setattr(build_command, "choose_deform", lambda *_: chosen)
    monkeypatch.setattr(making, "why_not_here", lambda *_: None if here else "no GPU")
    monkeypatch.setattr(making, "check_plugin", refuse)
    monkeypatch.setattr(making, "engine_from_onnx", build)
    words = ["build", str(onnx_file), "--size", "64x96", "--toolkit", "tensorrt_rtx"]
    assert edgedeblur.main(words) == (ExitCode.QUALITY if tried else ExitCode.SOURCE)
