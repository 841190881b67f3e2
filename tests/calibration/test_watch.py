"""Activations are fetched in as few runs as memory allows, and what stops ONNX Runtime is told as a failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import helper

from calibration.graph.forms import Graphs
from calibration.graph.half_check import offenders
from calibration.measure.quality import outputs_of
from calibration.observers import watch as watching
from calibration.observers.watch import open_session, watch
from edgedeblur import ExitCode, Failure
from export.passes.model_file import load_model
from runtime.frame import Image
from tests.calibration.small_graphs import frame_model, frames, loaded, residual_graph

SIZE = (24, 34)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """The outputs of each session that is opened from now on."""
    found: list[Sequence[str]] = []

    def spy(model: ir.Model, outputs: Sequence[str]) -> onnxruntime.InferenceSession:
        found.append(list(outputs))
        return open_session(model, outputs)

    monkeypatch.setattr(watching, "open_session", spy)
    return found


def watched(names: Sequence[str], bytes_per_pixel: dict[str, float] | None) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    model = loaded(residual_graph())
    watch(model, names, frames(2, SIZE), lambda number, name, _: found.append((number, name)), bytes_per_pixel)
    return found


def test_what_has_no_known_size_needs_no_run_of_its_own(opened: list[Sequence[str]]) -> None:
    """The padded frame vanishes where sizes are counted, at a size that needs no padding; it is no larger than one."""
    names = ["x0", "b1", "d", "u"]
    found = watched(names, {"x0": 32.0})
    assert opened == [names]
    assert sorted(found) == [(number, name) for number in (0, 1) for name in sorted(names)]


def test_no_more_is_fetched_at_once_than_memory_holds(
    opened: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MEMORY", 40 * SIZE[0] * SIZE[1])
    found = watched(["x0", "d", "b1", "u"], {"x0": 32.0, "d": 8.0, "b1": 64.0, "u": 32.0})
    assert opened == [["x0", "d"], ["b1"], ["u"]], "what alone is too much goes alone"
    assert len(found) == 8


def test_what_has_no_known_size_is_taken_for_a_frame(
    opened: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MEMORY", 40 * SIZE[0] * SIZE[1])
    watched(["image", "added", "scaled", "d"], {"d": 8.0})
    assert opened == [["image", "added", "scaled"], ["d"]]


def test_a_preset_is_watched_in_one_run(exported: Callable[[str], Path], opened: list[Sequence[str]]) -> None:
    graphs = Graphs(load_model(exported("edge-n")), "native")
    offenders(graphs.fp32()[0], [np.zeros((17, 23, 3), np.uint8)], graphs.sizes.bytes_per_pixel)
    assert len(opened) == 1


def too_large() -> ir.Model:
    """Asks for 2**50 bytes, more than a process can address."""
    sides = helper.make_node("Constant", [], ["sides"], value_ints=[1, 1, 2**24, 2**24])
    grown = helper.make_node("Expand", ["image", "sides"], ["residual_image"])
    return loaded(frame_model([sides, grown], {}))


def foreign() -> ir.Model:
    """Has an operator that ONNX Runtime lacks."""
    model = loaded(residual_graph())
    next(node for node in model.graph if node.op_type == "Sigmoid").op_type = "Sigmund"
    return model


@pytest.mark.parametrize(
    ("make", "frame", "code", "message"),
    [
        (foreign, frames(1)[0], ExitCode.MODEL, r"^ONNX Runtime .* cannot load the model's graph: .*Sigmund"),
        (too_large, np.zeros((1, 1, 3), np.uint8), ExitCode.MEMORY, "^out of memory on a frame of 1x1"),
        (lambda: loaded(residual_graph()), np.zeros((9, 9, 3), np.uint8), ExitCode.MODEL, "failed on a frame of 9x9"),
    ],
    ids=["load", "memory", "run"],
)
def test_what_stops_onnx_runtime_is_a_failure(
    make: Callable[[], ir.Model], frame: Image, code: ExitCode, message: str
) -> None:
    for use in (
        lambda: outputs_of(make(), [frame]),
        lambda: watch(make(), ["image"], [frame], lambda *_: None),
    ):
        with pytest.raises(Failure, match=message) as raised:
            use()
        assert raised.value.code == code
