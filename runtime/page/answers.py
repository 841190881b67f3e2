"""Answers: which address gives what. The table is fixed; nothing of a request becomes a path on the disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from runtime.frame import now_ns
from runtime.page.access import Access
from runtime.page.channel import Channel
from runtime.page.metrics import KIND as METRICS
from runtime.page.metrics import metrics_text
from runtime.page.pace import FULL_QUALITY, FULL_WIDTH
from runtime.page.pictures import VIEWS, Form, Picture
from runtime.page.reports import Reports
from runtime.page.request import BadRequest, Request
from runtime.page.response import Response, as_json, text
from runtime.page.viewer import Viewing
from runtime.stop import Stop

MOST_VIEWERS = 32
MOST_SNAPSHOTS = 8  # at a time: each holds a picture of full size until its client has taken it
SNAPSHOT_NS = 3_000_000_000  # a camera at rest gives its next frame within that time
WIDTHS, QUALITIES = (16, 4096), (1, 100)
ROUNDING = 16, 5  # of asked widths and qualities, so that viewers that want nearly the same share it

SCRIPTS = ("words", "picture", "charts", "page")
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8") for name in SCRIPTS},
}
OPEN = ("/page.css", "/icon.svg")  # what the page that asks for the token needs
LOCKED = "locked.html"


class Answers:
    """Answers requests."""

    def __init__(self, channels: Callable[[], Sequence[Channel]], access: Access, reports: Reports, stop: Stop) -> None:
        self._channels, self._access, self._reports, self._stop = channels, access, reports, stop
        self._snapshots = BoundedSemaphore(MOST_SNAPSHOTS)
        folder = Path(__file__).parent
        self._files = {path: Response(200, (folder / name).read_bytes(), kind) for path, (name, kind) in FILES.items()}
        self._locked = Response(401, (folder / LOCKED).read_bytes(), FILES["/"][1])
        self._routes: dict[str, Callable[[Request], Response]] = {
            "/stream.mjpg": self._stream,
            "/snapshot.jpg": self._snapshot,
            "/stats.json": lambda request: as_json(self._reports.stats()),
            "/metrics": lambda request: Response(
                200, metrics_text(self._reports.stats()).encode(errors="replace"), METRICS
            ),
            "/health": self._health,
            "/controls": self._controls,
        }

    def answer(self, request: Request) -> Response:
        """Raises: BadRequest for what makes no sense."""
        refusal = self._access.refuse_stranger(request)
        if refusal is not None:
            return refusal
        if not self._access.knows(request):
            return self._answer_stranger(request)
        response = self._answer(request)
        extra = self._access.cookie(request)
        if self._access.is_told(request):
            extra["Cross-Origin-Resource-Policy"] = "cross-origin"
        return replace(response, headers={**response.headers, **extra})

    def _answer(self, request: Request) -> Response:
        changes = request.path == "/controls"
        if request.path not in self._files and request.path not in self._routes:
            return text(404, f"there is no {request.path} here; see /")
        if changes != (request.method == "POST"):
            allowed = "POST" if changes else "GET, HEAD"
            return text(405, f"{request.path} takes {allowed}", Allow=allowed)
        return self._files.get(request.path) or self._routes[request.path](request)

    def _answer_stranger(self, request: Request) -> Response:
        """What is told without the token: whether all is well, and that there is a token."""
        if request.path in OPEN:
            return self._answer(request)
        if request.path == "/health":
            ok, _ = self._reports.health()
            return text(200 if ok else 503, "ok" if ok else "not ok")
        headers = {"WWW-Authenticate": 'Bearer realm="edgedeblur"'}
        if request.path == "/":
            return replace(self._locked, headers=headers)
        return Response(401, b"this needs the token: ?token=TOKEN or Authorization: Bearer TOKEN\n", headers=headers)

    def _health(self, request: Request) -> Response:
        name = request.query.get("stream")
        ok, streams = self._reports.health(name and self._channel(name).stream.name)
        return as_json({"status": "ok" if ok else "not ok", "streams": streams}, 200 if ok else 503)

    def _stream(self, request: Request) -> Response:
        channel = self._channel(request.query.get("stream"))
        width = _whole(request, "width", FULL_WIDTH, WIDTHS)
        quality = _whole(request, "quality", FULL_QUALITY, QUALITIES)
        form = Form(_view(request), _rounded(width, ROUNDING[0]), _rounded(quality, ROUNDING[1]))
        if channel.has_ended:
            return text(503, f"the stream {channel.stream.name} has ended")
        if sum(channel.newest.viewers for channel in self._channels()) >= MOST_VIEWERS:
            return text(503, f"{MOST_VIEWERS} viewers are here already", Retry_After="10")
        return Viewing(channel, form, self._stop).response()

    def _snapshot(self, request: Request) -> Response:
        channel = self._channel(request.query.get("stream"))
        form = Form(_view(request), None)
        if not self._snapshots.acquire(blocking=False):
            return text(503, f"{MOST_SNAPSHOTS} snapshots are on their way already", Retry_After="1")
        with ExitStack() as held:
            held.callback(self._snapshots.release)
            picture = self._full_picture(channel, form)
            if picture is None:
                return text(503, f"the stream {channel.stream.name} gives no frame: {channel.stream.status.state}")
            name = f"{channel.stream.name}-{picture.index}-{form.view}.jpg"
            age_ms = f"{(now_ns() - picture.captured_ns) / 1e6:.1f}"
            headers = {"Content-Disposition": f'inline; filename="{name}"', "X-Frame-Age-Ms": age_ms}
            headers["X-Frame-How"] = picture.how
            return Response(200, picture.jpeg, "image/jpeg", headers, held.pop_all().close)

    def _full_picture(self, channel: Channel, form: Form) -> Picture | None:
        """The next one; None where none comes in time."""
        with channel.watched():
            deadline_ns = now_ns() + SNAPSHOT_NS
            picture = None
            while picture is None and now_ns() < deadline_ns and not (self._stop.is_set() or channel.has_ended):
                picture = channel.pictures.after(0, 1, form, min(deadline_ns, now_ns() + 200_000_000))
        return picture

    def _controls(self, request: Request) -> Response:
        """Takes {"stream": NAME, "view": VIEW, "strength": 0 to 1}; the first is needed where there are several."""
        wanted = _object(request)
        channel = self._channel(wanted.pop("stream", None))
        unknown = set(wanted) - {"view", "strength"}
        if unknown:
            raise BadRequest(400, f"no control {', '.join(sorted(unknown))}; expected view, strength")
        view, strength = wanted.get("view"), wanted.get("strength")
        if "view" in wanted and view not in channel.views:
            raise BadRequest(400, f"view is one of {', '.join(channel.views)}")
        if "strength" in wanted and not _is_share(strength):
            raise BadRequest(400, "strength is a number from 0 to 1")
        controls = channel.stream.controls  # all is checked before anything is changed
        controls.view = view if isinstance(view, str) else controls.view
        controls.strength = float(strength) if isinstance(strength, (int, float)) else controls.strength
        return as_json({"stream": channel.stream.name, "view": controls.view, "strength": controls.strength})

    def _channel(self, name: object) -> Channel:
        """The stream of that name, or the only one, or the first. Raises: BadRequest."""
        channels = {channel.stream.name: channel for channel in self._channels()}
        if not channels:
            raise BadRequest(503, "no stream has started yet")
        if name is None:
            return next(iter(channels.values()))
        if not isinstance(name, str) or name not in channels:
            raise BadRequest(404, f"no stream of that name; expected one of {', '.join(channels)}")
        return channels[name]


def _view(request: Request) -> str:
    view = request.query.get("view", "output")
    if view not in VIEWS:
        raise BadRequest(400, f"view is one of {', '.join(VIEWS)}")
    return view


def _whole(request: Request, name: str, default: int, limits: tuple[int, int]) -> int:
    word = request.query.get(name)
    if word is None:
        return default
    if not (word.isascii() and word.isdigit() and len(word) < 6 and limits[0] <= int(word) <= limits[1]):
        raise BadRequest(400, f"{name} is a whole number from {limits[0]} to {limits[1]}")
    return int(word)


def _rounded(value: int, step: int) -> int:
    return max(step, round(value / step) * step)


def _object(request: Request) -> dict[str, Any]:
    # Another site's form cannot send this type, and its scripts only after asking.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise BadRequest(415, "expected Content-Type: application/json")
    try:
        value = json.loads(request.body)
    except (ValueError, RecursionError):
        raise BadRequest(400, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise BadRequest(400, "the body is not a JSON object")
    return value


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
