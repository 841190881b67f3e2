"""SharedFactory: one pipeline for all who watch a stream, and a new one for who comes while the last of them leaves."""

from __future__ import annotations

import functools
import threading
from typing import Any

from runtime.gst_import import import_gst


@functools.cache
def shared_factory_type() -> Any:
    """The class, which exists only once GStreamer's server is loaded. Raises: Failure where it is not installed."""
    rtsp = import_gst("GstRtspServer")
    usable = (rtsp.RTSPMediaStatus.PREPARING, rtsp.RTSPMediaStatus.PREPARED, rtsp.RTSPMediaStatus.SUSPENDED)

    class SharedFactory(rtsp.RTSPMediaFactory):  # type: ignore[misc, name-defined]
        """GStreamer's own shares the pipeline that is being ended, too: who comes meanwhile is refused with 503."""

        __gtype_name__ = "EdgedeblurSharedFactory"

        def __init__(self) -> None:
            super().__init__()
            self.set_shared(True)
            self._media: Any = None  # the newest, until it is being ended
            self._was_prepared = False
            self._number = 0
            self._one = threading.Lock()

        def follow(self, media: Any) -> None:
            """Share this one from now on."""
            with self._one:
                self._media, self._was_prepared = media, False
            media.connect("prepared", self._prepared)

        def forget(self) -> None:
            """Share no pipeline any more."""
            with self._one:
                self._media = None

        def do_gen_key(self, url: Any) -> str:
            """Pipelines are shared by those whose key is the same. Called by GStreamer in the thread of a client."""
            with self._one:
                if self._media is not None and self._is_ending(self._media):
                    self._media, self._number = None, self._number + 1
                return f"{self._number}"

        def _prepared(self, media: Any) -> None:
            self._was_prepared = self._was_prepared or media is self._media

        def _is_ending(self, media: Any) -> bool:
            return self._was_prepared and media.get_status() not in usable

    return SharedFactory
