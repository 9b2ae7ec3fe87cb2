"""The head of a plain request, as anybody may send it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.remote.post import LARGEST_BODY, BadRequestError, read_head

HEAD = b"POST /websockify HTTP/1.1\r\nHost: a\r\nContent-Length: 52"


def test_what_a_browser_sends() -> None:
    path, headers, length = read_head(HEAD + b"\r\nOrigin:https://a\r\nX: \r\nAccept: */* \r\nAccept: x\r\nY: \xfc")
    assert (path, length) == ("/websockify", 52)
    assert headers["Origin"] == "https://a"
    assert headers["X"] == ""
    assert headers.get_all("accept") == ["*/*", "x"]
    assert headers["Y"] == "\xfc"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HEAD.replace(b"POST", b"PUT"), 400),
        (HEAD.replace(b"1.1", b"1.0"), 400),
        (HEAD.replace(b"/websockify", b"http://a/websockify"), 400),
        (HEAD.replace(b"/websockify", b"/web sockify"), 400),
        (HEAD + b"\r\n folded: no", 400),
        (HEAD + b"\r\nno colon", 400),
        (HEAD + b"\r\nspace : 1", 400),
        (HEAD + b"\r\nA: \x00", 400),
        (HEAD + b"\r\nA: b\nContent-Length: 1", 400),
        (HEAD + b"\r\nA: b" * 200, 400),
        (HEAD + b"\r\nContent-Length: 52", 400),
        (HEAD.replace(b"52", b"+52"), 400),
        (HEAD.replace(b"52", b"5_2"), 400),
        (HEAD.replace(b"52", b""), 400),
        (HEAD.replace(b"52", str(LARGEST_BODY + 1).encode()), 413),
        (HEAD.replace(b"Content-Length: 52", b"X: y"), 411),
        (HEAD + b"\r\nTransfer-Encoding: chunked", 411),
    ],
)
def test_what_is_no_head(head: bytes, status: int) -> None:
    with pytest.raises(BadRequestError) as caught:
        read_head(head)
    assert caught.value.status == status


@given(st.binary(max_size=300))
def test_anything_behind_a_head(more: bytes) -> None:
    with contextlib.suppress(BadRequestError):
        assert 0 <= read_head(HEAD + b"\r\n" + more)[2] <= LARGEST_BODY
