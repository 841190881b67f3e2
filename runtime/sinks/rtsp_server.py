"""RtspServer: GStreamer's RTSP server in a thread of its own, one for all streams at a port."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from socket import IPPROTO_TCP, TCP_NOTSENT_LOWAT
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.gst_import import import_gst
from runtime.sinks.rtsp_address import RtspAddress
from runtime.sinks.rtsp_publisher import MOST_UNSENT

PATIENCE_S = 2.0  # for its thread to end
CLEAN_UP_S = 2  # how often clients that went away without a word are looked for
MOST_CLIENTS = 64  # each has a thread and three descriptors
IDLE_S = 30.0  # a connection that watches nothing for so long is closed
ROLE = "viewer"

OnPlay = Callable[[Any], None]  # told the pipeline that somebody begins to watch, of whatever stream of a server

_running: dict[int, RtspServer] = {}  # by port
_changing = threading.Lock()


class RtspServer:
    """Started for its first stream, ended with its last."""

    def __init__(self, address: RtspAddress) -> None:
        """Raises: Failure (ENVIRONMENT) when the port is taken or GStreamer's server is not installed."""
        self.address = address
        self._rtsp, self._glib = import_gst("GstRtspServer"), import_gst("GLib")
        self._streams: dict[str, OnPlay] = {}  # by name
        self._factories: dict[str, Any] = {}  # of those that are served
        self._clients: dict[Any, _Visit] = {}
        self._server = self._rtsp.RTSPServer()
        self._server.set_address(address.host or "0.0.0.0")
        self._server.set_service(str(address.port))
        self._pool = self._rtsp.RTSPThreadPool()
        self._pool.set_max_threads(-1)  # a thread a client: one that waits for a first picture holds up no other
        self._server.set_thread_pool(self._pool)
        if address.user:
            self._server.set_auth(self._auth())
        self._context = self._glib.MainContext()
        self._loop = self._glib.MainLoop.new(self._context, False)
        try:
            self._sources = [self._server.create_source(None)]
        except self._glib.Error as error:
            raise Failure(
                f"{address.shown} cannot be served: {error.message}; end the program that uses port {address.port} "
                "(ss -ltnp shows it) or give another port",
                ExitCode.ENVIRONMENT,
            ) from None
        self._sources.append(self._glib.timeout_source_new_seconds(CLEAN_UP_S))
        self._sources[1].set_callback(self._clean_up)
        for source in self._sources:
            source.attach(self._context)
        self._server.connect("client-connected", self._connected)
        self._thread = threading.Thread(target=self._run, name="rtsp server", daemon=True)
        self._thread.start()

    def add(self, name: str, factory: Any) -> None:
        """Serve the stream of a SharedFactory under a name that was reserved."""
        if self.address.user:
            permissions = self._rtsp.RTSPPermissions()
            for what in ("media.factory.access", "media.factory.construct"):
                permissions.add_permission_for_role(ROLE, what, True)
            factory.set_permissions(permissions)
        self._factories[name] = factory
        self._server.get_mount_points().add_factory(f"/{name}", factory)

    def reserve(self, name: str, on_play: OnPlay) -> None:
        """Keep a name for a stream. on_play: called in the thread of a client.

        Raises: Failure (USAGE) when there is one of that name.
        """
        if name in self._streams:
            raise Failure(
                f"two streams are to be served as '{name}' at port {self.address.port}; give each its own name"
            )
        self._streams[name] = on_play

    def release(self, name: str) -> None:
        """Serve a stream no more; with the last one the server ends."""
        with _changing:
            self._server.get_mount_points().remove_factory(f"/{name}")
            self._factories.pop(name, None)
            del self._streams[name]
            if not self._streams:
                _running.pop(self.address.port, None)
                self._end()

    def _end(self) -> None:
        """Send every client away and end."""
        for source in self._sources:
            source.destroy()
        until = time.monotonic() + PATIENCE_S
        while self._clients and time.monotonic() < until:
            for visit in list(self._clients.values()):
                visit.hang_up()
            time.sleep(0.01)
        # Where the loop has not begun to run yet it would not hear of it from here.
        last = self._glib.idle_source_new()
        last.set_callback(lambda *_: self._loop.quit())
        last.attach(self._context)
        self._thread.join(PATIENCE_S)
        self._sources, self._server = [], None  # the port is free once nothing holds it

    def _run(self) -> None:
        self._context.push_thread_default()
        self._loop.run()
        self._context.pop_thread_default()

    def _connected(self, _: Any, client: Any) -> None:
        visit = _Visit(client.get_connection().get_read_socket(), self._glib.Error)
        if len(self._clients) >= MOST_CLIENTS:
            visit.hang_up()
        self._clients[client] = visit
        client.connect("closed", lambda gone: self._clients.pop(gone, None))
        client.connect("play-request", self._play)

    def _play(self, _: Any, context: Any) -> None:
        for on_play in list(self._streams.values()):
            on_play(context.media)

    def _clean_up(self, *_: Any) -> bool:
        self._server.get_session_pool().cleanup()
        for factory in list(self._factories.values()):
            factory.let_go()
        now = time.monotonic()
        for client, visit in list(self._clients.items()):
            if client.session_filter(None):
                visit.watched_s = now
            elif now - visit.watched_s > IDLE_S:
                visit.hang_up()
        return True

    def _auth(self) -> Any:
        token = self._rtsp.RTSPToken()
        token.set_string("media.factory.role", ROLE)
        auth = self._rtsp.RTSPAuth()
        auth.add_basic(self._rtsp.RTSPAuth.make_basic(self.address.user, self.address.password), token)
        return auth


class _Visit:
    """One client's connection. Its client's thread alone may close it: GStreamer's own ways to do that from another one
    free what that thread is reading from, which then prints errors for ever."""

    def __init__(self, socket: Any, error: type[Exception]) -> None:
        """socket: Gio.Socket. error: GLib.Error."""
        self.watched_s = time.monotonic()  # when it was last seen to watch something
        self._socket, self._error = socket, error
        with suppress(error):
            socket.set_option(IPPROTO_TCP, TCP_NOTSENT_LOWAT, MOST_UNSENT)

    def hang_up(self) -> None:
        """Let the client's thread find that the connection has ended."""
        with suppress(self._error):  # it has ended already
            self._socket.shutdown(True, True)


def open_server(address: RtspAddress, on_play: OnPlay) -> RtspServer:
    """The server at this port, with the stream's name reserved as `reserve` does: the one that is there, or a new one.

    Raises: Failure as RtspServer, (USAGE) for a name or a port that is asked for twice in different ways.
    """
    with _changing:
        server = _running.get(address.port) or RtspServer(address)
        there = server.address
        if (address.host, address.user, address.password) != (there.host, there.user, there.password):
            raise Failure(f"{address.shown} and {there.shown} share a port; give both the same host and password")
        server.reserve(address.name, on_play)
        _running[address.port] = server
        return server
