"""Numbers, health and metrics: true, in a form that machines read, and no dearer for many that ask."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.measure.summary import STAGES
from runtime.page import channel, page, reports
from runtime.page.metrics import Family, metrics_text
from runtime.page.reports import Shared
from tests.runtime.page.conftest import Serve
from tests.runtime.page.serving import Served, until

TELEMETRY: dict[str, Any] = {
    "temperatures_c": {'cpu "big"': 61.5, "back\\slash\nline": math.nan},
    "watts": {"VDD_IN": 7.25},
    "watts_total": 7.25,
    "joules": {"package-0": 12.0},
    "clocks_mhz": {"gpu": math.inf},
    "throttling": [],
    "throttle_events": {"oc1": 2},
    "unreadable": {},
}


def stats(served: Served) -> Any:
    return json.loads(served.get("/stats.json")[2])


def test_the_numbers_are_those_of_the_stream(serve: Serve) -> None:
    served = serve(telemetry=lambda: TELEMETRY)
    running = served.front
    until(lambda: running.timing.delivered > 20)
    report = stats(served)
    (stream,) = report["streams"]
    assert stream["name"] == "front"
    assert 20 < stream["delivered"] <= running.timing.delivered
    assert stream["size"] == [180, 320]
    assert stream["views"] == ["output", "side-by-side", "split"] or set(stream["views"]) >= {"output", "split"}
    assert stream["ms"]["age"]["p50"] > 0
    assert report["device"]["temperatures_c"] == {'cpu "big"': 61.5, "back\\slash\nline": None}
    assert report["page"]["viewers"] == 0


def test_many_that_ask_cost_one_reading_a_second(serve: Serve) -> None:
    calls = []
    served = serve(scenes={}, telemetry=lambda: calls.append(1) or {"watts": {}})  # type: ignore[func-returns-value]
    start_s = time.monotonic()
    for _ in range(30):
        assert served.get("/stats.json")[0] == 200
    assert len(calls) <= 1 + (time.monotonic() - start_s) / reports.FRESH_S


def test_a_reading_that_hangs_keeps_nobody_waiting() -> None:
    blocked, values = threading.Event(), iter([1, 2])

    def read() -> int:
        value = next(values)
        if value == 2:
            blocked.wait(10)
        return value

    shared = Shared(read, 0)
    assert shared.get() == 1
    shared._at_s = -math.inf
    hanging = threading.Thread(target=shared.get)
    hanging.start()
    until(shared._reading.locked)
    assert shared.get() == 1
    blocked.set()
    hanging.join(5)
    assert shared.get() == 2


def test_a_device_that_fails_hides_nothing_else(serve: Serve) -> None:
    def fail() -> Mapping[str, Any]:
        raise OSError("the sensor is gone")

    served = serve(telemetry=fail)
    until(lambda: served.front.timing.delivered > 2)
    report = stats(served)
    assert report["streams"][0]["delivered"] > 0
    assert "the sensor is gone" in report["device"]["unreadable"]["device"]
    assert served.get("/metrics")[0] == 200


def test_health_is_of_the_source_and_of_what_goes_out(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "FRESH_NS", 1_000_000_000)
    until(lambda: served.get("/health")[0] == 200)
    served.front.camera.unplug()
    status, _, body = served.get("/health")
    assert status == 503
    assert json.loads(body)["streams"]["front"] == {"ok": False, "state": "lost", "reason": "the cable was pulled"}
    served.front.status.change("live")  # it says so, and no frame comes
    until(lambda: served.get("/health")[0] == 503, 5)
    served.front.camera.plug()
    until(lambda: served.get("/health")[0] == 200)


def test_health_of_one_stream_and_of_all(serve: Serve) -> None:
    served = serve(scenes={"left": "test://48x32@30", "right": "test://48x32@30"})
    until(lambda: served.get("/health")[0] == 200)
    served.running["left"].camera.unplug()
    assert served.get("/health")[0] == 503
    assert served.get("/health?stream=right")[0] == 200
    assert served.get("/health?stream=left")[0] == 503
    assert served.get("/health?stream=other")[0] == 404


def test_without_streams_nothing_is_well(bare: Served) -> None:
    assert bare.get("/health")[0] == 503
    assert bare.get("/stream.mjpg")[0] == bare.get("/snapshot.jpg")[0] == 503
    assert stats(bare)["streams"] == []


SAMPLE = re.compile(
    r'([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (NaN|[+-]Inf|[-+\d.e]+)'
)
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"')
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> tuple[dict[str, str], Samples]:
    """Kinds and samples of a text in the format 0.0.4; strict: each family in one piece, told before its samples."""
    assert text.endswith("\n")
    kinds: dict[str, str] = {}
    samples: Samples = {}
    told, current = "", ""
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            told = line.split(" ")[2]
        elif line.startswith("# TYPE "):
            _, _, current, kind = line.split(" ")
            assert told == current
            assert current not in kinds
            assert kind in ("counter", "gauge", "summary")
            kinds[current] = kind
        else:
            parts = SAMPLE.fullmatch(line)
            assert parts, line
            suffixes = ("", "_sum", "_count") if kinds[current] == "summary" else ("",)
            assert parts[1] in [current + suffix for suffix in suffixes]
            unescaped = {
                name: re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], value)
                for name, value in LABEL.findall(parts[2] or "")
            }
            key = parts[1], frozenset(unescaped.items())
            assert key not in samples
            samples[key] = float(parts[3])
    return kinds, samples


def test_metrics_are_what_prometheus_reads(serve: Serve) -> None:
    served = serve(telemetry=lambda: TELEMETRY)
    until(lambda: served.front.timing.delivered > 20)
    status, headers, body = served.get("/metrics")
    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    kinds, samples = parsed(body.decode())
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in kinds.items())
    front = frozenset({("stream", "front")})
    assert 20 < samples["edgedeblur_frames_delivered_total", front] <= served.front.timing.delivered
    assert samples["edgedeblur_source_healthy", front] == 1
    assert samples["edgedeblur_source_state", front | {("state", "live")}] == 1
    assert samples["edgedeblur_source_state", front | {("state", "lost")}] == 0
    assert 0 < samples["edgedeblur_stage_seconds", front | {("stage", "age"), ("quantile", "0.5")}] < 1
    age = front | {("stage", "age")}
    assert 0 < samples["edgedeblur_stage_seconds_sum", age] < samples["edgedeblur_stage_seconds_count", age]
    assert samples["edgedeblur_frames_dropped_total", front | {("cause", "superseded")}] >= 0
    assert not any(("cause", "not_processed_at_stop") in labels for _, labels in samples)
    assert samples["edgedeblur_device_temperature_celsius", frozenset({("place", 'cpu "big"')})] == 61.5
    assert samples["edgedeblur_device_throttled", frozenset()] == 0
    assert samples["process_resident_memory_bytes", frozenset()] > 1e6


def test_the_rung_of_a_ladder_is_told(served: Served) -> None:
    report = served.page._reports.stats()
    (stream,) = report["streams"]
    told = {**stream, "steering": {"rung": 'edge-n at "half" size', "steps": 3, "guarded": 1}}
    _, samples = parsed(metrics_text({**report, "streams": [told]}))
    front = frozenset({("stream", "front")})
    assert samples["edgedeblur_ladder_steps_total", front] == 3
    assert samples["edgedeblur_ladder_rung", front | {("rung", 'edge-n at "half" size')}] == 1
    assert "edgedeblur_ladder" not in metrics_text(report)


def test_the_page_shows_every_stage_that_is_measured() -> None:
    script = (Path(page.__file__).parent / "page.js").read_text()
    shown = re.search(r"^const STAGES = \{(.*?)\};", script, re.DOTALL | re.MULTILINE)
    assert shown
    assert re.findall(r"(\w+): \"", shown[1]) == list(STAGES)


def test_counters_only_grow(served: Served) -> None:
    until(lambda: served.front.timing.delivered > 20)
    before = parsed(served.get("/metrics")[2].decode())
    time.sleep(1)
    after = parsed(served.get("/metrics")[2].decode())
    for (name, labels), value in before[1].items():
        if before[0].get(name) == "counter":
            assert after[1][name, labels] >= value, name


@given(st.text(), st.text(), st.one_of(st.integers(), st.floats(allow_nan=False)))
def test_any_label_survives(label: str, words: str, value: float) -> None:
    family = Family("edgedeblur_x", "gauge", f"Says {words}")
    family.add(value, place=label)
    _, samples = parsed("".join(f"{line}\n" for line in family.lines()))
    assert samples == {("edgedeblur_x", frozenset({("place", label)})): float(value)}
