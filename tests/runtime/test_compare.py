"""Two reports against each other: what counts as a difference, what is refused, what a build server gets."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from fractions import Fraction
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedeblur import ExitCode, main
from runtime.measure.profiles.comparison import chance_of, compare, differing_fields
from runtime.measure.profiles.profile_report import SCHEMA

GROUPS = st.lists(st.integers(-1000, 1000), min_size=1, max_size=3)
HEADER = {
    "at": "2026-01-01T00:00:00+00:00",
    "device": "Jetson",
    "cpu": "Cortex-A78AE",
    "cores": 6,
    "gpu": "Orin",
    "power_mode": "2 (MAXN)",
    "size": [360, 640],
    "preset": "edge-n",
    "precision": "int8",
    "model_sha256": "abc",
    "source_rate": 30.0,
    "versions": {"numpy": "2.0", "tensorrt": "10.3"},
}


def report(ages: Sequence[float], mode: str = "paced", **header: Any) -> dict[str, Any]:
    """With a repeat for each median frame age; the rate goes with it."""
    repeats = [
        {"fps": 1000 / age, "cpu_ms": 5.0, "deadline_share": 0.0, "ms": {"age": {"p50": age, "p95": age + 1}}}
        for age in ages
    ]
    return {
        "schema": SCHEMA,
        "source": "camera",
        "mode": mode,
        "header": HEADER | header,
        "repeats": repeats,
        "ms": {"age": {"p50": ages[0]}},
        "power": {"joules_per_frame": None},
    }


def verdicts(a: dict[str, Any], b: dict[str, Any]) -> dict[str, str]:
    return {row.metric.name: row.verdict for row in compare(a, b)}


@given(GROUPS, GROUPS)
@settings(max_examples=60, deadline=None)
def test_the_chance_is_that_of_dealing_the_repeats_again(a: list[int], b: list[int]) -> None:
    """Counted over all orders here, over all choices there."""

    def apart(ours: Sequence[int], theirs: Sequence[int]) -> Fraction:
        return abs(Fraction(sum(ours), len(ours)) - Fraction(sum(theirs), len(theirs)))

    deals = [apart(order[: len(a)], order[len(a) :]) for order in permutations([*a, *b])]
    far = sum(distance >= apart(a, b) for distance in deals)
    assert chance_of(a, b) == pytest.approx(far / len(deals))


def test_many_repeats_are_dealt_by_lot_and_alike_each_time() -> None:
    a, b = [10.0 + 0.01 * n for n in range(12)], [10.5 + 0.01 * n for n in range(12)]
    assert chance_of(a, b) < 0.001
    assert chance_of(a, b) == chance_of(a, b)
    assert chance_of(a, [value + 0.001 for value in a]) > 0.5


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ([10.0, 10.2, 9.8, 10.1], [12.0, 12.2, 11.9, 12.1], "worse"),
        ([12.0, 12.2, 11.9, 12.1], [10.0, 10.2, 9.8, 10.1], "better"),
        ([10.0, 11.0, 9.0, 10.5], [10.2, 11.1, 9.5, 10.4], "same within the spread"),
        ([10.0, 10.0, 10.0], [10.0, 10.0, 10.0], "same within the spread"),
        ([10.0, 10.2, 9.8], [12.0, 12.2, 11.9], "worse"),  # none overlap: all that three repeats can say
        ([10.0, 10.2, 12.1], [12.0, 12.2, 11.9], "same within the spread"),
        ([10.0, 10.2], [12.0, 12.2], "cannot tell"),
        ([10.0], [12.0], "cannot tell"),
        ([10.0, 10.2], [12.0, 12.2, 12.3, 12.4, 12.5], "cannot tell"),
    ],
)
def test_a_difference_must_be_larger_than_the_spread(ours: list[float], theirs: list[float], verdict: str) -> None:
    found = verdicts(report(ours), report(theirs))
    assert found["age_p50"] == found["fps"] == verdict  # a lower rate is worse, as a higher age is
    assert found["cpu_ms"] == ("cannot tell" if verdict == "cannot tell" else "same within the spread")


def test_modes_are_never_mixed() -> None:
    ages = [10.0, 10.1, 10.2, 10.3]
    assert set(verdicts(report(ages), report(ages, "saturated")).values()) == {"of another mode"}


@pytest.mark.parametrize(
    ("after", "frames", "verdict"),
    [(24.0, 9, "the same"), (24.5, 9, "better"), (23.0, 9, "worse"), (24.5, 8, "of other pictures")],
)
def test_quality_has_no_spread(after: float, frames: int, verdict: str) -> None:
    a, b = report([10.0]), report([10.0])
    a["psnr"] = {"frames": 9, "before_db": 22.0, "after_db": 24.0}
    b["psnr"] = {"frames": frames, "before_db": 22.0, "after_db": after}
    assert verdicts(a, b)["psnr_after"] == verdict


def test_what_differs_is_named_and_what_forbids_comparing_is_apart() -> None:
    ages = [10.0, 10.1, 10.2]
    theirs = report(ages, power_mode="0 (15W)", driver="580", versions={"numpy": "2.0", "tensorrt": "10.7"})
    loud, explains = differing_fields(report(ages), theirs)
    assert loud == {"power_mode": ("2 (MAXN)", "0 (15W)")}
    assert explains == {"driver": (None, "580"), "tensorrt version": ("10.3", "10.7")}
    assert differing_fields(report(ages), report(ages)) == ({}, {})


def saved(path: Path, content: object) -> str:
    path.write_text(json.dumps(content))
    return str(path)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    """B takes a tenth longer."""
    slow = report([11.0, 11.1, 11.2, 11.3])
    return saved(tmp_path / "a.json", report([10.0, 10.1, 10.2, 10.3])), saved(tmp_path / "b.json", slow)


def test_the_command_prints_for_people_and_for_programs(
    pair: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *pair]) == 0
    out = capsys.readouterr().out
    assert "NOT COMPARABLE" not in out
    assert "worse" in out
    assert main(["compare", *pair, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["comparable"]) == ("edgedeblur.compare/1", True)
    age = next(row for row in found["metrics"] if row["name"] == "age_p50")
    assert age["change"] == pytest.approx(11.15 / 10.15 - 1)
    assert age["chance"] == pytest.approx(2 / 70)


@pytest.mark.parametrize(("percent", "code"), [("5", ExitCode.QUALITY), ("9.5", ExitCode.QUALITY), ("10", ExitCode.OK)])
def test_a_build_server_stops_at_what_is_slower(
    pair: tuple[str, str], percent: str, code: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *pair, "--fail-slower", percent]) == code
    assert ("slower" in capsys.readouterr().err) is (code == ExitCode.QUALITY)
    assert main(["compare", *pair[::-1], "--fail-slower", percent]) == ExitCode.OK  # faster is no fault


def test_in_saturated_runs_it_is_the_rate_that_counts(tmp_path: Path) -> None:
    a = saved(tmp_path / "a.json", report([10.0, 10.1, 10.2, 10.3], "saturated"))
    slow = report([10.0, 10.1, 10.2, 10.3], "saturated")
    for repeat in slow["repeats"]:
        repeat["fps"] *= 0.8
    assert main(["compare", a, saved(tmp_path / "b.json", slow), "--fail-slower", "20"]) == ExitCode.QUALITY


@pytest.mark.parametrize("header", [{"gpu": "another"}, {"size": [720, 1280]}, {"source_rate": 60.0}])
def test_unlike_things_are_said_to_be_so_and_not_judged(
    tmp_path: Path, header: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    ages = [10.0, 10.1, 10.2, 10.3]
    files = saved(tmp_path / "a.json", report(ages)), saved(tmp_path / "b.json", report(ages, **header))
    assert main(["compare", *files]) == 0
    assert "SPEED IS NOT COMPARABLE" in capsys.readouterr().out
    assert main(["compare", *files, "--fail-slower", "50"]) == ExitCode.USAGE


def test_another_model_may_be_gated_on_the_same_machine(tmp_path: Path) -> None:
    files = (
        saved(tmp_path / "a.json", report([10.0, 10.1, 10.2, 10.3])),
        saved(tmp_path / "b.json", report([20.0, 20.1, 20.2, 20.3], model_sha256="def")),
    )
    assert main(["compare", *files, "--fail-slower", "50"]) == ExitCode.QUALITY


def test_too_few_repeats_do_not_pass_a_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = saved(tmp_path / "a.json", report([10.0, 10.1])), saved(tmp_path / "b.json", report([10.0, 10.1]))
    assert main(["compare", *files, "--fail-slower", "50"]) == ExitCode.USAGE
    assert "3 repeats" in capsys.readouterr().err


def test_summaries_of_runs_are_compared_as_far_as_they_go(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.json", "b.json"):
        assert main(["run", "test://64x48", "--frames", "30", "--json", "--model", str(model)]) == 0
        (tmp_path / name).write_text(capfd.readouterr().out)
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0
    out = capfd.readouterr().out
    assert "inference latency p50" in out
    assert "cannot tell" in out
    assert "within the spread" not in out


WHOLE = report([10.0, 10.1])


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not json",
        "[1, 2]",
        "null",
        '{"schema": 1}',
        '{"schema": "edgedeblur.engine/2", "ms": {}}',
        '{"schema": 1, "ms": {"age": 3}}',
        json.dumps(WHOLE | {"repeats": [3]}),
        json.dumps(WHOLE | {"ms": None}),
        '{"streams": [{}, {}]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_report_is_refused(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.json").write_text(content)
    good = saved(tmp_path / "a.json", WHOLE)
    assert main(["compare", good, str(tmp_path / "b.json")]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert "b.json" in captured.err
    assert captured.out == ""
    assert main(["compare", good, str(tmp_path / "missing.json")]) == ExitCode.USAGE


@pytest.mark.parametrize("part", ["header", "power", "psnr", "mode", "source"])
@pytest.mark.parametrize("value", [None, 3, "x", [], {}])
def test_a_report_that_somebody_edited_does_no_harm(
    part: str, value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited = copy.deepcopy(WHOLE) | {part: value}
    files = saved(tmp_path / "a.json", WHOLE), saved(tmp_path / "b.json", edited)
    assert main(["compare", *files]) in (ExitCode.OK, ExitCode.USAGE)
