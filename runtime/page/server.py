"""Server: one thread for each connection, never more of them than it can hold, and all of them gone when it closes."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from runtime.page.connection import Connection
from runtime.page.request import BadRequest, Request
from runtime.page.response import Response, text
from runtime.stop import POLL_S, Stop

MOST_CONNECTIONS = 64
MOST_OF_ONE = 40  # connections from one address
CLOSE_S = 1.5  # how long the threads get to end
NO_DESCRIPTORS_S = 0.2  # pause when the system has none left


class Server:
    """Accepts connections on `listener` and gives their requests to `answer`."""

    def __init__(
        self,
        listener: socket.socket,
        answer: Callable[[Request], Response],
        stop: Stop,
        say: Callable[[str], None],
    ) -> None:
        """answer: raises BadRequest for what makes no sense. stop: set by `close`. say: told what should not happen."""
        self._listener, self._answer, self._stop, self._say = listener, answer, stop, say
        self._said: set[str] = set()
        self._lock = threading.Lock()
        self._open: dict[Connection, threading.Thread] = {}
        self._listener.settimeout(POLL_S)
        self._accepting = threading.Thread(target=self._accept, name="page", daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """End every connection within 2 s, whatever its client does; may be called again."""
        self._stop.set()
        deadline = time.monotonic() + CLOSE_S
        self._accepting.join(CLOSE_S)
        self._listener.close()
        with self._lock:
            left = dict(self._open)
        for connection in left:
            connection.interrupt()
        for thread in left.values():
            thread.join(max(0.0, deadline - time.monotonic()))

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                sock, address = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:  # the client is gone already, or there are no descriptors left
                time.sleep(NO_DESCRIPTORS_S)
                continue
            try:
                self._begin(sock, str(address[0]))
            except (OSError, RuntimeError):  # gone, or no thread to be had
                sock.close()

    def _begin(self, sock: socket.socket, client: str) -> None:
        with self._lock:
            clients = Counter(connection.client for connection in self._open)
            if len(self._open) >= MOST_CONNECTIONS or clients[client] >= MOST_OF_ONE:
                _turn_away(sock)
                return
            connection = Connection(sock, client)
            thread = threading.Thread(target=self._serve, args=(connection,), name="page client", daemon=True)
            self._open[connection] = thread
            try:
                thread.start()
            except RuntimeError:
                del self._open[connection]
                raise

    def _serve(self, connection: Connection) -> None:
        try:
            while self._serve_one(connection):
                pass
        except OSError:
            pass  # the client went away, or takes too long
        finally:
            with suppress(OSError):
                connection.close()
            with self._lock:
                del self._open[connection]

    def _serve_one(self, connection: Connection) -> bool:
        """Answer one request; False when the connection is to end."""
        try:
            request = connection.read_request()
        except BadRequest as bad:
            # What could not be read has no known end, so nothing can follow it.
            connection.send(text(bad.status, str(bad)).encode(None, keep_alive=False))
            return False
        if request is None or self._stop.is_set():
            return False
        response = self._answer_to(request)
        keep_alive = request.keep_alive and isinstance(response.body, bytes)
        try:
            connection.send(response.encode(request, keep_alive))
            if not isinstance(response.body, bytes) and request.method != "HEAD":
                self._stream(response.body, request, connection)
        finally:
            response.done()
        return keep_alive

    def _answer_to(self, request: Request) -> Response:
        try:
            return self._answer(request)
        except BadRequest as bad:
            return text(bad.status, str(bad))
        except Exception as error:
            self._tell(request, error)
            return text(500, "this went wrong; the program has printed what is known of it")

    def _stream(self, body: Callable[[Connection], None], request: Request, connection: Connection) -> None:
        try:
            body(connection)
        except OSError:
            raise
        except Exception as error:
            self._tell(request, error)

    def _tell(self, request: Request, error: Exception) -> None:
        """A mistake of ours is told once and ends one answer, not the run."""
        message = f"the page failed at {request.path}: {type(error).__name__}: {error}"
        if len(self._said) < 16 and message not in self._said:
            self._said.add(message)
            self._say(message)


def _turn_away(sock: socket.socket) -> None:
    """Never wait for this client."""
    with suppress(OSError):
        sock.setblocking(False)
        sock.send(text(503, "too many connections", Retry_After="10").encode(None, keep_alive=False))
        sock.shutdown(socket.SHUT_WR)
    sock.close()
