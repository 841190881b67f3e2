"""RtspServe: the stream served from this machine, `rtsp://@:8554/NAME`, by GStreamer's RTSP server."""

from __future__ import annotations

import threading
from typing import Any

from edgedeblur import Failure
from runtime.frame import Frame, Image, size_text
from runtime.gst_import import import_gst
from runtime.sinks.encoder import threads_for
from runtime.sinks.file_clock import believable_rate
from runtime.sinks.gst_encoder import launch_text, working_encoder
from runtime.sinks.rtsp_address import RtspAddress
from runtime.sinks.rtsp_factory import shared_factory_type
from runtime.sinks.rtsp_feed import RtspFeed
from runtime.sinks.rtsp_server import open_server
from runtime.sinks.sink import SinkOptions
from runtime.sinks.stream_encoder import stream_bitrate

SENT = "rtsp://HOST:8554/NAME"
# The queue is what makes the newest frame win: it drops its oldest when the encoder or a network is behind.
PIPELINE = (
    "( appsrc name=frames is-live=true format=time block=false "
    "! queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0 "
    "! {encoder} ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)


class RtspServe:
    """Any number of clients watch one encoder, which runs only while somebody does. None of them can slow the pipeline:
    a slow one is sent what it can take."""

    any_size = True

    def __init__(self, address: RtspAddress, options: SinkOptions) -> None:
        """The port is open from here on; the stream is there from the first picture on.

        Raises: Failure (ENVIRONMENT) when the port is taken, GStreamer's server is not installed or no encoder works.
        """
        try:
            import_gst("GstRtspServer")
        except Failure as failure:
            raise Failure(
                f"{failure}. Or send the stream to a server, e.g. MediaMTX: {SENT}", failure.code
            ) from failure
        self._address, self._options = address, options
        self._rate = believable_rate(options.frame_rate)
        self._encoder = working_encoder(options.encoder)
        self._server = open_server(address, self._viewer_came)
        self._factory = shared_factory_type()()
        self._configuring = self._factory.connect("media-configure", self._configure)
        self._size = (0, 0)  # (height, width) of the last picture
        self._media: Any = None  # the pipeline, while there is one
        self._feed: RtspFeed | None = None  # into it
        self._one = threading.Lock()  # clients have threads of their own
        self._given = self._viewers = self._encoded = 0
        options.say(_invitation(address, self._encoder))

    def write(self, picture: Image, frame: Frame) -> None:
        """Hand (H, W, 3) uint8 BGR to the encoder, if somebody watches; never waits."""
        size = (picture.shape[0], picture.shape[1])
        if size != self._size:
            self._launch(size)
        self._given += 1
        feed = self._feed
        if feed is not None:
            feed.push(picture, frame.captured_ns)

    def close(self) -> None:
        """Send the clients away; the port is free again once its last stream is closed."""
        with self._one:
            feed, self._feed = self._feed, None
        if feed is not None:
            self._encoded += feed.pushed
            feed.end()
        self._factory.let_go(at_once=True)
        self._server.release(self._address.name)
        self._factory.disconnect(self._configuring)
        self._media = None

    def describe(self) -> str:
        what = f" of {size_text(self._size)}" if self._given else ""
        return (
            f"{self._address.shown}: {self._encoded} of {self._given} frames{what} encoded while somebody watched, "
            f"{self._encoder}; {self._viewers} viewer{'' if self._viewers == 1 else 's'} came"
        )

    def _launch(self, size: tuple[int, int]) -> None:
        """Let pipelines from now on fit this size; one that runs takes it as it comes."""
        bitrate = self._options.bitrate or stream_bitrate(size, self._rate)
        encoder = launch_text(self._encoder, bitrate, max(1, round(self._rate)), threads_for(size))
        self._factory.set_launch(PIPELINE.format(encoder=encoder))
        if self._size == (0, 0):
            self._server.add(self._address.name, self._factory)
        self._size = size

    def _configure(self, _: Any, media: Any) -> None:
        """A first client came: its pipeline is there. Called in a thread of the server."""
        feed = RtspFeed(media.get_element().get_by_name("frames"), self._rate)
        media.connect("unprepared", lambda *_: self._forget(feed))
        self._factory.follow(media)
        with self._one:
            if self._feed is not None:  # its last viewer is just leaving
                self._encoded += self._feed.pushed
            self._media, self._feed = media, feed

    def _forget(self, feed: RtspFeed) -> None:
        """The last client went."""
        with self._one:
            if self._feed is feed:
                self._encoded += feed.pushed
                self._media = self._feed = None

    def _viewer_came(self, media: Any) -> None:
        """Somebody begins to watch a stream, perhaps this one."""
        with self._one:
            if self._feed is not None and media is self._media:
                self._viewers += 1
                self._feed.key_wanted = True


def _invitation(address: RtspAddress, encoder: str) -> str:
    """Who can watch, said when the port is opened."""
    if address.host:
        return f"{address.url} is served ({encoder})"
    place = f":{address.port}/{address.name}"
    password = "" if address.user else f"; with a password: rtsp://USER:PASSWORD@{place}"
    return (
        f"rtsp://THIS-MACHINE{place} is served on all interfaces ({encoder}): whoever reaches this machine can watch; "
        f"for this machine alone: rtsp://@127.0.0.1{place}{password}"
    )
