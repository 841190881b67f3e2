"""The plugin's answers to TensorRT: names, fields, types, layouts, sizes, what the kernel is given, what is refused."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from export.passes.rename_deform import PLUGIN_NAMESPACE, PLUGIN_OP, PLUGIN_VERSION

Sizes = tuple[int, ...]
Answers = dict[str, list[str]]
ATTRIBUTES: dict[str, Sizes] = {
    "stride": (2, 3),
    "padding": (1, 2, 0, 1),
    "dilation": (1, 2),
    "group": (2,),
    "offset_group": (5,),
    "activation": (1,),
}
# 10 channels in 2 groups and 5 offset groups, a 3x1 kernel on 5x9 pixels: every number can be told from the others.
TENSORS: dict[str, Sizes] = {
    "x": (3, 10, 5, 9),
    "weight": (6, 3, 1, 5),
    "offset": (3, 30, 2, 4),
    "bias": (6,),
    "mask": (3, 15, 2, 4),
}
FIELDS = {name: [",".join(map(str, values))] for name, values in ATTRIBUTES.items()}


def ask(driver: Path, *dtype: str, **sizes: Sizes | None) -> Answers:
    """What the plugin answers for the lopsided case in half (or float), changed by `sizes`; None leaves one out."""
    case = {**ATTRIBUTES, **TENSORS, **sizes}
    words = [f"{name}={','.join(map(str, values))}" for name, values in case.items() if values is not None]
    done = subprocess.run([driver, *(dtype or ["half"]), *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answers = defaultdict(list)
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        answers[key].append(value)
    return answers


def under(answers: Answers, prefix: str) -> Answers:
    return {key.removeprefix(prefix): value for key, value in answers.items() if key.startswith(prefix)}


def logged(answers: Answers) -> list[str]:
    """Errors that went to TensorRT's logger, but for that of the enqueue that the driver tries too early."""
    return [line for line in answers["log"] if "before onShapeChange" not in line]


def test_the_library_says_what_the_graph_asks_for(driver: Path) -> None:
    answers = ask(driver)
    assert answers["creators"] == ["1"]
    assert answers["kind"] == ["PLUGIN CREATOR_V3ONE"]
    assert (answers["name"], answers["version"]) == ([PLUGIN_OP], [PLUGIN_VERSION])
    assert answers["namespace"] == [PLUGIN_NAMESPACE]
    assert answers["core"] == [f"{PLUGIN_NAMESPACE}/{PLUGIN_OP}/{PLUGIN_VERSION}"]
    defaults = {"stride": "1,1", "padding": "0,0,0,0", "dilation": "1,1", "group": "1", "offset_group": "1"}
    assert under(answers, "default.") == {name: [text] for name, text in {**defaults, "activation": "0"}.items()}


def test_attributes_survive_the_plan_contexts_and_clones(driver: Path) -> None:
    answers = ask(driver)
    for what in ("kept.", "attached.", "cloned."):
        assert under(answers, what) == FIELDS
    absent: dict[str, Sizes | None] = dict.fromkeys(ATTRIBUTES)
    plain = ask(driver, **{**absent, "x": (3, 5, 5, 9), "offset": (3, 6, 3, 9), "mask": (3, 3, 3, 9)})
    assert under(plain, "kept.") == under(plain, "default.")
    assert (plain["change"], plain["enqueue"], plain["again"]) == (["0"], ["0"], ["0"])  # again: by the clone


def test_kernel_is_given_the_case(driver: Path) -> None:
    answers = ask(driver)
    assert (answers["configure"], answers["change"], answers["enqueue"]) == (["0"], ["0"], ["0"])
    assert {key: value[0] for key, value in under(answers, "kernel.").items()} == {
        "type": "1",
        "batch": "3",
        "channels": "10,6",
        "pitch": "16,8",  # kHWC8: channels up to a multiple of 8
        "input": "5,9",
        "output": "2,4",
        "kernel": "3,1",
        "stride": "2,3",
        "padding": "1,2",
        "dilation": "1,2",
        "groups": "2,5",
        "activation": "1",
        "tensors": "1,2,3,4,5,6",
        "stream": "7",
    }
    single = ask(driver, "float")
    assert (single["kernel.type"], single["kernel.pitch"]) == (["0"], ["10,6"])


def test_mask_may_be_left_out(driver: Path) -> None:
    answers = ask(driver, mask=None)
    assert answers["kernel.tensors"] == ["1,2,3,4,0,6"]
    assert answers["format.out"] == ["half/hwc8"]
    assert logged(answers) == []


@pytest.mark.parametrize("dtype", ["half", "float"])
def test_types_and_layouts(driver: Path, dtype: str) -> None:
    """x chooses; positions are never below FP32; the output is like x."""
    answers = ask(driver, dtype)
    wide = {"half": "half/hwc8", "float": "float/hwc"}
    assert answers["format.x"] == [wide["float"], wide["half"]]
    assert answers["format.out"] == [wide[dtype]]
    assert answers["format.offset"] == ["float/linear"]
    for name in ("weight", "bias", "mask"):
        assert answers[f"format.{name}"] == [f"{dtype}/linear"]
    assert (answers["types"], answers["out.type"], answers["out.count"]) == (["0"], [dtype], ["1"])


def test_output_sizes_come_from_x_weight_and_offset_known_or_not(driver: Path) -> None:
    dynamic = {"x": (-1, 10, -1, -1), "offset": (-1, 30, -1, -1), "mask": (-1, 15, -1, -1)}
    for answers in (ask(driver), ask(driver, **dynamic)):
        assert answers["shapes.status"] == ["0"]
        assert answers["shapes.out"] == ["x.0", "weight.0", "offset.2", "offset.3"]
        assert answers["configure"] == ["0"]
        assert answers["workspace"] == ["0"]


def test_layers_are_timed_once_for_equal_attributes(driver: Path) -> None:
    assert ask(driver)["timing"] == ["stride=2,3 padding=1,2,0,1 dilation=1,2 group=2 offset_group=5 activation=1"]
    assert ask(driver)["metadata"] == ask(driver)["timing"]
    assert ask(driver, activation=(0,))["timing"] != ask(driver)["timing"]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"x": (3, 9, 5, 9)}, "x is (3, 9, 5, 9); expected (?, 10, ?, ?)"),
        ({"x": (3, 10, 5)}, "x is (3, 10, 5); expected (?, 10, ?, ?)"),
        ({"weight": (6, 3, 5)}, "weight is (6, 3, 5); expected (?, ?, ?, ?)"),
        ({"weight": (-1, 3, 1, 5)}, "expected sizes that are known when the engine is built"),
        ({"weight": (5, 3, 1, 5), "bias": (5,)}, "5 output channels in 2 groups"),
        ({"offset_group": (4,), "offset": (3, 24, 2, 4), "mask": (3, 12, 2, 4)}, "10 channels in 4 offset groups"),
        ({"offset": (3, 15, 2, 4)}, "offset is (3, 15, 2, 4); expected (3, 30, 2, 4)"),
        ({"offset": (3, 30, 4, 2)}, "offset is (3, 30, 4, 2); expected (3, 30, 2, 4)"),
        ({"offset": (1, 30, 2, 4)}, "offset is (1, 30, 2, 4); expected (3, 30, 2, 4)"),
        ({"padding": (2147483647, 2, 2147483647, 1)}, "expected (3, 30, 2147483649, 4)"),
        ({"bias": (8,)}, "bias is (8); expected (6)"),
        ({"mask": (3, 30, 2, 4)}, "mask is (3, 30, 2, 4); expected (3, 15, 2, 4)"),
        ({"mask": None, "bias": None}, "there are 3 inputs; expected x, weight, offset, bias and perhaps mask"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_sizes_that_do_not_fit_are_said_and_nothing_runs(
    driver: Path, sizes: dict[str, Sizes | None], message: str
) -> None:
    answers = ask(driver, **sizes)
    assert answers["shapes.status"] == ["-1"]
    assert answers["configure"] == ["-1"]
    assert answers["change"] in (["-1"], [])  # not asked where the driver cannot make up an output
    assert "enqueue" not in answers
    assert all(line.startswith("1 EdgeDeformConv2d: ") and message in line for line in logged(answers))
    assert len(logged(answers)) >= 2


def test_what_contradicts_only_once_sizes_are_known_is_found_then(driver: Path) -> None:
    answers = ask(driver, x=(3, 10, -1, -1), offset=(3, 30, 7, 7), mask=(3, 15, -1, 7))
    assert (answers["shapes.status"], answers["configure"]) == (["0"], ["0"])
    assert ask(driver, offset=(3, 30, 7, 7))["change"] == ["-1"]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"stride": (0, 3)}, "attribute 'stride' has 0; expected at least 1"),
        ({"stride": (2,)}, "attribute 'stride' is not 2 int32"),
        ({"padding": (1, 2)}, "attribute 'padding' is not 4 int32"),
        ({"padding": (1, -2, 0, 0)}, "attribute 'padding' has -2; expected at least 0"),
        ({"dilation": (1, 0)}, "attribute 'dilation' has 0"),
        ({"group": (0,)}, "attribute 'group' has 0"),
        ({"offset_group": (-1,)}, "attribute 'offset_group' has -1"),
        ({"activation": (2,)}, "attribute 'activation' is 2; expected 0 (none) or 1 (ReLU)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_attributes_that_make_no_sense_are_refused(driver: Path, attributes: dict[str, Sizes], message: str) -> None:
    answers = ask(driver, **attributes)
    assert answers["created"] == ["0"]
    (line,) = answers["log"]
    assert line.startswith("1 EdgeDeformConv2d: ")
    assert message in line


def test_failures_at_run_time_are_codes_and_messages(driver: Path) -> None:
    answers = ask(driver)
    assert answers["early"] == ["-1"]
    assert answers["log"] == ["1 EdgeDeformConv2d: enqueue came before onShapeChange"]
    failed = ask(driver, x=(13, 10, 5, 9), offset=(13, 30, 2, 4), mask=(13, 15, 2, 4))  # the stand-in fails at 13
    assert failed["enqueue"] == ["-1"]
    assert "the launch failed" in failed["log"][-1]
