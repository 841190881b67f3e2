"""What a route becomes: its outputs and its page, and what goes on where one of them fails."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgedeblur import ExitCode, Failure
from runtime.frame import now_ns
from runtime.live.networks import Networks
from runtime.live.opening import Run, StreamOptions, open_stream
from runtime.live.routes import Route
from runtime.page.page import Page
from runtime.page.page_options import page_options
from runtime.sessions.models import ModelOptions
from runtime.stop import Stop

PAGE = "http://@:0"


@pytest.fixture
def networks(model: Path) -> Iterator[Networks]:
    opened = Networks(ModelOptions(str(model), 1), 1, lambda: (48, 64))
    yield opened
    opened.close()


@pytest.fixture
def page() -> Iterator[Page]:
    served = Page(page_options(PAGE, None, {}))
    yield served
    served.close()


@pytest.mark.parametrize("watched", [False, True])
def test_the_page_goes_on_where_the_only_file_fails(
    networks: Networks, page: Page, tmp_path: Path, watched: bool
) -> None:
    said: list[str] = []
    outputs = (f"{tmp_path}/frames/%i.png", *([PAGE] if watched else []))
    run = Run(now_ns(), Stop(), said.append)
    options = StreamOptions(frames=20)
    stream = open_stream(Route("cam", "test://64x48@100", outputs), networks, options, {PAGE: page}, run)
    shutil.rmtree(tmp_path / "frames")
    with pytest.raises(Failure, match="frames") as caught:  # told at the end, with its exit code
        stream.pipeline.run(run.stop)
    assert caught.value.code == ExitCode.ENVIRONMENT
    if watched:
        assert stream.timing.delivered > 0
        assert said[-1].startswith("an output was given up, 1 go on: ")
    else:
        assert stream.timing.delivered == 0
