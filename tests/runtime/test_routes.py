"""Which input goes where, and what a stream is called."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeblur import Failure
from runtime.live.routes import Route, routes_of


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("csi://0", "csi-0"),
        ("/dev/video2", "video2"),
        ("v4l2:///dev/v4l/by-id/usb-ACME_Cam-index0", "usb-ACME_Cam-index0"),
        ("rtsp://user:p@ss/w0rd@10.0.0.9:554/front door?token=abc", "front-door"),
        ("rtsp://10.0.0.9", "10-0-0-9"),
        ("test://640x360@29.97", "test-640x360"),
        ("clips/holiday.mp4", "holiday"),
        ("*.png", "stream"),
        ("gst://videotestsrc is-live=true ! video/x-raw", "gst-videotestsrc"),
        ("gst://rtspsrc location=rtsp://10.0.0.9/live user-pw=s3cret ! decodebin", "gst-rtspsrc"),
        ("rtsp://10.0.0.9:554/user=admin_password=s3cret_channel=1_stream=0.sdp?real_stream", "user"),
        ("gst://souphttpsrc\tlocation=http://h/x password=s3cret", "gst-souphttpsrc"),
        ("http://10.0.0.9/video.cgi?loginpas=s3cret", "video"),
        ("clips/at@home.mp4", "at-home"),
        ("RTSP://10.0.0.9/Stream1", "Stream1"),
        (".", "stream"),
    ],
)
def test_names_say_what_it_is_and_no_secret(uri: str, name: str) -> None:
    assert routes_of(uri, ["null://"])[0].name == name


@given(st.lists(st.text(min_size=1), min_size=1, max_size=8))
def test_names_are_unique_and_fit_urls(inputs: list[str]) -> None:
    names = [route.name for route in routes_of(inputs[0], [], [[uri] for uri in inputs[1:]])]
    assert len(set(names)) == len(inputs)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in names)


def test_more_inputs_have_their_own_outputs() -> None:
    assert routes_of("a.mp4", ["b.mp4", "null://"], [["c.mp4", "d.mp4"], ["a.mp4"]]) == [
        Route("a", "a.mp4", ("b.mp4", "null://")),
        Route("c", "c.mp4", ("d.mp4",)),
        Route("a-2", "a.mp4", ("null://",)),
    ]


def test_a_run_that_is_started_again_writes_other_files() -> None:
    route = routes_of("a.mp4", ["{time}/{name}.mkv"], (), "raw-{time}.mkv")[0]
    assert re.fullmatch(r"\d{8}-\d{6}/a\.mkv", route.outputs[0])
    assert re.fullmatch(r"raw-\d{8}-\d{6}\.mkv", route.input_save)


def test_recordings_of_inputs_are_places_too() -> None:
    routes = routes_of("a.mp4", ["b.mp4"], [["c.mp4"]], "raw-{name}.mkv")
    assert [route.input_save for route in routes] == ["raw-a.mkv", "raw-c.mkv"]
    for outputs, save in ((["b.mkv"], "./b.mkv"), (["null://"], "raw.mkv")):
        with pytest.raises(Failure, match="the same output twice"):
            routes_of("a.mp4", outputs, [["c.mp4"]], save)


@pytest.mark.parametrize(
    ("outputs", "also"),
    [(["x.mp4", "./x.mp4"], []), (["x.mp4"], [["b", "x.mp4"]]), (["null://", "null://"], []), (["http://@:1"] * 2, [])],
)
def test_one_place_takes_one_output(outputs: list[str], also: list[list[str]]) -> None:
    with pytest.raises(Failure, match="the same output twice"):
        routes_of("a.mp4", outputs, also)


def test_a_page_shows_several_streams() -> None:
    assert len(routes_of("a", ["http://@:8080"], [["b", "http://@:8080"]])) == 2
