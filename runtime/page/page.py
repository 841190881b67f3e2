"""Page: the live picture, the numbers, health and metrics of a run, at one address for all its streams."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable, Sequence

from edgedeblur import ExitCode, Failure
from runtime.live.stream import Stream
from runtime.measure.timing import Delivery
from runtime.page.access import Access
from runtime.page.answers import Answers
from runtime.page.channel import Channel
from runtime.page.page_options import FORMS, TOKEN_VARIABLE, PageOptions
from runtime.page.reports import Reports, Telemetry
from runtime.page.server import Server
from runtime.stop import Stop
from runtime.views import VIEWS

BACKLOG = 64  # connections that the kernel keeps until they are accepted


class Page:
    """Serves from its making to `close`."""

    def __init__(
        self,
        options: PageOptions,
        telemetry: Telemetry | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """telemetry: the state of the device, called at most once a second. say: told of what should not happen.

        Raises: Failure (ENVIRONMENT) where the address cannot be had.
        """
        listener = _listen(options)
        self._channels: dict[str, Channel] = {}
        self._stop = Stop()
        host, self.port = listener.getsockname()[:2]
        self._is_loopback = ipaddress.ip_address(host).is_loopback
        self._host = host if self._is_loopback else _reachable_as(host)
        self._asked = options.host
        self._access = Access(options.token, self._is_loopback, self._stop)
        channels = self._all
        self._reports = Reports(channels, telemetry)
        answers = Answers(channels, self._access, self._reports, self._stop)
        self._server = Server(listener, answers.answer, self._stop, say)

    def add(self, stream: Stream, views: Sequence[str] = VIEWS) -> Callable[[Delivery], None]:
        """Show a stream. Returns the watcher that its pipeline calls after each delivered frame.

        views: what may be chosen for its outputs while it runs; side-by-side only where they take any size.
        Raises: ValueError for a name that is there already.
        """
        if stream.name in self._channels:
            raise ValueError(f"a stream '{stream.name}' is on the page already")
        channel = Channel(stream, views)
        self._channels = {**self._channels, stream.name: channel}  # a new one: others may be reading the old
        return channel.newest.watch

    def close(self) -> None:
        """End every connection within 2 s, whatever the clients do; may be called again."""
        self._server.close()

    @property
    def url(self) -> str:
        """Without the token."""
        return f"http://{self._host}:{self.port}/"

    def invitation(self) -> str:
        """What to print once when the run starts. A token that was made here is in it: nobody knows it yet."""
        if self._access.made:
            return (
                f"page: {self.url}?token={self._access.token} (this token is of this run only; --preview-token or "
                f"{TOKEN_VARIABLE} gives one that stays)"
            )
        return f"page: {self.url}" + (" (asks for the token)" if self._access.token else "") + self._for_itself()

    def describe(self) -> str:
        """One line for people, without the token."""
        pictures = sum(channel.pictures.encoded for channel in self._all())
        return f"{self.url}: {pictures} pictures were encoded for viewers"

    def _for_itself(self) -> str:
        """A machine's own name often means the loopback, which nobody expects who gives it."""
        if not self._is_loopback or self._asked in ("localhost", self._host):
            return ""
        return f" ('{self._asked}' is this machine's address for itself; http://@0.0.0.0:{self.port} is open to others)"

    def _all(self) -> list[Channel]:
        return list(self._channels.values())


def _listen(options: PageOptions) -> socket.socket:
    where = f"http://@{options.host}:{options.port}"
    try:
        found = socket.getaddrinfo(options.host, options.port, socket.AF_INET, socket.SOCK_STREAM)
        return socket.create_server(found[0][4][:2], backlog=BACKLOG)
    except (socket.gaierror, UnicodeError):
        raise Failure(
            f"'{where}': no address of the name '{options.host}' is known; expected {FORMS}", ExitCode.ENVIRONMENT
        ) from None
    except OSError as error:
        raise Failure(f"the page cannot be served at {where}: {_why(error, options)}", ExitCode.ENVIRONMENT) from error


def _why(error: OSError, options: PageOptions) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {options.port} is taken (ss -ltnp 'sport = :{options.port}' shows by whom); choose another, "
            f"as in http://@:{options.port + 1 if options.port < 65535 else 8080}"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {options.port} may be used by root only; choose one above 1023, as in http://@:8080"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{options.host} is no address of this machine (ip -brief address lists them); expected {FORMS}"
    return error.strerror or str(error)


def _reachable_as(host: str) -> str:
    """What others call this machine, where it listens on every address."""
    if host != "0.0.0.0":
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documents: nothing is sent, a route is looked up
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
