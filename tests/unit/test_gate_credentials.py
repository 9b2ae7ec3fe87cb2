"""Credentials as Arctica's remote-logon-config-agent sends them, and nothing that only looks alike."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import SOME
from x2gobroker.gate.credentials import unfolded

START = b"GET /uccs/inifile//api/5/ HTTP/1.1\r\nHost: h\r\nUser-Agent: PycURL/7.45.2\r\nAccept: */*\r\n"


def sent(credentials: bytes, start: bytes = START) -> bytes:
    return start + b"Authorization: Basic " + base64.encodebytes(credentials) + b"\r\n\r\n"


@SOME
@given(st.binary(min_size=1, max_size=300))
def test_what_encodebytes_made_is_put_on_one_line(credentials: bytes) -> None:
    wanted = START + b"Authorization: Basic " + base64.b64encode(credentials) + b"\r\n\r\n"
    assert unfolded(sent(credentials)) == wanted
    assert unfolded(wanted) == wanted


@pytest.mark.parametrize(
    "request_",
    [
        sent(b"anna:pw", START.replace(b"GET", b"POST")),
        sent(b"anna:pw", START.replace(b"/uccs/", b"/plain/")),
        sent(b"anna:pw", START.replace(b"/5/ ", b"/5/?x=/uccs/ ").replace(b"/uccs/inifile", b"/plain")[:-2] + b"\n"),
        sent(b"anna:pw", START + b"Content-Length: 0\r\n"),
        sent(b"anna:pw", START + b"content-LENGTH: 3\r\n"),
        sent(b"anna:pw", START + b"Transfer-Encoding: chunked\r\n"),
        sent(b"anna:pw", START + b"Authorization: Basic eA==\r\n"),
        sent(b"anna:pw", START + b"X: 1\nY: 2\r\n"),
        sent(b"anna:pw", START + b"X : 1\r\n"),
        sent(b"anna:pw") + b"GET / HTTP/1.1\r\n\r\n",
        sent(b"anna:pw").replace(b"\n\r\n\r\n", b"\nX: 1\n\r\n\r\n"),
        sent(b"anna:pw").replace(b"\n\r\n\r\n", b"\n\r\nX: 1\r\n\r\n"),
        sent(b"anna:pw").replace(b"\n\r\n\r\n", b"\n\n\r\n\r\n"),
        sent(b"anna:pw").replace(b"\n\r\n\r\n", b"\nGET / HTTP/1.1\n\r\n\r\n"),
        sent(b"x" * 80).replace(b"\n", b"\n ", 1),
        sent(b"x" * 80).replace(b"eHh4\neHh4", b"eHh4\n\neHh4"),
        sent(b"anna:pw").replace(b"Basic ", b"Bearer "),
    ],
)
def test_everything_else_stays_as_it_is_and_is_refused_as_before(request_: bytes) -> None:
    assert unfolded(request_) == request_
