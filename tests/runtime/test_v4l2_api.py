"""V4L2's structures and requests are those that the C compiler sees in linux/videodev2.h."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from runtime.sources import v4l2_api as api

HEADER = "linux/videodev2.h"
STRUCTURES = {
    api.Capability: "v4l2_capability",
    api.FormatDescription: "v4l2_fmtdesc",
    api.StepwiseSize: "v4l2_frmsize_stepwise",
    api.FrameSize: "v4l2_frmsizeenum",
    api.Fraction: "v4l2_fract",
    api.StepwiseInterval: "v4l2_frmival_stepwise",
    api.FrameInterval: "v4l2_frmivalenum",
    api.PixFormat: "v4l2_pix_format",
    api.Format: "v4l2_format",
    api.CaptureParameters: "v4l2_captureparm",
    api.StreamParameters: "v4l2_streamparm",
    api.RequestBuffers: "v4l2_requestbuffers",
    api.Timeval: "timeval",
    api.Timecode: "v4l2_timecode",
    api.Buffer: "v4l2_buffer",
    api.QueryControl: "v4l2_queryctrl",
    api.Control: "v4l2_control",
    api.Event: "v4l2_event",
    api.EventSubscription: "v4l2_event_subscription",
    api.DvTimings: "v4l2_dv_timings",
}
OTHER_NAMES = {("v4l2_timecode", "digits"): "frames", ("v4l2_dv_timings", "data"): "bt"}
CONSTANTS = [name for name in dir(api) if re.match(r"[A-Z][A-Z0-9_]+$", name)]


def printed(tmp_path: Path, expressions: list[str]) -> list[int]:
    """What a C program says of each expression."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc to ask about linux/videodev2.h")
    source, program = tmp_path / "ask.c", tmp_path / "ask"
    lines = "\n".join(f'    printf("%llu\\n", (unsigned long long)(unsigned)({one}));' for one in expressions)
    includes = "".join(f"#include <{name}>\n" for name in ("stddef.h", "stdio.h", "sys/time.h", HEADER))
    source.write_text(f"{includes}int main(void) {{\n{lines}\n}}\n")
    done = subprocess.run(["gcc", "-o", str(program), str(source)], capture_output=True, text=True)
    if HEADER in done.stderr and "No such file" in done.stderr:
        pytest.skip(f"no {HEADER} (apt install linux-libc-dev)")
    assert done.returncode == 0, done.stderr
    return [int(line) for line in subprocess.check_output([str(program)], text=True).split()]


def test_sizes_and_places_of_fields(tmp_path: Path) -> None:
    asked, ours = [], []
    for kind, name in STRUCTURES.items():
        asked.append(f"sizeof(struct {name})")
        ours.append(ctypes.sizeof(kind))
        for field, *_ in kind._fields_:
            asked.append(f"offsetof(struct {name}, {OTHER_NAMES.get((name, field), field)})")
            ours.append(getattr(kind, field).offset)
    found = printed(tmp_path, asked)
    wrong = [f"{one}: {is_not} here, {is_so} in C" for one, is_not, is_so in zip(asked, ours, found, strict=True)
             if is_not != is_so]  # fmt: skip
    assert not wrong
    assert len(asked) > 120


def test_numbers_of_requests_and_constants(tmp_path: Path) -> None:
    requests = {f"VIDIOC_{request.name}": int(request) for request in api.Request}
    constants = {f"V4L2_{name}": getattr(api, name) for name in CONSTANTS}
    assert len(requests) > 20
    assert len(constants) > 40
    expected = {**requests, **constants}
    assert dict(zip(expected, printed(tmp_path, list(expected)), strict=True)) == expected


def test_letters_of_formats(tmp_path: Path) -> None:
    formats = {"V4L2_PIX_FMT_YUYV": "YUYV", "V4L2_PIX_FMT_YUV420": "YU12", "V4L2_PIX_FMT_BGR24": "BGR3"}
    assert [api.fourcc(name) for name in formats.values()] == printed(tmp_path, list(formats))
    assert [api.fourcc_name(api.fourcc(name)) for name in formats.values()] == list(formats.values())
    (big_endian,) = printed(tmp_path, ["V4L2_PIX_FMT_Y16_BE"])
    assert api.fourcc_name(big_endian) == "Y16"
    assert api.fourcc_name(0x1B5B32) == "2[??"  # nothing that a terminal obeys
