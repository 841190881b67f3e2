"""The plan file: what is written is read back, and every mistake in an edited one is named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from calibration.decide.plan import Plan, default_choices, read_plan, with_int8, with_ranges
from calibration.graph.forms import Graphs
from calibration.graph.layers import Layer, find_layers
from edgedeblur import ExitCode, Failure
from export.passes.model_file import load_model
from tests.calibration.small_graphs import loaded, residual_graph

CORRECTION = [0.5, -0.25, 0, 0, 0, 0, 0, 1e-3]


@pytest.fixture
def layers() -> list[Layer]:
    return find_layers(loaded(residual_graph()))


@pytest.fixture
def plan(layers: list[Layer]) -> Plan:
    choices = default_choices(layers, {"stem": 12, "up": 7})
    return with_ranges(
        Plan("small", "native", "mse", choices, "0" * 64, {"up": CORRECTION}, ("share",)),
        {"stem": 1.0, "up": 0.1 + 0.2},
    )


def test_it_is_read_back_as_it_was_written(plan: Plan, layers: list[Layer], tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(plan.to_bytes())
    assert read_plan(path, layers) == plan
    assert plan.int8() == {"block.first", "block.second", "side", "down", "up", "block.second.skip"}


def test_switching_notes_why_and_keeps_the_rest(plan: Plan) -> None:
    found = {choice.name: choice for choice in with_int8(plan, frozenset(["up", "stem"]), "too dear").layers}
    assert {name for name, choice in found.items() if choice.precision == "int8"} == {"up", "stem"}
    assert found["side"].why == "too dear"
    assert found["stem"].why == ""
    assert found["head"].why != "too dear", "it was not in INT8 before"
    assert found["up"].range == 0.1 + 0.2


LAYER = "block.first"  # the second in the plan


def edited(plan: Plan, tmp_path: Path, changes: dict[str, Any]) -> Path:
    """The plan's file with fields changed: its own, or else LAYER's."""
    content = json.loads(plan.to_bytes())
    for key, value in changes.items():
        (content if key in content else content["layers"][1])[key] = value
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(content))
    return path


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"schema": 2}, "schema is 2, expected 1"),
    ({"preset": None}, "preset is null, expected text"),
    ({"deform": ["native"]}, r'deform is \["native"\], expected one of native, gather'),
    ({"deform": "plugin"}, 'deform is "plugin", expected one of native, gather'),
    ({"method": 3}, "method is 3, expected one of entropy, minmax, mse, percentile"),
    ({"method": "msee"}, 'method is "msee", expected one of'),
    ({"model_sha256": "0x12"}, 'model_sha256 is "0x12", expected 64 hexadecimal digits, or null'),
    ({"model_sha256": 0}, "model_sha256 is 0"),
    ({"layers": 3}, "layers is 3, expected a list"),
    ({"layers": ["up"]}, r'layers\[0\] is "up", expected an object'),
    ({"layers": []}, "layers lacks 'stem' and 8 more, expected all layers of the model"),
    ({"layers": [{"name": "up"}]}, "kind of 'up' is null"),
    ({"colour": "red"}, r'a field of layers\[1\] is "colour", expected one of name, kind'),
    ({"name": 3}, r"layers\[1\]\.name is 3, expected text"),
    ({"name": "block.frist"}, r"layers\[1\]\.name is \"block.frist\", expected .* did you mean 'block.first'"),
    ({"name": "side"}, r'layers\[\d\]\.name is "side", expected each layer once'),
    ({"kind": "deform"}, "kind of 'block.first' is \"deform\", expected 'conv'"),
    ({"kind": ["conv"]}, "kind of 'block.first' is "),
    ({"precision": "int4"}, "precision of 'block.first' is \"int4\", expected one of int8, fp16, fp32"),
    ({"precision": {}}, "precision of 'block.first' is {}"),
    ({"range": -1}, "range of 'block.first' is -1, expected 0 up, or null"),
    ({"range": "wide"}, "range of 'block.first' is \"wide\""),
    ({"range": True}, "range of 'block.first' is true"),
    ({"range": float("inf")}, "range of 'block.first' is Infinity"),
    ({"range": 10**400}, r"range of 'block.first' is 10+…"),
    ({"macs": "x"}, "macs of 'block.first' is \"x\""),
    ({"macs": None}, "macs of 'block.first' is null"),
    ({"macs": 0.5}, "macs of 'block.first' is 0.5"),
    ({"cost_db": "abc"}, "cost_db of 'block.first' is \"abc\""),
    ({"cost_db": float("nan")}, "cost_db of 'block.first' is NaN"),
    ({"why": 7}, "why of 'block.first' is 7, expected text"),
    ({"bias": [1.0]}, r"bias is \[1.0\], expected an object"),
    ({"bias": {"up": "much"}}, "bias of 'up' is \"much\", expected 8 numbers"),
    ({"bias": {"up": CORRECTION, "nowhere": [1.0]}}, 'a name in bias is "nowhere"'),
    ({"bias": {"block.second.skip": [1.0] * 8}}, 'a name in bias is "block.second.skip"'),
    ({"bias": {"up": [1.0]}}, r"bias of 'up' is \[1.0\], expected 8 numbers"),
    ({"bias": {"up": [1.0] * 12}}, "bias of 'up' is .*, expected 8 numbers"),
    ({"bias": {"up": [*CORRECTION[1:], float("nan")]}}, "bias of 'up' is .*, expected 8 numbers"),
    ({"bias": {"up": [*CORRECTION[1:], float("-inf")]}}, "bias of 'up' is .*, expected 8 numbers"),
    ({"bias": {"up": [*CORRECTION[1:], "1"]}}, "bias of 'up' is .*, expected 8 numbers"),
    ({"fp32_nodes": "up"}, 'fp32_nodes is "up", expected a list'),
    ({"fp32_nodes": ["up", 1]}, r'fp32_nodes is \["up", 1\], expected a list'),
    ({"fp32_nodes": ["up", "shore"]}, "a name in fp32_nodes is \"shore\", expected .* did you mean 'share'"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=[message for _, message in WRONG])
def test_every_mistake_names_file_and_field(
    plan: Plan, layers: list[Layer], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = edited(plan, tmp_path, changes)
    with pytest.raises(Failure, match=rf"^the plan {re.escape(str(path))}: {message}") as raised:
        read_plan(path, layers)
    assert raised.value.code == ExitCode.USAGE


def test_layers_that_read_one_activation_have_one_range(plan: Plan, layers: list[Layer], tmp_path: Path) -> None:
    content = json.loads(plan.to_bytes())
    by_name = {line["name"]: line for line in content["layers"]}
    by_name[LAYER]["range"], by_name["block.second.skip"]["range"] = 1.5, None  # of a layer that is not observed
    path = tmp_path / "p.json"
    path.write_text(json.dumps(content))
    read_plan(path, layers)
    by_name["block.second.skip"]["range"] = 1.25
    path.write_text(json.dumps(content))
    expected = r"range of 'block\.second\.skip' is 1\.25, expected 1\.5, as that of 'block\.first'"
    with pytest.raises(Failure, match=expected):
        read_plan(path, layers)


def test_nodes_of_the_other_form_are_not_looked_for(exported: Callable[[str], Path], tmp_path: Path) -> None:
    """Precisions found for one form serve the other, whose nodes are others."""
    gather, native = (Graphs(load_model(exported("edge-n")), deform).layers for deform in ("gather", "native"))
    node = "a node that nobody has"
    plan = Plan("edge-n", "gather", "mse", default_choices(gather, {}), fp32_nodes=(node,))
    path = tmp_path / "p.json"
    path.write_bytes(plan.to_bytes())
    assert len(read_plan(path, native).layers) == len(native)
    with pytest.raises(Failure, match=f'a name in fp32_nodes is "{node}"'):
        read_plan(path, gather)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema": 1}', b"[" * 100_000, b"1" * 5000]
)
def test_what_is_no_plan_is_refused(layers: list[Layer], tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(content)
    with pytest.raises(Failure, match=r"p\.json") as raised:
        read_plan(path, layers)
    assert raised.value.code == ExitCode.USAGE


def test_a_missing_file_is_refused(layers: list[Layer], tmp_path: Path) -> None:
    with pytest.raises(Failure, match="No such file"):
        read_plan(tmp_path / "none.json", layers)
