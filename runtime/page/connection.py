"""Connection: one client's socket. Every read and write has a deadline and a limit, whatever the client does."""

from __future__ import annotations

import dataclasses
import re
import select
import socket
import time
from contextlib import suppress

from runtime.page.request import BadRequest, Request, parse_head

HEAD_S = 10.0  # for a whole head or body, and for a client that says nothing between two requests
LARGEST_HEAD = 16384  # bytes; cookies of other programs on the same host come with it
SEND_S, SLOWEST = 10.0, 8192  # a client takes an answer within so many seconds and the time that bytes/s need
LINGER_S, LINGER_BYTES = 1.0, 1 << 20
UNSENT = 16384  # bytes that may wait in the kernel before the link counts as busy
BUFFER = 131072  # bytes of pictures on their way: more would only be seconds of old ones
BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|\0")


class Connection:
    """A client, from its first byte to its last. Errors of the socket are OSErrors, a missed deadline one, too."""

    def __init__(self, sock: socket.socket, client: str) -> None:
        """client: the address it comes from."""
        self.client = client
        self._sock = sock
        self._unread = b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read_request(self) -> Request | None:
        """The next request; None where the client is gone or says nothing. Raises: BadRequest, OSError."""
        deadline = time.monotonic() + HEAD_S
        head = self._read_head(deadline)
        if head is None:
            return None
        request = parse_head(head)
        return dataclasses.replace(request, body=self._read_body(request.body_length, deadline))

    def send(self, data: bytes) -> None:
        """Raises: OSError; also where the client takes it too slowly."""
        self._sock.settimeout(SEND_S + len(data) / SLOWEST)
        self._sock.sendall(data)  # the limit is for all of it together

    def prefer_new(self) -> None:
        """From now on pictures are sent: keep few bytes on the way, and notice a client that vanished."""
        options = [(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            options += [
                (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT),
                (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
                (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
                (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
            ]
        for level, name, value in options:
            self._sock.setsockopt(level, name, value)

    def wait_for_room(self, patience_s: float) -> bool:
        """Whether the link has taken, within `patience_s`, what was sent."""
        poll = select.poll()
        poll.register(self._sock, select.POLLOUT)
        return bool(poll.poll(patience_s * 1000))

    def is_gone(self) -> bool:
        """Whether the client has closed its side."""
        poll = select.poll()
        poll.register(self._sock, select.POLLRDHUP)
        return bool(poll.poll(0))

    def interrupt(self) -> None:
        """End all waits on it, in whatever thread they are."""
        with suppress(OSError):  # it may have gone by itself
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let the client read the last answer, then forget it."""
        with suppress(OSError):
            # Closed with bytes unread, the kernel resets the connection, and the answer with it.
            self._sock.shutdown(socket.SHUT_WR)
            deadline, left = time.monotonic() + LINGER_S, LINGER_BYTES
            while left > 0 and (data := self._receive(deadline)):
                left -= len(data)
        self._sock.close()

    def _read_head(self, deadline: float) -> bytes | None:
        """Up to the blank line, without it."""
        new = 0  # where that begins which was not looked at
        while (end := self._unread.find(b"\r\n\r\n", max(0, new - 3))) < 0:
            if BARE_LINE_END.search(self._unread, max(0, new - 1)):
                raise BadRequest(400, "lines end in CR LF")
            if len(self._unread) > LARGEST_HEAD:
                raise BadRequest(431, f"a request has at most {LARGEST_HEAD} bytes before its body")
            new = len(self._unread)
            try:
                data = self._receive(deadline)
            except TimeoutError:
                if not self._unread:
                    return None
                raise BadRequest(408, f"a request comes within {HEAD_S:g} s") from None
            if not data:
                return None
            self._unread += data
        head, self._unread = self._unread[:end], self._unread[end + 4 :]
        if end > LARGEST_HEAD or BARE_LINE_END.search(head):
            raise BadRequest(431 if end > LARGEST_HEAD else 400, "the head is too large or its lines end in other ways")
        return head

    def _read_body(self, length: int, deadline: float) -> bytes:
        while len(self._unread) < length:
            try:
                data = self._receive(deadline)
            except TimeoutError:
                raise BadRequest(408, f"a request comes within {HEAD_S:g} s") from None
            if not data:
                raise BadRequest(400, "the body is shorter than its Content-Length")
            self._unread += data
        body, self._unread = self._unread[:length], self._unread[length:]
        return body

    def _receive(self, deadline: float) -> bytes:
        """What has come, empty at the end. Raises: TimeoutError."""
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._sock.settimeout(left_s)
        return self._sock.recv(4096)
