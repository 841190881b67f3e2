"""The report of a run whose stamps are known: every definition, the cautions, the text and the page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime.measure.meter import Meter, Sample
from runtime.measure.profiles.blocks import Block, WarmUp
from runtime.measure.profiles.cautions import cautions
from runtime.measure.profiles.profile_report import DEFINITIONS, Wanted, profile_report
from runtime.measure.profiles.recording import Recording
from runtime.measure.profiles.stamps import Stamps
from runtime.measure.timing import Timing
from runtime.report.as_text import report_text
from runtime.report.page import report_page
from runtime.sessions.session import GpuTimes
from tests.runtime.test_profile_machine import telemetry
from tests.runtime.test_profile_stamps import stamps

MS = 1_000_000
DROPS = {"superseded": 4, "corrupt": 0, "not_processed_at_stop": 1}


def block(repeat: int, recorded: bool, start_ms: int, frames: int, whole: bool = True) -> Block:
    drops = {"superseded": 2, "corrupt": 0, "not_processed_at_stop": 0}
    end_ms = start_ms + 20 * frames
    return Block(repeat, recorded, start_ms * MS, end_ms * MS, frames, frames + 2, drops, 0.004 * frames, whole)


def recording(taken: Stamps, blocks: list[Block], live: bool = True, watts: float | None = None) -> Recording:
    meter = Meter(lambda: telemetry(watts))
    meter.samples = [Sample(0, telemetry(watts), None), Sample(10**12, telemetry(watts), None)]
    timing = Timing(0)
    timing.delivered, timing.first_frame_ms, timing.first_out_ms = len(taken), 42.0, 1500.0
    timing.by_how.update({"deblurred": len(taken), "held": 3})
    pipeline = SimpleNamespace(captured=len(taken) + 5, drops=lambda: DROPS, source=SimpleNamespace(live=live))
    ages = dict.fromkeys(range(len(blocks)), 11.0)
    warm_up = WarmUp(200, lambda: None)
    return Recording(taken, blocks, ages, warm_up, timing, pipeline, meter, 1.5, None)  # type: ignore[arg-type]


def report(mode: str = "paced", watts: float | None = None, **others: Any) -> dict[str, Any]:
    """A whole one, as the command completes it: 400 frames in two repeats after a warm-up of 10."""
    taken = stamps(410, warm=10, gpu=others.pop("gpu", None))
    blocks = [
        block(0, True, 1200, 200),
        block(0, False, 5200, 50),
        block(1, False, 6200, 50),
        block(1, True, 7200, 200),
    ]
    wanted = Wanted(mode, budget_ms=others.pop("budget_ms", 33.3))
    found = profile_report(recording(taken, blocks, mode == "paced", watts), wanted)
    header = {
        **dict.fromkeys(("device", "gpu", "driver", "power_mode", "engine_key", "copies", "l4t", "model_file")),
        "at": "2026-01-01T00:00:00+00:00",
        "cpu": "some <processor> & more",
        "cores": 2,
        "governor": "schedutil",
        "clocks_locked": False,
        "precision": "fp32",
        "shape": "640x360",
        "in_flight": 1,
        "threads": 4,
        "policy": "newest frame wins",
        "load_average": "0.1",
        "versions": {"numpy": "2.0"},
        "unreadable": {"gpu": "there is none"},
    }
    found |= {"header": header, "source": "a <camera>", "model": "a & model", "notes": [], "interrupted": False}
    found["warm_up"]["load_s"] = 0.5
    found["gpu_ms"] = {name: found["ms"][name] for name in ("upload", "compute", "download")}
    found |= others
    found["cautions"] = cautions(found)
    return found


def test_every_definition_has_its_figure() -> None:
    found = report(watts=5.0)
    assert set(found["ms"]) == set(DEFINITIONS)
    assert found["ms"]["age"] == {
        "n": 400, "mean": 11, "std": 0, "p50": 11, "p90": 11, "p95": 11, "p99": "n too small", "max": 11
    }  # fmt: skip
    assert found["ms"]["compute"]["n"] == 0
    assert found["fps"]["output"] == pytest.approx(50)
    assert found["fps"]["capacity"] == pytest.approx(1000 / 5)  # by the inference, the slowest stage
    assert found["fps"]["bottleneck"] == "inference"
    assert found["deadline"] == {"budget_ms": 33.3, "missed": 0, "share": 0}
    assert found["jitter_ms"] == {"p99_minus_p50": None, "interval_std": pytest.approx(0)}
    assert found["frames"]["drops"] == DROPS
    assert found["frames"]["drops_measured"] == {"superseded": 4, "corrupt": 0}
    assert found["frames"]["by_how"] == {"deblurred": 410, "held": 3}
    assert found["power"]["joules_per_frame"] == pytest.approx(5.0 * 10 / 500)  # 10 s, 500 frames delivered in them
    assert [repeat["delivered"] for repeat in found["repeats"]] == [200, 200]
    assert found["spread"]["fps"] == {
        "median": pytest.approx(50),
        "least": pytest.approx(50),
        "most": pytest.approx(50),
    }
    assert found["profiler_cost"]["speed_ratio"] == pytest.approx([1, 1])
    json.dumps(found, allow_nan=False)


def test_deadlines_that_are_missed_are_counted() -> None:
    assert report(budget_ms=10.9)["deadline"] == {"budget_ms": 10.9, "missed": 400, "share": 1}
    unknown = report(budget_ms=None)["deadline"]
    assert (unknown["share"], unknown["missed"]) == (None, None)
    assert "--budget" in unknown["why"]


def test_the_capacity_of_a_gpu_that_overlaps_is_that_of_its_slowest_part() -> None:
    gpu = GpuTimes(0.5, 4.0, 4.5)
    saturated = report("saturated", gpu=gpu)["fps"]
    assert (saturated["capacity"], saturated["bottleneck"]) == (pytest.approx(1000 / 4.5), "download")
    paced = report("paced", gpu=gpu)["fps"]  # one frame is in flight at a time
    assert (paced["capacity"], paced["bottleneck"]) == (pytest.approx(1000 / 5), "inference")


def test_percentiles_are_those_that_were_asked_for() -> None:
    found = profile_report(
        recording(stamps(1010, warm=10), [block(0, True, 1200, 500), block(1, True, 12000, 500)]),
        Wanted("paced", (Fraction(50), Fraction(99), Fraction("99.9")), 20.0),
    )
    assert found["ms"]["age"]["p99"] == pytest.approx(11)
    assert found["ms"]["age"]["p99.9"] == "n too small"
    assert "p90" not in found["ms"]["age"]
    assert found["jitter_ms"]["p99_minus_p50"] == pytest.approx(0)


def test_a_run_that_ended_in_its_warm_up_says_so() -> None:
    found = profile_report(recording(stamps(6, warm=6), []), Wanted("paced", budget_ms=33.0))
    assert found["warm_up"]["included"]
    assert found["ms"]["age"]["n"] == 6
    assert found["repeats"] == []
    assert found["fps"]["output"] is None or found["fps"]["output"] > 0


def test_a_block_that_was_cut_short_is_no_repeat() -> None:
    blocks = [block(0, True, 1200, 100), block(1, True, 5200, 4, whole=False)]
    found = profile_report(recording(stamps(110, warm=10), blocks), Wanted("paced"))
    assert len(found["repeats"]) == 1
    assert found["spread"] == {}


CAUTIONS: list[tuple[dict[str, Any], str]] = [
    (
        {"throttling": {"seen": ["gpu: power cap"], "events": {"oc3": 7}}},
        "slowed down meanwhile: gpu: power cap, 7 x oc3",
    ),
    ({"processor": {"others": 0.4, "stolen": 0.0}}, "other programs took 40 %"),
    ({"processor": {"others": 0.0, "stolen": 0.2}}, "hypervisor gave 20 %"),
    ({}, "clocks may change with the load (governor schedutil); fixed by: sudo cpupower"),
    ({}, "2 whole repeats cannot show"),
    ({"spread": {"age_p50": {"median": 10.0, "least": 9.0, "most": 12.0}}}, "repeats differ by 30 %"),
    ({"repeats": [{"ms": {"age": {"p50": age}}} for age in (10.0, 20.0, 30.0)]}, "frame age grew in every repeat"),
]


@pytest.mark.parametrize(("others", "expected"), CAUTIONS)
def test_what_spoils_the_numbers_is_said(others: dict[str, Any], expected: str) -> None:
    assert any(expected in caution for caution in report(**others)["cautions"])


def test_a_quiet_machine_needs_no_caution() -> None:
    found = report(processor={"others": 0.01, "stolen": 0.0})
    found["header"]["clocks_locked"] = True
    found["repeats"] = found["repeats"] * 2
    assert cautions(found) == []


def test_the_text_has_every_stage_and_says_what_is_not_known() -> None:
    text = report_text(report())
    for title, _ in DEFINITIONS.values():
        assert title in text
    assert "n/a (no GPU times)" in text
    assert "power: n/a (no sensor)" in text
    assert "3 held" in text
    assert "n too small" in text


class Page(HTMLParser):
    """Collects the tags and what they load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "data", "xlink:href", "action")]

    def handle_data(self, data: str) -> None:
        self.words += data


def everything() -> dict[str, Any]:
    """A report with all parts that a page can have."""
    layers = [{"name": "conv <1>", "ms": 0.3, "type": "Conv", "precision": "INT8"}, {"name": "dcn", "ms": 0.9}]
    speed: dict[str, Any] = {
        "frames": 9,
        "bare_fps": [30.0],
        "pipeline_fps": [29.0],
        "ratio": [0.967],
        "ratio_median": 0.967,
    }
    speed["ratio_of_fastest"] = 0.98
    speed |= {"bare_cpu_ms": 40.0, "pipeline_cpu_ms": 41.0}
    psnr = {"of": "pairs", "frames": 2, "before_db": 23.0, "after_db": 24.5, "pairs": []}
    memory = {"frames": 9, "after_tenth_mib": 80.0, "growth_mib": 0.1}
    others: dict[str, Any] = {
        "layers": layers,
        "speed": speed,
        "psnr": psnr,
        "memory": memory,
        "start_up_s": {"import runtime": 0.02},
    }
    return report(watts=7.5, gpu=GpuTimes(0.5, 4.0, 0.25), **others)


def test_the_page_is_whole_and_loads_nothing() -> None:
    page = Page(report_page(everything(), stamps(410, warm=10, gpu=GpuTimes(0.5, 4.0, 0.25))))
    assert page.loads == []
    assert "script" not in page.tags
    assert page.tags.count("svg") == 7
    for words in ("a <camera>", "conv <1>", "some <processor> & more", "there is none", "7.5", "+1.50", "0.967"):
        assert words in page.words, words
    for title, meaning in DEFINITIONS.values():
        assert title in page.words
        assert meaning in page.words
    assert not re.search(r"nan|inf\b", re.sub(r"inference", "", page.words))


@pytest.mark.parametrize("count", [1, 2, 11, 9000])
def test_a_page_of_few_or_many_frames(count: int) -> None:
    taken = stamps(count, warm=min(10, count - 1))
    found = report()
    found["warm_up"]["included"] = not len(taken.measured)
    page = report_page(found, taken)
    assert "nan" not in page
    assert len(page) < 400_000


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_browser_draws_the_page_light_and_dark(tmp_path: Path) -> None:
    """Light and dark are asked for by the same page, and neither is blank."""
    file = tmp_path / "report.html"
    file.write_text(report_page(everything(), stamps(410, warm=10, gpu=GpuTimes(0.5, 4.0, 0.25))))
    brightness = {}
    for scheme, setting in (("light", 1), ("dark", 0)):
        picture = tmp_path / f"{scheme}.png"
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=900,2400"]
        options += [f"--user-data-dir={tmp_path / scheme}", f"--blink-settings=preferredColorScheme={setting}"]
        command = [str(CHROMIUM), *options, f"--screenshot={picture}", file.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        brightness[scheme] = _pixels(picture)
    assert np.median(brightness["light"]) > 240
    assert np.median(brightness["dark"]) < 60
    for pixels in brightness.values():
        assert pixels.std() > 10


def _pixels(path: Path) -> Any:
    from runtime.sources.image_source import read_image

    return read_image(path).astype(np.float64)
