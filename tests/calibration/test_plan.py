"""The plan file: what is written is read back, and every mistake in an edited one is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from calibration.decide.plan import Plan, default_choices, read_plan, with_int8, with_ranges
from calibration.graph.layers import Layer, find_layers
from edgedeblur import Failure
from tests.calibration.small_graphs import loaded, residual_graph


@pytest.fixture
def layers() -> list[Layer]:
    return find_layers(loaded(residual_graph()))


@pytest.fixture
def plan(layers: list[Layer]) -> Plan:
    choices = default_choices(layers, {"stem": 12, "up": 7})
    return with_ranges(
        Plan("small", "native", "mse", choices, "0" * 64, {"up": [0.5, -0.25]}, ("n_up",)),
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


def edited(plan: Plan, tmp_path: Path, **changes: Any) -> Path:
    content = json.loads(plan.to_bytes())
    for key, value in changes.items():
        if key in content:
            content[key] = value
        else:
            content["layers"][1][key] = value
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": "int4"}, "precision of 'block.first' is 'int4'"),
        ({"name": "block.frist"}, "did you mean 'block.first'"),
        ({"name": "up"}, "'up' stands there twice"),
        ({"range": -1}, "range of 'block.first' is -1"),
        ({"range": "wide"}, "range of 'block.first' is 'wide'"),
        ({"schema": 2}, "schema is 2, expected 1"),
        ({"layers": [], "bias": {}}, "lacks the layer"),
        ({"layers": 3}, "is no plan"),
        ({"layers": [{"name": "up"}]}, "is no plan"),
        ({"colour": "red"}, "is no plan"),
        ({"bias": {"up": "much"}}, "is no plan"),
        ({"bias": {"up": [1.0], "nowhere": [1.0]}}, "bias of 'nowhere'"),
    ],
)
def test_mistakes_are_named(
    plan: Plan, layers: list[Layer], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = edited(plan, tmp_path, **changes)
    with pytest.raises(Failure, match=message) as raised:
        read_plan(path, layers)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema": 1}'])
def test_what_is_no_plan_is_refused(layers: list[Layer], tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(content)
    with pytest.raises(Failure, match=r"p\.json"):
        read_plan(path, layers)


def test_a_missing_file_is_refused(layers: list[Layer], tmp_path: Path) -> None:
    with pytest.raises(Failure, match="No such file"):
        read_plan(tmp_path / "none.json", layers)
