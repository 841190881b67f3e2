"""Metrics: the same numbers for Prometheus, in its text format 0.0.4. Times are seconds, as is the custom there."""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from runtime.live.status import State

KIND = "text/plain; version=0.0.4; charset=utf-8"
QUANTILES = {"0.5": "p50", "0.9": "p90", "0.95": "p95", "0.99": "p99"}
IN_FLIGHT = "not_processed_at_stop"  # goes up and down while frames pass: no counter, and no drop before the end
READINGS = {  # of the device: name and unit of what is a number for each of several places
    "temperatures_c": ("temperature_celsius", "gauge", "Temperature by place."),
    "watts": ("power_watts", "gauge", "Power by rail or part."),
    "joules": ("energy_joules_total", "counter", "Energy used by part."),
    "clocks_mhz": ("clock_megahertz", "gauge", "Clock by part."),
    "throttle_events": ("throttle_events_total", "counter", "Times the machine slowed down, by cause."),
}


@dataclass
class Family:
    """One metric with all its labelled values."""

    name: str
    kind: str  # gauge | counter | summary
    help: str
    samples: list[tuple[str, dict[str, str], float]] = field(default_factory=list)  # suffix, labels, value

    def add(self, value: float | None, suffix: str = "", **labels: str) -> None:
        """None is not known and not told."""
        if value is not None:
            self.samples.append((suffix, labels, value))

    def lines(self) -> Iterator[str]:
        if not self.samples:
            return
        yield f"# HELP {self.name} {_escaped(self.help)}"
        yield f"# TYPE {self.name} {self.kind}"
        for suffix, labels, value in self.samples:
            pairs = ",".join(f'{key}="{_escaped(text, quote=True)}"' for key, text in labels.items())
            yield f"{self.name}{suffix}{f'{{{pairs}}}' if pairs else ''} {_number(value)}"


def metrics_text(stats: Mapping[str, Any]) -> str:
    """stats: what `Reports.stats` gives."""
    families = [*_stream_families(stats["streams"]), *_device_families(stats["device"] or {})]
    families += [*_page_families(stats["page"]), *_process_families()]
    return "".join(f"{line}\n" for family in families for line in family.lines())


def _stream_families(streams: list[dict[str, Any]]) -> list[Family]:
    families = [*_source_families(streams), *_frame_families(streams)]
    stages = Family("edgedeblur_stage_seconds", "summary", "Time by stage; age is from capture to the outputs.")
    for stream in streams:
        for stage, row in stream["ms"].items():
            if row["n"]:
                labels = {"stream": stream["name"], "stage": stage}
                for quantile, key in QUANTILES.items():
                    if isinstance(row[key], float):  # else there are too few to say
                        stages.add(row[key] / 1000, quantile=quantile, **labels)
                stages.add(row["mean"] * row["n"] / 1000, "_sum", **labels)
                stages.add(row["n"], "_count", **labels)
    return [*families, stages]


def _source_families(streams: list[dict[str, Any]]) -> list[Family]:
    info = Family("edgedeblur_stream_info", "gauge", "Always 1; what the stream is made of.")
    healthy = Family("edgedeblur_source_healthy", "gauge", "1 while the source gives frames.")
    states = Family("edgedeblur_source_state", "gauge", "1 for the state that the source is in.")
    reconnects = Family("edgedeblur_source_reconnects_total", "counter", "Times that the source came back.")
    rungs = Family("edgedeblur_ladder_rung", "gauge", "Always 1; what the ladder of --target-fps runs now.")
    steps = Family("edgedeblur_ladder_steps_total", "counter", "Steps down and up of that ladder.")
    for stream in streams:
        name = stream["name"]
        info.add(1, stream=name, source=stream["source"], model=stream["model"])
        healthy.add(int(stream["healthy"]), stream=name)
        for state in get_args(State):
            states.add(int(stream["state"] == state), stream=name, state=state)
        reconnects.add(stream["reconnects"], stream=name)
        if "rung" in (steering := stream["steering"]):
            rungs.add(1, stream=name, rung=steering["rung"])
            steps.add(steering["steps"], stream=name)
    return [info, healthy, states, reconnects, rungs, steps]


def _frame_families(streams: list[dict[str, Any]]) -> list[Family]:
    captured = Family("edgedeblur_frames_captured_total", "counter", "Frames that the source gave.")
    delivered = Family("edgedeblur_frames_delivered_total", "counter", "Frames that went out, repeats left out.")
    by_how = Family("edgedeblur_frames_out_total", "counter", "Pictures that went out, by how they came to be.")
    dropped = Family("edgedeblur_frames_dropped_total", "counter", "Frames that did not go out, by cause.")
    fps = Family("edgedeblur_frames_per_second", "gauge", "Unique frames a second over the last 5 s.")
    age = Family("edgedeblur_recent_age_seconds", "gauge", "Age of frames when they left, over the last 5 s.")
    silence = Family("edgedeblur_seconds_since_last_frame", "gauge", "Time since a unique frame went out.")
    for stream in streams:
        name, now = stream["name"], stream["now"]
        captured.add(stream["captured"], stream=name)
        delivered.add(stream["delivered"], stream=name)
        for how, count in stream["by_how"].items():
            by_how.add(count, stream=name, how=how)
        for cause, count in stream["drops"].items():
            if cause != IN_FLIGHT:
                dropped.add(count, stream=name, cause=cause)
        fps.add(now["fps"], stream=name)
        for key, statistic in (("age_p50_ms", "p50"), ("age_max_ms", "max")):
            age.add(None if now[key] is None else now[key] / 1000, stream=name, statistic=statistic)
        silence.add(stream["seconds_since_last_frame"], stream=name)
    return [captured, delivered, by_how, dropped, fps, age, silence]


def _device_families(device: Mapping[str, Any]) -> list[Family]:
    families = []
    for key, (name, kind, words) in READINGS.items():
        family = Family(f"edgedeblur_device_{name}", kind, words)
        for place, value in (device.get(key) or {}).items():
            family.add(value, place=place)
        families.append(family)
    total = Family("edgedeblur_device_power_total_watts", "gauge", "Power of the machine, as far as it is known.")
    total.add(device.get("watts_total"))
    throttled = Family("edgedeblur_device_throttled", "gauge", "1 while the machine is slowed down.")
    throttling = device.get("throttling")
    throttled.add(None if throttling is None else int(bool(throttling)))
    return [*families, total, throttled]


def _page_families(page: Mapping[str, Any]) -> list[Family]:
    words = {
        "viewers": ("edgedeblur_page_viewers", "gauge", "Clients that watch."),
        "pictures": ("edgedeblur_page_pictures_total", "counter", "Pictures encoded for viewers."),
        "encode_s": ("edgedeblur_page_encode_seconds_total", "counter", "Processor time of encoding them."),
    }
    return [Family(*words[key], samples=[("", {}, value)]) for key, value in page.items() if key in words]


def _process_families() -> list[Family]:
    """What Prometheus' own clients tell of every program."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = Family("process_cpu_seconds_total", "counter", "Processor time of this program.")
    cpu.add(usage.ru_utime + usage.ru_stime)
    memory = Family("process_resident_memory_bytes", "gauge", "Memory of this program.")
    files = Family("process_open_fds", "gauge", "Open files of this program.")
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            memory.add(int(statm.read().split()[1]) * resource.getpagesize())
        files.add(len(os.listdir("/proc/self/fd")))
    except OSError:
        pass  # without /proc it is not known
    return [cpu, memory, files]


def _number(value: float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if isinstance(value, int) else repr(value)


def _escaped(text: str, quote: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quote else text
