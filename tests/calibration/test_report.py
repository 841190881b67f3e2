"""The report: strict JSON, and a page that nothing from outside can break."""

from __future__ import annotations

import base64
import copy
import json
import math
import re
import unicodedata
from html.parser import HTMLParser
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.report.as_json import report_bytes
from calibration.report.charts import settling_line, shares_bar, signed_bar
from calibration.report.crops import amplified_difference, worst_region
from calibration.report.page import AMPLIFIED, SIDE, WorstFrame, report_page
from runtime.frame import Image
from runtime.report.markup import html_text, number, tag

HOSTILE = '<script>alert(1)</script>&".png'
VOID = {"meta", "img", "wbr", "br"}


def row(precision: str, psnr: float | None, to_fp32: float | None, drop: float | None) -> dict[str, Any]:
    return {
        "precision": precision,
        "psnr": psnr,
        "ssim": None if psnr is None else 0.8125,
        "psnr_to_fp32": to_fp32,
        "ssim_to_fp32": 0.9987,
        "drop_db": drop,
        "worst_drop_db": None if drop is None else 2 * drop,
    }


def layer(name: str, precision: str, macs: int, cost: float | None, why: str = "") -> dict[str, Any]:
    largest = 3.21 if precision == "int8" else None
    return {
        "name": name,
        "kind": "conv_transpose",
        "precision": precision,
        "macs": macs,
        "range": largest,
        "cost_db": cost,
        "why": why,
    }


def make_report(name: str = "m") -> dict[str, Any]:
    """A small report; every string in it that comes from outside begins with `name`."""
    chosen = {"name": f"{name}frame", "why": "darkest", "sharpness": 7.5, "brightness": 12.0, "contrast": 3.0}
    return {
        "schema": 1,
        "model": f"{name}.onnx",
        "model_sha256": "5f" * 32,
        "preset": f"{name}preset",
        "output": f"{name}.int8.onnx",
        "precision": "int8",
        "deform": "gather",
        "method": "mse",
        "reference": "edge-n.onnx",
        "budget_db": 0.1,
        "passed": True,
        "versions": {"edgedeblur": "0.1.0"},
        "frames": {
            "source": f"{name}source",
            "seen": 20,
            "held_out": True,
            "chosen": [chosen],
            "settling": [{"frames": 1, "psnr_to_fp32": 47.1}, {"frames": 2, "psnr_to_fp32": 49.25}],
        },
        "quality": [
            {
                "set": f"{name}pairs",
                "frames": 2,
                "truth": True,
                "rows": [
                    row("fp32", 31.5, math.inf, 0.0),
                    row("fp16", 31.49, math.inf, 0.01),
                    row("int8", 31.46, 48.5, 0.04),
                ],
            },
            {"set": f"{name}video", "frames": 1, "truth": False, "rows": [row("int8", None, 47.5, 0.07)]},
        ],
        "layers": [
            layer(f"{name}.cheap", "int8", 700, 0.002),
            layer(f"{name}.unknown", "int8", 100, None),
            layer(f"{name}.dear", "fp16", 200, 0.31, f"{name} would lose too much"),
            layer(f"{name}.gains", "int8", 0, -0.01),
        ],
        "macs": {"size": [720, 1280], "int8": 3 * 10**9, "fp16": 10**9, "fp32": 0},
        "bias_corrected": 3,
        "evaluations": 17,
        "half": [{"node": f"{name}/MatMul", "why": f"{name} reaches 1e+05"}],
    }


def make_worst(name: str = "m", size: tuple[int, int] = (150, 201), sharp: bool = True) -> WorstFrame:
    rng = np.random.default_rng(0)
    fp32, found, truth = (rng.integers(0, 256, (*size, 3)).astype(np.uint8) for _ in range(3))
    return WorstFrame(f"{name}pairs", f"{name}.png", 0.08, 44.0, fp32, found, truth if sharp else None)


class Page(HTMLParser):
    """A page taken apart: its elements in order, the text that is seen, the pictures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, "elements are closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "wbr":  # some versions of Python close it, which browsers overlook
            return
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text += data

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]

    @property
    def pictures(self) -> list[Image]:
        sources = [attributes["src"] or "" for tag, attributes in self.elements if tag == "img"]
        assert all(source.startswith("data:image/png;base64,") for source in sources)
        data = [np.frombuffer(base64.b64decode(source.split(",")[1]), np.uint8) for source in sources]
        return [np.asarray(cv2.imdecode(one, cv2.IMREAD_COLOR), np.uint8) for one in data]


def strict(data: bytes) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(data, parse_constant=refuse)


def test_json_holds_the_report_and_null_for_what_json_has_no_number_for() -> None:
    report = make_report()
    report["layers"][0]["cost_db"] = math.nan
    report["layers"][1]["range"] = np.float32(1.5)
    report["layers"][1]["macs"] = np.int64(2**40)
    report["macs"]["size"] = (720, 1280)
    found = strict(report_bytes(report))
    assert found["quality"][0]["rows"][0]["psnr_to_fp32"] is None
    assert found["layers"][0]["cost_db"] is None
    assert (found["layers"][1]["range"], found["layers"][1]["macs"]) == (1.5, 2**40)
    assert found["macs"]["size"] == [720, 1280]
    assert list(found) == list(report)
    assert math.isinf(report["quality"][0]["rows"][0]["psnr_to_fp32"]), "the report itself is left alone"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.floats(width=32).map(np.float32),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), values, max_size=4))
def test_json_is_strict_whatever_it_holds(report: dict[str, Any]) -> None:
    assert list(strict(report_bytes(report))) == list(report)
    assert report_bytes(report) == report_bytes(copy.deepcopy(report))


def test_json_refuses_what_it_cannot_tell() -> None:
    with pytest.raises(TypeError, match="ndarray"):
        report_bytes({"range": np.zeros(3)})


def test_the_page_needs_nothing_else_and_is_the_same_again() -> None:
    page = report_page(make_report(), [make_worst()])
    assert page == report_page(make_report(), [make_worst()])
    parsed = Page(page)
    assert not {"script", "link", "iframe", "object", "base", "form"} & set(parsed.tags)
    addresses = {"src", "href", "srcset", "xlink:href", "action", "background", "poster"}
    for element, attributes in parsed.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert all((attributes[name] or "").startswith("data:") for name in addresses & set(attributes)), element
    assert "url(" not in page
    assert "@import" not in page


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from([HOSTILE, "</style><img src=x onerror=y>", "]]>--><!--", "&lt;b&gt;"]) | st.text(max_size=30)
)
def test_names_are_text_whatever_they_are(name: str) -> None:
    """Every string from outside is put in everywhere, and the page has the same elements as with harmless names."""
    kept = "".join(
        character
        for character in name
        if character not in "./\r\0" and (character in "\n\t" or not is_control(character))
    )
    parsed = Page(report_page(make_report(f"_{kept}_"), [make_worst(kept)]))
    harmless = Page(report_page(make_report("m"), [make_worst("m")]))
    assert parsed.tags == harmless.tags
    for part in (
        "_.int8.onnx",
        "_source",
        "_pairs",
        "_frame",
        "_.dear",
        "_preset",
        "_ would lose",
        "_/MatMul",
        "_ reaches",
    ):
        assert f"_{kept}{part}" in parsed.text


def is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"


@given(st.text(st.characters(categories=["Cc"]), min_size=1, max_size=5))
def test_control_characters_of_names_are_seen_and_not_in_the_page(name: str) -> None:
    page = report_page(make_report(f"a{name}b"), [])
    assert not any(is_control(character) for character in page.replace("\n", "").replace("\t", ""))
    shown = "".join(character if character in "\n\t" else f"\\x{ord(character):02x}" for character in name)
    assert f"a{shown}b.int8.onnx" in page


def test_a_name_that_is_no_utf8_can_be_written() -> None:
    page = report_page(make_report("caf\udce9"), [make_worst("caf\udce9")])
    assert "caf\\udce9.int8.onnx" in page.encode().decode()
    assert b"caf\\udce9" in report_bytes(make_report("caf\udce9"))


def test_figures_that_are_missing_or_infinite() -> None:
    report = make_report()
    for line in report["quality"]:
        for found in line["rows"]:
            found.update(psnr=math.nan, ssim=math.nan, ssim_to_fp32=None, drop_db=math.nan, worst_drop_db=-math.inf)
    report["layers"][0].update(cost_db=math.inf, range=math.nan)
    report["frames"]["settling"] = [{"frames": 1, "psnr_to_fp32": math.inf}, {"frames": 2, "psnr_to_fp32": None}]
    report["frames"]["chosen"][0]["sharpness"] = None
    report["macs"].update(int8=0, fp16=0)
    worst = make_worst()
    text = Page(report_page(report, [WorstFrame("s", "n", math.nan, math.inf, worst.fp32, worst.fp32, None)])).text
    assert not re.findall(r"-?\b(?:nan|inf|None)\b", text)
    assert "PSNR to FP32: equal" in text
    assert "— dB" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.25, "1.250"), (-0.0001, "0.000"), (-0.2, "-0.200"), (None, "—"), (math.nan, "—"), (-math.inf, "—")],
)
def test_number(value: float | None, text: str) -> None:
    assert number(value, ".3f") == text
    assert number(math.inf, ".3f", "equal") == "equal"


def test_the_headline_names_the_largest_drop_and_what_is_estimated() -> None:
    text = Page(report_page(make_report(), [])).text
    assert "0.070 dBlost in the mean, mvideo (estimated: no sharp frames)" in text
    assert "0.140 dBlost on the worst frame, mvideo (estimated" in text
    assert "75.0%of multiply-accumulates in INT8" in text
    assert text.count("0.070 (estimated)") == 1
    assert "0.040 (estimated)" not in text
    assert "none of them is a calibration frame" in text
    assert "on crops of these very frames" in text


def test_only_a_search_is_said_to_have_measured_crops() -> None:
    report = make_report()
    report["evaluations"] = 0
    assert "crops of these" not in Page(report_page(report, [])).text


def test_a_refusal_says_so_and_what_to_do() -> None:
    report = make_report()
    report["passed"] = False
    report["frames"]["held_out"] = False
    text = Page(report_page(report, [])).text
    assert "refused" in text
    assert "passed" not in text
    assert "The INT8 graph loses 0.07 dB; expected at most 0.1 dB; most is lost by m.cheap (0.002 dB): keep" in text
    assert "keep such layers in FP16 (--plan)" in text
    assert "these were calibrated on" in text
    report["budget_db"] = 0.005
    assert "in FP32, since FP16 alone loses 0.01 dB (--plan)" in Page(report_page(report, [])).text
    report["budget_db"] = 0.1
    report["frames"]["held_out"] = None
    assert "is not checked" in Page(report_page(report, [])).text
    for line in report["layers"]:
        line["cost_db"] = None
    text = Page(report_page(report, [])).text
    assert "--plan" not in text
    assert "--data" in text
    for line in report["layers"]:
        line["precision"] = "fp16"
    assert "No layer is INT8; expected some" in Page(report_page(report, [])).text
    report["budget_db"] = 0.005
    assert "FP16 alone loses 0.01 dB; expected at most 0.005 dB" in Page(report_page(report, [])).text


def test_every_layer_is_listed_dearest_first() -> None:
    text = Page(report_page(make_report(), [])).text
    places = [text.index(name) for name in ("m.dear", "m.cheap", "m.gains", "m.unknown")]
    assert places == sorted(places)
    assert text.count("not measured") == 1
    assert "measured for 3 of 4 layers" in text
    assert "m would lose too much" in text
    assert "70.0%" in text
    assert "conv transpose" in text


def test_an_fp16_graph_has_no_layers_to_show() -> None:
    report = make_report()
    report.update(precision="fp16", layers=[], half=[], macs={"size": [720, 1280], "int8": 0, "fp16": 5, "fp32": 5})
    text = Page(report_page(report, [make_worst()])).text
    assert "FP16 graph of m.onnx" in text
    assert "of multiply-accumulates in INT8" not in text
    assert "0.010 dBlost in the mean" in text
    assert "Layers" not in text
    assert "No node" in text
    assert "where FP16 and FP32 differ" not in text
    assert "FP16 - FP32" in text


def test_worst_frames_show_the_very_pixels() -> None:
    worst = make_worst(size=(150, 201))
    found = worst.fp32.copy()
    found[20:23, 190:195] ^= 8  # the largest difference lies near a corner
    found[140, 3, 1] ^= 1
    frame = WorstFrame("pairs", "a.png", 0.1, 50.0, worst.fp32, found, worst.sharp)
    page = Page(report_page(make_report(), [frame]))
    fp32, int8, difference, sharp = page.pictures
    rows, columns = worst_region(found, worst.fp32, SIDE)
    assert fp32.shape == (SIDE, SIDE, 3)
    assert rows.start <= 20
    assert columns.stop >= 195
    np.testing.assert_array_equal(fp32, worst.fp32[rows, columns])
    np.testing.assert_array_equal(int8, found[rows, columns])
    assert worst.sharp is not None
    np.testing.assert_array_equal(sharp, worst.sharp[rows, columns])
    changed = int8.astype(int) - fp32
    np.testing.assert_array_equal(difference, (128 + AMPLIFIED * changed).clip(0, 255))
    assert set(np.unique(difference[changed == 0])) == {128}
    assert {0, 255} <= set(np.unique(difference))


@pytest.mark.parametrize("size", [(9, 9), (17, 300), (200, 12), (SIDE, SIDE)])
def test_small_frames_are_shown_whole(size: tuple[int, int]) -> None:
    page = Page(report_page(make_report(), [make_worst(size=size, sharp=False)]))
    shown = (min(size[0], SIDE), min(size[1], SIDE), 3)
    assert [picture.shape for picture in page.pictures] == [shown] * 3
    assert "sharp" not in [attributes.get("alt") for _, attributes in page.elements]
    assert "estimated: no sharp frame)" in page.text


@settings(deadline=None)
@given(height=st.integers(1, 9), width=st.integers(1, 9), side=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_worst_region_is_the_worst(height: int, width: int, side: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image, reference = (rng.integers(0, 256, (height, width, 3)).astype(np.uint8) for _ in range(2))
    squares = (image.astype(int) - reference) ** 2
    tall, wide = min(side, height), min(side, width)
    rows, columns = worst_region(image, reference, side)
    assert squares[rows, columns].shape == (tall, wide, 3)
    others = [
        squares[top : top + tall, left : left + wide].sum()
        for top in range(height - tall + 1)
        for left in range(width - wide + 1)
    ]
    assert squares[rows, columns].sum() == max(others)


def test_amplified_difference_is_clipped_on_both_sides() -> None:
    image, reference = (np.array([[[0, 255, 100]]], np.uint8), np.array([[[255, 0, 98]]], np.uint8))
    assert amplified_difference(image, reference, 16).tolist() == [[[0, 255, 160]]]


def rectangles(svg: Any) -> list[tuple[float, float, str]]:
    return [(float(r.get("x")[:-1]), float(r.get("width")[:-1]), r.get("class")) for r in svg.iter("rect")]


def test_shares_stand_end_to_end() -> None:
    bars = rectangles(shares_bar([("int8", 0.625), ("fp16", 0.0), ("fp32", 0.375)], "all"))
    assert bars == [(0.0, 62.5, "int8"), (62.5, 37.5, "fp32")]


def test_bars_lie_either_side_of_zero() -> None:
    assert rectangles(signed_bar(0.3, -0.1, 0.3, "int8")) == [(25.0, 75.0, "int8")]
    assert rectangles(signed_bar(-0.1, -0.1, 0.3, "int8")) == [(0.0, 25.0, "int8")]
    assert rectangles(signed_bar(0.0, 0.0, 0.0, "int8")) == [(0.0, 0.0, "int8")]


@given(
    st.lists(st.tuples(st.integers(1, 10_000), st.floats(0, 100)), min_size=1, max_size=30, unique_by=lambda p: p[0])
)
def test_the_settling_line_stays_in_its_drawing_and_its_figures_apart(points: list[tuple[int, float]]) -> None:
    points = sorted(points)
    svg = settling_line(points, "PSNR, dB", "frames")
    xs, ys = (np.array([float(circle.get(key) or "") for circle in svg.iter("circle")])[::-1] for key in ("cx", "cy"))
    assert len(xs) == len(points)
    assert (np.diff(xs) >= 0).all()
    assert ((xs >= 0) & (xs <= 640) & (ys >= 20) & (ys <= 170)).all()
    higher = np.array([value for _, value in points])
    assert (np.diff(ys)[np.diff(higher) > 0.5] < 0).all(), "more is higher up"
    counts = sorted(float(text.get("x") or "") for text in svg.iter("text") if text.get("y") == "186.0")
    assert (np.diff(counts) >= 39.9).all()
    assert f"{points[-1][1]:.2f}" in [text.text for text in svg.iter("text")]


def test_what_hardly_changes_looks_level() -> None:
    svg = settling_line([(1, 50.00), (2, 50.01), (4, 50.02)], "PSNR, dB", "frames")
    ys = [float(circle.get("cy") or "") for circle in svg.iter("circle")]
    assert max(ys) - min(ys) < 5


def test_text_and_elements_keep_their_order() -> None:
    assert html_text(tag("p", "a<", tag("b", "c"), "d", "&e", data_x='"', class_="k")) == (
        '<!doctype html>\n<p data-x="&quot;" class="k">a&lt;<b>c</b>d&amp;e</p>\n'
    )
