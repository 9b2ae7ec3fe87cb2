"""What guards the portal's requests and pages."""

from __future__ import annotations

import pytest
from flask import Flask, Response, request
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.portal import guard
from x2gobroker.portal.signin import own_path

APP = Flask("test")


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "a.localhost"]
)
def test_hosts_that_browsers_trust_without_tls(host: str) -> None:
    assert guard.is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "portal.example", "192.0.2.1", "127.0.0.1.example", "localhost.example", "[::2]", "[", "::1]:x"]
)
def test_hosts_that_they_do_not(host: str) -> None:
    assert not guard.is_loopback(host)


@pytest.mark.parametrize(
    ("base", "headers", "keeps"),
    [
        ("https://portal.example", {}, True),
        ("http://portal.example", {}, False),
        ("http://portal.example", {"Origin": "http://portal.example"}, False),
        ("http://portal.example", {"Origin": "https://portal.example"}, True),
        ("http://portal.example", {"Sec-Fetch-Site": "none"}, True),
        ("http://localhost:8080", {}, True),
    ],
)
def test_where_the_browser_keeps_cookies(base: str, headers: dict[str, str], keeps: bool) -> None:
    with APP.test_request_context("/", base, headers=headers):
        assert guard.keeps_cookies(request) is keeps


def test_a_policy_with_more_sources_stays_strict_elsewhere() -> None:
    text = guard.policy(connect_src="wss://desktops.example", default_src="'self'", worker_src="blob:")
    parts = dict(part.split(" ", 1) for part in text.split("; "))
    assert parts["connect-src"] == "'self' wss://desktops.example"
    assert parts["default-src"] == "'self'"
    assert parts["worker-src"] == "blob:"
    assert parts["script-src"] == "'self'"
    assert guard.POLICY["connect-src"] == "'self'"


def test_headers_that_a_view_has_set_stay() -> None:
    response = Response("x")
    response.headers["Cache-Control"] = "public"
    protected = guard.protect(response)
    assert protected.headers["Cache-Control"] == "public"
    assert "no-referrer" not in protected.headers["Referrer-Policy"]
    assert protected.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_cookies_have_what_their_prefix_demands() -> None:
    response = Response()
    guard.set_cookie(response, guard.COOKIE, "x")
    guard.drop_cookie(response, guard.COOKIE)
    for line in response.headers.getlist("Set-Cookie"):
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(line.split("; "))
        assert "Domain" not in line


@given(st.text())
def test_whatever_is_asked_for_after_signing_in_is_a_page_of_the_portal(text: str) -> None:
    for asked in (text, "/portal/" + text):
        path = own_path(asked)
        assert path.startswith("/portal/")
        assert "//" not in path
        assert ".." not in path
        assert path.isascii()
        assert path.isprintable()
