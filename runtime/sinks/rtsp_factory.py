"""SharedFactory: one pipeline for all who watch a stream, also for who comes just as the last of them leaves."""

from __future__ import annotations

import functools
import threading
import time
from typing import Any

from runtime.gst_import import import_gst

HELD_S = 3.0  # longer than a client takes from asking for a stream to taking part in its pipeline


@functools.cache
def shared_factory_type() -> Any:
    """The class, which exists only once GStreamer's server is loaded. Raises: Failure where it is not installed."""
    rtsp = import_gst("GstRtspServer")

    class SharedFactory(rtsp.RTSPMediaFactory):  # type: ignore[misc, name-defined]
        """GStreamer's own hands out a pipeline that may be ended before its new client takes part in it, or is being
        ended already; that client is refused with 503. Here a pipeline that is handed out is held for a while."""

        __gtype_name__ = "EdgedeblurSharedFactory"

        def __init__(self) -> None:
            super().__init__()
            self.set_shared(True)
            self._media: Any = None  # the newest pipeline, until it is being ended
            self._was_prepared = False
            self._held: list[tuple[Any, float]] = []  # pipelines, each with the time.monotonic until which it is held
            self._number = 0
            self._one = threading.Lock()

        def follow(self, media: Any) -> None:
            """Share this one from now on."""
            with self._one:
                self._media, self._was_prepared = media, False
            media.connect("prepared", self._prepared)

        def let_go(self, at_once: bool = False) -> None:
            """Let pipelines end that were held for long enough, or all; to be called now and then."""
            now = time.monotonic()
            with self._one:
                due = [media for media, until in self._held if at_once or until <= now]
                self._held = [] if at_once else [held for held in self._held if held[1] > now]
                self._media = None if at_once else self._media
            for media in due:
                media.unprepare()

        def do_gen_key(self, url: Any) -> str:
            """Pipelines are shared by those whose key is the same. Called by GStreamer in the thread of a client."""
            with self._one:
                if self._media is not None and self._was_prepared:
                    if self._media.prepare(None):  # which counts who uses it; refused where it is being ended
                        self._held.append((self._media, time.monotonic() + HELD_S))
                    else:
                        self._media, self._number = None, self._number + 1
                return f"{self._number}"

        def _prepared(self, media: Any) -> None:
            self._was_prepared = self._was_prepared or media is self._media

    return SharedFactory
