"""Who may see the page: tokens, cookies, other sites' pages, names that were pointed at this machine."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.page import access
from runtime.page.page_options import PageOptions
from tests.runtime.page.conftest import Serve, leaving_nothing
from tests.runtime.page.serving import SCENE, TOKEN, Served

PRIVATE = ("/", "/page.js", "/stats.json", "/metrics", "/snapshot.jpg", "/stream.mjpg", "/nothing")
EVERYWHERE = PageOptions("0.0.0.0", 0, TOKEN)


@pytest.fixture(scope="module")
def open_to_all(loaded: Path) -> Iterator[Served]:
    with leaving_nothing() as pages:
        pages.append(Served(loaded, {}, EVERYWHERE))
        yield pages[0]


@pytest.fixture
def guarded(open_to_all: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """A page on every address, with a token; wrong ones cost little here."""
    monkeypatch.setattr(access, "WRONG_TOKEN_S", 0.02)
    return open_to_all


def test_without_a_token_another_address_gets_one_that_is_printed_once(serve: Serve) -> None:
    served = serve(scenes={}, options=PageOptions("0.0.0.0", 0))
    parts = re.search(r"\?token=([\w-]{32})", served.page.invitation())
    assert parts
    assert parts[1] not in served.page.describe() + served.page.url
    assert served.get("/stats.json")[0] == 401
    assert served.get(f"/stats.json?token={parts[1]}")[0] == 200
    other = serve(scenes={}, options=PageOptions("0.0.0.0", 0))
    assert parts[1] not in other.page.invitation()


@pytest.mark.parametrize("path", PRIVATE)
def test_without_the_token_nothing_is_shown(guarded: Served, path: str) -> None:
    assert TOKEN not in guarded.page.invitation()
    wrong = TOKEN[:-1] + "!"
    for status, headers, body in (
        guarded.get(path),
        guarded.get(path, method="HEAD"),
        guarded.get(path, "Authorization: Bearer "),
        guarded.get(path, "Cookie: edgedeblur-80=; edgedeblur=1"),
        guarded.get(f"{path}?token={wrong}"),
    ):
        assert status == 401
        assert headers["www-authenticate"].startswith("Bearer")
        assert "set-cookie" not in headers
        assert b"fps" not in body


def test_guessing_costs_time(serve: Serve) -> None:
    served = serve(scenes={}, options=EVERYWHERE)
    start_s = time.monotonic()
    assert served.get(f"/?token={TOKEN}x")[0] == 401
    assert time.monotonic() - start_s >= access.WRONG_TOKEN_S


def test_the_token_opens_it_in_the_address_and_as_a_bearer(guarded: Served) -> None:
    assert guarded.get(f"/stats.json?token={TOKEN}")[0] == 200
    assert guarded.get("/stats.json", f"Authorization: Bearer {TOKEN}")[0] == 200
    assert guarded.get("/stats.json", f"authorization: bearer  {TOKEN} ")[0] == 200
    assert guarded.get("/stats.json", f"Authorization: Basic {TOKEN}")[0] == 401


def test_the_token_in_the_address_sets_a_cookie_that_opens_the_rest(guarded: Served) -> None:
    status, headers, _ = guarded.get(f"/?token={TOKEN}")
    assert status == 200
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    pair = cookie.partition(";")[0]
    assert guarded.get("/stats.json", f"Cookie: other=1; {pair}; more=2")[0] == 200
    assert guarded.get("/stats.json", f"Cookie: {pair}x")[0] == 401
    assert "set-cookie" not in guarded.get("/", f"Cookie: {pair}")[1]


def test_what_asks_for_the_token_is_a_page_with_its_style(guarded: Served) -> None:
    status, _, body = guarded.get("/")
    assert status == 401
    assert b'name="token"' in body
    assert guarded.get("/page.css")[0] == 200


def test_health_without_the_token_says_no_more_than_whether_all_is_well(serve: Serve) -> None:
    served = serve(options=EVERYWHERE)
    assert served.get("/health")[2] in (b"ok\n", b"not ok\n")
    assert b"front" in served.get("/health", f"Authorization: Bearer {TOKEN}")[2]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", ""]
)
def test_a_name_that_was_pointed_at_this_machine_is_not_served(bare: Served, host: str) -> None:
    assert bare.get("/stats.json", f"Host: {host}")[0] == 421
    assert bare.get("/health", f"Host: {host}")[0] == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9000", "127.0.0.1", "127.0.0.1:1", "127.8.8.8"])
def test_names_of_this_machine_are_served_through_any_tunnel(bare: Served, host: str) -> None:
    assert bare.get("/stats.json", f"Host: {host}")[0] == 200


def test_other_sites_may_link_here_and_use_nothing(bare: Served) -> None:
    used = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image")
    assert bare.get("/stats.json", *used)[0] == 403
    assert bare.get("/stats.json", "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors")[0] == 403
    assert bare.get("/", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate")[0] == 200
    assert bare.get("/stats.json", "Sec-Fetch-Site: same-origin")[0] == 200
    assert bare.get("/stats.json")[1]["cross-origin-resource-policy"] == "same-origin"


def test_another_page_may_show_the_picture_if_it_knows_the_token(guarded: Served) -> None:
    used = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors")
    status, headers, _ = guarded.get(f"/icon.svg?token={TOKEN}", *used)
    assert (status, headers["cross-origin-resource-policy"]) == (200, "cross-origin")
    cookie = guarded.get(f"/?token={TOKEN}")[1]["set-cookie"].partition(";")[0]
    assert guarded.get("/stats.json", *used, f"Cookie: {cookie}")[0] == 403


JSON = "Content-Type: application/json"


def change(served: Served, *headers: str, body: object = None, kind: str = JSON) -> int:
    text = json.dumps({"strength": 0.5}) if body is None else body if isinstance(body, str) else json.dumps(body)
    return served.get("/controls", kind, *headers, method="POST", body=text)[0]


def test_only_the_page_itself_and_programs_may_change_something(serve: Serve) -> None:
    served = serve(scenes={"front": SCENE})
    controls = served.front.controls
    for foreign in (
        "Origin: http://evil.example",
        "Origin: null",
        "Origin: http://localhost:1",
        "Origin: http://[",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ):
        assert change(served, foreign) == 403
    assert change(served, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate") == 403  # a form
    assert change(served, kind="Content-Type: text/plain") == 415
    assert served.get("/controls?strength=0.5")[0] == 405
    assert served.get("/stats.json", JSON, method="POST", body="{}")[0] == 405
    assert controls.strength == 1.0
    assert change(served, f"Origin: http://localhost:{served.port}", "Sec-Fetch-Site: same-origin") == 200
    assert controls.strength == 0.5
    assert change(served, body={"strength": 1}) == 200
    # Behind a proxy that sends another Host the browser still knows that it is the page itself.
    assert change(served, "Origin: https://cameras.example", "Sec-Fetch-Site: same-origin", body={"strength": 1}) == 200
    assert controls.strength == 1.0


WRONG_CONTROLS: list[object] = [
    "{",
    "[]",
    "1",
    "[" * 4000,
    '{"strength": NaN}',
    '{"strength": 1e999}',
    f'{{"strength": {"9" * 3000}}}',
    {"strength": -0.1},
    {"strength": 1.1},
    {"strength": True},
    {"strength": "1"},
    {"strength": None},
    {"view": "other"},
    {"view": None},
    {"view": ["output"]},
    {"view": "side-by-side", "strength": 2},  # nothing of it is done
    {"speed": 1},
    {"\ud800": 1},
]


def test_what_a_control_cannot_be_changes_nothing(serve: Serve) -> None:
    served = serve(scenes={"front": "test://48x32@30"})
    for body in WRONG_CONTROLS:
        assert change(served, body=body) == 400, body
    assert change(served, body={"stream": "other", "strength": 0.5}) == 404
    assert change(served, body={"stream": ["front"], "strength": 0.5}) == 404
    assert (served.front.controls.view, served.front.controls.strength) == ("output", 1.0)
    assert not served.said


def test_a_view_that_the_outputs_cannot_take_is_refused(one_size: Served) -> None:
    assert change(one_size, body={"view": "side-by-side"}) == 400
    assert change(one_size, body={"view": "split"}) == 200
    assert one_size.front.controls.view == "split"


@pytest.fixture
def one_size(serve: Serve) -> Served:
    """A stream whose outputs take one size only."""
    return serve(views=("output", "split"))
