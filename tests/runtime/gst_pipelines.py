"""Pipelines of the real GStreamer; where it is not installed, who imports this is skipped."""

from __future__ import annotations

import pytest

from edgedeblur import Failure
from runtime.gst_import import import_gst
from runtime.sources.source import Source, SourceOptions, open_source

try:
    GST, VIDEO = import_gst("Gst"), import_gst("GstVideo")
except Failure as failure:
    pytest.skip(str(failure), allow_module_level=True)

LIVE = "gst://videotestsrc is-live=true ! video/x-raw,width=96,height=50,framerate=100/1"


def opened(description: str, timeout_s: float = 4.0) -> Source:
    return open_source(description, SourceOptions(timeout_s=timeout_s))
