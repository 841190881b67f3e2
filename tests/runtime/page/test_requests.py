"""Requests as bytes on the wire: what is malformed, too large, too slow or too much is refused; the server lives."""

from __future__ import annotations

import random
import socket
import time
from http import HTTPStatus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.page import answers
from runtime.page import connection as connections
from runtime.page import server as servers
from runtime.page.request import BadRequest, parse_head
from tests.runtime.page.conftest import Serve
from tests.runtime.page.serving import Served, rest_of, split

HOST = "Host: localhost\r\n"
REFUSED = {
    "": None,
    "\r\n\r\n": 400,
    "GET\r\n\r\n": 400,
    "GET /\r\n\r\n": 400,  # HTTP/0.9
    "GET / HTTP/1.1\r\n\r\n": 400,  # no Host
    f"GET / HTTP/1.1\r\n{HOST}{HOST}\r\n": 400,
    f"GET / HTTP/1.1\r\n{HOST}Host : localhost\r\n\r\n": 400,
    f"GET / HTTP/1.1\r\n{HOST}X: a\r\n folded\r\n\r\n": 400,
    f"GET / HTTP/1.1\r\n{HOST}no colon\r\n\r\n": 400,
    f"GET / HTTP/1.1\r\n{HOST}X: a\x00b\r\n\r\n": 400,
    f"GET / HTTP/1.1\n{HOST}\n\n": 400,
    f"GET / HTTP/2.0\r\n{HOST}\r\n": 505,
    f"get / HTTP/1.1\r\n{HOST}\r\n": 400,
    f"DELETE / HTTP/1.1\r\n{HOST}\r\n": 405,
    f"OPTIONS * HTTP/1.1\r\n{HOST}\r\n": 405,
    f"CONNECT localhost:1 HTTP/1.1\r\n{HOST}\r\n": 405,
    f"TRACE / HTTP/1.1\r\n{HOST}\r\n": 405,
    f"GET http://localhost/ HTTP/1.1\r\n{HOST}\r\n": 400,
    f"GET /{'a' * 3000} HTTP/1.1\r\n{HOST}\r\n": 414,
    f"GET /?{'&'.join(f'a{i}=1' for i in range(50))} HTTP/1.1\r\n{HOST}\r\n": 400,
    f"GET /?a=1&a=2 HTTP/1.1\r\n{HOST}\r\n": 400,
    f"GET /?a=%ff HTTP/1.1\r\n{HOST}\r\n": 400,
    f"GET / HTTP/1.1\r\n{HOST}" + "".join(f"X{i}: 1\r\n" for i in range(100)) + "\r\n": 431,
    f"GET / HTTP/1.1\r\n{HOST}X: {'a' * 20000}\r\n\r\n": 431,
    f"GET / HTTP/1.1\r\n{HOST}X: {'a' * 200000}": 431,
    f"GET / HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nhello": 400,
    f"POST /controls HTTP/1.1\r\n{HOST}\r\n": 411,
    f"POST /controls HTTP/1.1\r\n{HOST}Content-Length: -1\r\n\r\n": 400,
    f"POST /controls HTTP/1.1\r\n{HOST}Content-Length: 5, 5\r\n\r\nhello": 400,
    f"POST /controls HTTP/1.1\r\n{HOST}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello": 400,
    f"POST /controls HTTP/1.1\r\n{HOST}Content-Length: 99999999\r\n\r\n": 413,
    f"POST /controls HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 501,
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": 400,  # TLS
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:40].encode("unicode_escape").decode())
def test_what_is_malformed_is_refused(bare: Served, text: str) -> None:
    with bare.connect() as client:
        client.sendall(text.encode("latin-1"))
        client.shutdown(socket.SHUT_WR)
        answer = rest_of(client)
    assert (split(answer)[0] if answer else None) == REFUSED[text]
    assert answer.count(b"\r\nDate: ") <= 1  # nothing after it was read as a second request
    assert bare.get("/health")[0] in (200, 503)


def test_200_malformed_requests_leave_the_server_and_the_pipeline_as_they_were(served: Served) -> None:
    chance = random.Random(5)
    good = (
        f"POST /controls?stream=front HTTP/1.1\r\n{HOST}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    )
    for _ in range(200):
        data = bytearray(good.encode())
        for _ in range(chance.randrange(1, 8)):
            place = chance.randrange(len(data))
            data[place : place + chance.randrange(4)] = chance.randbytes(chance.randrange(4))
        with served.connect() as client:
            client.sendall(data[: chance.randrange(1, len(data) + 1)])
            client.shutdown(socket.SHUT_WR)
            answer = rest_of(client)
        assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert served.get("/stats.json")[0] == 200
    assert served.front.fps_over(1) > 2
    assert not served.said  # each was expected


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_bytes_are_a_request_or_a_refusal(data: bytes) -> None:
    try:
        request = parse_head(data)
        length = request.body_length
    except BadRequest as bad:
        HTTPStatus(bad.status)  # raises for what is none
        return
    assert request.method in ("GET", "HEAD", "POST")
    assert request.path.startswith("/")
    assert length >= 0


tokens = st.text(st.characters(codec="ascii", categories=("L", "Nd")), min_size=1, max_size=8)


@given(st.dictionaries(tokens.map(str.lower), tokens, max_size=20), st.dictionaries(tokens, tokens, max_size=10))
def test_what_is_well_formed_is_read_as_it_was_meant(headers: dict[str, str], query: dict[str, str]) -> None:
    headers = {**headers, "host": "x"}
    for name in ("transfer-encoding", "content-length"):
        headers.pop(name, None)
    lines = [f"GET /a?{'&'.join(f'{key}={value}' for key, value in query.items())} HTTP/1.1"]
    request = parse_head("\r\n".join([*lines, *(f"{key}:  {value} " for key, value in headers.items())]).encode())
    assert (request.path, request.query, request.headers) == ("/a", query, headers)


@pytest.mark.parametrize(
    "path",
    [
        "/../page.py",
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/page.py",
        "//etc/passwd",
        "/page.py",
        "/./",
        "/page.css/",
        "/PAGE.CSS",
    ],
)
def test_no_path_leads_to_a_file_that_is_not_in_the_table(bare: Served, path: str) -> None:
    status, _, body = bare.get(path)
    assert status == 404
    assert b"import" not in body


def test_requests_in_one_packet_are_answered_one_by_one(bare: Served) -> None:
    one = f"GET /icon.svg HTTP/1.1\r\n{HOST}\r\n"
    last = f"GET /nothing HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"
    answer = bare.ask(one * 5 + f"HEAD /icon.svg HTTP/1.1\r\n{HOST}\r\n" + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 6
    assert answer.count(b"<svg") == 5
    assert answer.count(b"HTTP/1.1 404 ") == 1


def test_old_clients_are_answered_and_the_connection_closed(bare: Served) -> None:
    assert split(bare.ask("GET /icon.svg HTTP/1.0\r\n\r\n"))[0] == 200


def test_every_answer_forbids_what_it_does_not_need(served: Served) -> None:
    for path in ("/", "/page.js", "/stats.json", "/nothing", "/snapshot.jpg"):
        _, headers, _ = served.get(path)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'self'" in headers["content-security-policy"]


def test_text_is_packed_for_those_who_can_read_it(bare: Served) -> None:
    import gzip

    plain, packed = bare.get("/page.js"), bare.get("/page.js", "Accept-Encoding: gzip, br")
    assert gzip.decompress(packed[2]) == plain[2]
    assert len(packed[2]) < len(plain[2]) / 2


def test_the_page_is_small_and_takes_nothing_from_elsewhere(bare: Served) -> None:
    bodies = [bare.get(path)[2] for path in answers.FILES]
    assert sum(map(len, bodies)) < 40_000
    for body in bodies:
        assert b"//" not in body.replace(b"http://www.w3.org/2000/svg", b"").replace(b"// ", b"")


def test_a_client_that_sends_a_byte_now_and_then_is_dropped(bare: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 1.0)
    start_s = time.monotonic()
    with bare.connect() as client:
        client.settimeout(0.1)
        answer = b""
        while not answer and time.monotonic() - start_s < 10:
            try:
                client.sendall(b"G")
                answer = client.recv(1000)
            except TimeoutError:
                continue
        assert split(answer)[0] == 408
    assert time.monotonic() - start_s < 5


def test_a_body_that_does_not_come_is_not_waited_for(bare: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.5)
    assert split(bare.ask(f"POST /controls HTTP/1.1\r\n{HOST}Content-Length: 9\r\n\r\n{{"))[0] == 408


def test_a_client_that_says_nothing_is_dropped(bare: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.5)
    assert bare.ask("") == b""


def test_more_connections_than_allowed_are_turned_away_and_the_next_is_let_in(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "MOST_OF_ONE", 5)
    served = serve(scenes={})
    clients = [served.connect() for _ in range(5)]
    try:
        for client in clients:  # each has been taken in
            client.sendall(f"GET /icon.svg HTTP/1.1\r\n{HOST}\r\n".encode())
            assert client.recv(100)
        assert split(served.ask(""))[0] == 503
    finally:
        for client in clients:
            client.close()
    deadline = time.monotonic() + 5
    while served.get("/icon.svg")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_clients_that_leave_in_the_middle_leave_nothing_behind(
    served: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    requests = ["G", f"GET / HTTP/1.1\r\n{HOST}", f"GET /page.js HTTP/1.1\r\n{HOST}\r\n"]
    requests += [f"GET /stream.mjpg HTTP/1.1\r\n{HOST}\r\n", f"GET /snapshot.jpg HTTP/1.1\r\n{HOST}\r\n"]
    for text in requests * 4:
        client = served.connect()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closing resets
        client.sendall(text.encode())
        time.sleep(0.02)
        client.close()
    assert served.get("/health")[0] in (200, 503)
    assert not served.said
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err


def test_dates_and_lengths_are_those_of_http(served: Served) -> None:
    _, headers, body = served.get("/stats.json")
    assert int(headers["content-length"]) == len(body)
    assert headers["date"].endswith(" GMT")
