"""The address of the page and its token: which are taken, and what is said of those that are not."""

from __future__ import annotations

import errno
import socket

import pytest

from edgedeblur import ExitCode, Failure
from runtime.page.page import Page
from runtime.page.page_options import TOKEN_VARIABLE, PageOptions, page_options
from tests.runtime.page.serving import TOKEN, Served


@pytest.mark.parametrize(
    ("uri", "host", "port"),
    [
        ("http://@:8080", "127.0.0.1", 8080),
        ("http://@127.0.0.1:8080", "127.0.0.1", 8080),
        ("http://@0.0.0.0:8080/", "0.0.0.0", 8080),
        ("http://@jetson-3.local:1", "jetson-3.local", 1),
    ],
)
def test_addresses_of_the_page(uri: str, host: str, port: int) -> None:
    assert page_options(uri, None, {}) == PageOptions(host, port, None)


@pytest.mark.parametrize(
    "uri",
    [
        "http://:8080",
        "http://127.0.0.1:8080",
        "https://@:8080",
        "http://@",
        "http://@:",
        "http://@:70000",
        "http://@:8080/x",
        "http://@[::1]:80",
        "http://@:-1",
        "http://me:secret@host:80",
        "http://@a b:80",
        "http://@:\uff18\uff10",  # digits of another script
    ],
)
def test_other_addresses_are_refused_with_those_that_work(uri: str) -> None:
    with pytest.raises(Failure, match="http://@:8080") as failure:
        page_options(uri, None, {})
    assert failure.value.code == ExitCode.USAGE


@pytest.mark.parametrize("token", ["short", "x" * 15, "x" * 129, "with a space in it", "ünïcödé-ünïcödé-ü", ""])
def test_weak_tokens_are_refused_and_not_shown(token: str) -> None:
    with pytest.raises(Failure, match="openssl rand") as failure:
        page_options("http://@:8080", token, {})
    assert not token or token not in str(failure.value)


def test_the_token_is_that_of_the_command_line_before_that_of_the_environment() -> None:
    environment = {TOKEN_VARIABLE: "e" * 20}
    assert page_options("http://@:1", None, environment).token == "e" * 20
    assert page_options("http://@:1", "c" * 20, environment).token == "c" * 20
    assert page_options("http://@:1", None, {TOKEN_VARIABLE: ""}).token is None
    assert "c" * 20 not in repr(page_options("http://@:1", "c" * 20))


def test_a_port_that_is_taken_is_named(bare: Served) -> None:
    with pytest.raises(Failure, match=f"port {bare.port} is taken") as failure:
        Page(PageOptions(port=bare.port))
    assert failure.value.code == ExitCode.ENVIRONMENT


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(Failure, match="no address of this machine") as failure:
        Page(PageOptions("192.0.2.7", 0, TOKEN))
    assert failure.value.code == ExitCode.ENVIRONMENT


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_a_name_that_nobody_knows_is_named(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(Failure, match="no address of the name 'jetson'") as failure:
        Page(PageOptions("jetson", 0, TOKEN))
    assert failure.value.code == ExitCode.ENVIRONMENT


def test_ports_of_root_are_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(Failure, match="port 80 may be used by root only") as failure:
        Page(PageOptions(port=80))
    assert failure.value.code == ExitCode.ENVIRONMENT


def test_without_an_address_only_this_machine_can_connect_and_needs_no_token(bare: Served) -> None:
    assert bare.page.invitation() == f"page: http://127.0.0.1:{bare.port}/"
    assert bare.get("/")[0] == bare.get("/stats.json")[0] == 200


def test_a_machines_name_that_is_an_address_of_the_loopback_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian writes the machine's own name to /etc/hosts as 127.0.1.1."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [(socket.AF_INET, None, 0, "", ("127.0.1.1", 0))])
    page = Page(PageOptions("jetson", 0))
    try:
        assert page.url == f"http://127.0.1.1:{page.port}/"  # by its name it would be refused
        assert "'jetson' is this machine's address for itself" in page.invitation()
        assert "http://@0.0.0.0:" in page.invitation()
    finally:
        page.close()
