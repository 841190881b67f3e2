"""plan.json as training reads it: what is taken from it, and every mistake that it may hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from edgedeblur import ExitCode, Failure
from tests.training.plans import BLOCK, FILTER, KINDS, PLAN, changed, write
from tests.training.tiny import MODEL
from training.config import PRESETS
from training.quantisation_plan import QuantisedLayer, read_plan, write_plan


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "tiny", MODEL)


def test_int8_layers_and_corrections_are_read(tmp_path: Path) -> None:
    plan = read_plan(write(tmp_path / "plan.json", PLAN), "tiny")
    assert plan.int8 == tuple(QuantisedLayer(name, kind, 1.5) for name, kind in KINDS.items())
    assert plan.bias == PLAN["bias"]


def test_the_plan_of_trained_weights_keeps_layers_and_what_training_does_not_read(tmp_path: Path) -> None:
    plan = read_plan(write(tmp_path / "plan.json", PLAN), "tiny")
    write_plan(tmp_path / "after.json", plan.for_trained_weights())
    after = read_plan(tmp_path / "after.json", "tiny")
    layers = [{**layer, "cost_db": None} for layer in PLAN["layers"]]
    kept = {name: value for name, value in PLAN.items() if name != "bias"}
    assert after.content == {**kept, "model_sha256": None, "layers": layers}
    assert after.bias == {}


def test_the_plan_of_any_preset_can_name_all_its_layers(tmp_path: Path) -> None:
    """A plain filter is a convolution, and only residual blocks have skips that training can quantise."""
    name = "encoders.1.stages.2.1"
    lines = [
        ("conv", f"{name}.first"),
        ("skip", f"{name}.second.skip"),
        ("deform", f"{name}.content_aware.filter.filter"),
    ]
    layers = [{"name": name, "kind": kind, "precision": "int8", "range": 3} for kind, name in lines]
    plan = {**PLAN, "preset": "edge-s", "layers": layers, "bias": {}}
    assert len(read_plan(write(tmp_path / "plan.json", plan), "edge-s").int8) == 3


WRONG: list[tuple[Any, str]] = [
    ([PLAN], "the plan is .*, expected an object"),
    (changed("schema", value=2), "schema is 2, expected 1"),
    (changed("preset", value="edge-n"), 'preset is "edge-n", expected "tiny", as --preset says'),
    (changed("layers", value={}), r"layers is {}, expected a list"),
    (changed("layers", value=[]), r"layers is \[\], expected a list"),
    (changed("layers", 2, value="first"), r'layers\[2\] is "first", expected an object'),
    (changed("layers", 2, "name", value=None), r"layers\[2\]\.name is null, expected text"),
    (changed("layers", 0, "name", value="encoder.0.sten"), r"layers\[0\]\.name is .* such as encoders\.0\.stem"),
    (changed("layers", 0, "name", value="?"), r"layers\[0\]\.name is .*, expected a layer of the network, such as"),
    (changed("layers", 1, "name", value="encoders.0.stem"), r"layers\[1\]\.name is .*, expected each layer once"),
    (changed("layers", 0, "kind", value="conv_transpose"), "kind of 'encoders.0.stem' is .*, expected 'conv'"),
    (changed("layers", 4, "kind", value="conv"), f"kind of '{re.escape(FILTER)}' is \"conv\", expected 'deform'"),
    (changed("layers", 0, "precision", value="int4"), "precision of 'encoders.0.stem' is .*, expected one of int8"),
    (changed("layers", 0, "range", value=None), "range of 'encoders.0.stem' is null, expected a number from 0 up"),
    (changed("layers", 0, "range", value=float("nan")), "range of 'encoders.0.stem' is NaN"),
    (changed("layers", 0, "range", value=-1), "range of 'encoders.0.stem' is -1"),
    (changed("layers", 0, "range", value=10**400), "range of 'encoders.0.stem' is 1000"),
    (changed("layers", 0, "range", value=True), "range of 'encoders.0.stem' is true"),
    (changed("layers", 6, "range", value=2), f"range of '{BLOCK}.second.skip' is 2, expected 1.5, as that of"),
    (changed("layers", value=PLAN["layers"][-1:]), "layers is .*, expected int8 as the precision of one at least"),
    (changed("bias", value=[]), r"bias is \[\], expected an object"),
    (changed("bias", value={"decoders.0.heat": [0]}), "a name in bias is .*, such as decoders.0.head"),
    (changed("bias", value={FILTER: [0.5] * 7}), f"bias of '{re.escape(FILTER)}' is .*, expected 8 numbers"),
    (changed("bias", value={FILTER: ["0"] * 8}), f"bias of '{re.escape(FILTER)}' is .*, expected 8 numbers"),
]


@pytest.mark.parametrize(("plan", "message"), WRONG, ids=[message for _, message in WRONG])
def test_every_mistake_names_its_field(plan: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(Failure, match=rf"--qat .*plan\.json: {message}") as failure:
        read_plan(write(tmp_path / "plan.json", plan), "tiny")
    assert failure.value.code == ExitCode.USAGE


def test_skips_that_are_not_of_residual_blocks_may_stay_and_not_become_int8(tmp_path: Path) -> None:
    skip = {"name": "decoders.0.ups.0.0.skip", "kind": "skip", "range": 1.5}
    plans = [changed("layers", value=[*PLAN["layers"], {**skip, "precision": name}]) for name in ("fp16", "int8")]
    assert len(read_plan(write(tmp_path / "plan.json", plans[0]), "tiny").int8) == len(KINDS)
    with pytest.raises(Failure, match=r"'decoders\.0\.ups\.0\.0\.skip' is \"int8\", expected fp16: of all skips"):
        read_plan(write(tmp_path / "plan.json", plans[1]), "tiny")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\xff"])
def test_files_that_are_no_json_are_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(text, encoding="latin-1")
    with pytest.raises(Failure, match=r"plan\.json cannot be read: .*expected a plan of `edgedeblur calibrate`"):
        read_plan(tmp_path / "plan.json", "tiny")
    with pytest.raises(Failure, match="cannot be read: No such file"):
        read_plan(tmp_path / "none.json", "tiny")
