"""Behind a web server that is trusted, the client's address is the one that it names. In process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.web.conftest import PASSWORD, Bench, authid_of

Make = Callable[..., Bench]
PROXY = "127.0.0.1"


def login(bench: Bench, peer: str, **headers: str) -> str:
    """Log in by a web server at `peer`; the authid, which is for the client's address only."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    fields = {"user": "anna", "password": PASSWORD}
    return authid_of(bench.app.post("/plain/inifile/", fields, named, extra_environ={"REMOTE_ADDR": peer}))


def is_at(bench: Bench, address: str, authid: str) -> bool:
    """Whether an authid is good for this address, without any header."""
    return "Access granted" in bench.post(address=address, user="anna", authid=authid, task="listsessions").text


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        (PROXY, "192.0.2.9", "192.0.2.9"),
        (PROXY, "203.0.113.1, 192.0.2.9", "192.0.2.9"),  # only the last entry is the web server's
        (PROXY, "::ffff:192.0.2.9", "192.0.2.9"),
        (PROXY, "2001:db8::9", "2001:db8::9"),
        ("10.1.2.3", "192.0.2.9", "192.0.2.9"),
        ("192.0.2.8", "192.0.2.9", "192.0.2.8"),
        (PROXY, "nonsense", PROXY),
        (PROXY, "192.0.2.9, ", PROXY),
        (PROXY, "", PROXY),
    ],
)
def test_whose_word_counts(broker_with: Make, peer: str, forwarded: str, address: str) -> None:
    bench = broker_with("trusted-proxies = 127.0.0.1, 10.0.0.0/8")
    headers = {"X_Forwarded_For": forwarded} if forwarded else {}
    for asked in {address, "192.0.2.9", PROXY}:
        assert is_at(bench, asked, login(bench, peer, **headers)) == (asked == address)


def test_nobody_is_trusted_by_default(broker: Bench) -> None:
    assert is_at(broker, PROXY, login(broker, PROXY, X_Forwarded_For="192.0.2.9"))
    assert not is_at(broker, "192.0.2.9", login(broker, PROXY, X_Forwarded_For="192.0.2.9"))
