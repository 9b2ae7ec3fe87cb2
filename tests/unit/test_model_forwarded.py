"""What a web server in front says of the client, in every form that is met, and whose word counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.model.acl import parse_client, parse_network
from x2gobroker.model.forwarded import UNKNOWN_ADDRESS, Asked, parse_entry, read_asked

PROXY, CLIENT = "127.0.0.1", "198.51.100.9"
PROXIES = (parse_network("127.0.0.0/8"), parse_network("2001:db8:ffff::/48"))


def asked(peer: str = PROXY, **headers: str | list[str]) -> Asked:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def values(name: str) -> list[str]:
        value = named.get(name, [])
        return [value] if isinstance(value, str) else value

    return read_asked(peer, values, PROXIES, "http", "inside:8080")


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("198.51.100.9", "198.51.100.9"),
        ("198.51.100.9:4711", "198.51.100.9"),
        ("2001:db8::9", "2001:db8::9"),
        ("[2001:db8::9]", "2001:db8::9"),
        ("[2001:db8::9]:4711", "2001:db8::9"),
        ("::ffff:198.51.100.9", "198.51.100.9"),
        ("[::ffff:198.51.100.9]:1", "198.51.100.9"),
        ('"198.51.100.9"', "198.51.100.9"),
        ('"[2001:db8::9]:4711"', "2001:db8::9"),
        (' "198.51.100.9:1" ', "198.51.100.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("unknown", None),
        ("_hidden", None),
        ("", None),
        ('""', None),
        ('"', None),
        ("198.51.100.9:", None),
        ("198.51.100.999:1", None),
        ("198.51.100.9 127.0.0.1", None),
        ("[198.51.100.9", None),
        ("for=198.51.100.9", None),
        ("localhost", None),
        ("127.1", None),
        ("1", None),
    ],
)
def test_the_forms_of_an_address(entry: str, address: str | None) -> None:
    found = parse_entry(entry)
    assert (None if found is None else str(found)) == address


@given(st.text())
def test_whatever_is_said_becomes_an_address_or_none_and_never_the_web_servers_own(text: str) -> None:
    found = asked(X_Forwarded_For=text)
    entry = parse_entry(text.split(",")[-1])
    assert found.address == (UNKNOWN_ADDRESS if entry is None else str(entry))
    assert bool(found.fault) == (entry is None)


@pytest.mark.parametrize(
    ("said", "address"),
    [
        (f"203.0.113.1, {CLIENT}", CLIENT),
        (["203.0.113.1", f"{CLIENT}:1"], CLIENT),
        (f"{CLIENT},", UNKNOWN_ADDRESS),
        ("unknown", UNKNOWN_ADDRESS),
        ("", UNKNOWN_ADDRESS),
        ("203.0.113.1, unknown", UNKNOWN_ADDRESS),
    ],
)
def test_only_the_last_entry_is_the_web_servers(said: str | list[str], address: str) -> None:
    assert asked(X_Forwarded_For=said).address == address


@pytest.mark.parametrize("peer", [CLIENT, "2001:db8::1", "::ffff:198.51.100.9"])
def test_nothing_that_a_client_says_of_itself_counts(peer: str) -> None:
    found = asked(
        peer,
        X_Forwarded_For=PROXY,
        X_Forwarded_Proto="https",
        X_Forwarded_Host="evil.example",
        Forwarded="for=127.0.0.1",
        X_Real_IP=PROXY,
    )
    assert found == Asked(str(parse_client(peer)), False, "http", "inside:8080")


def test_a_web_server_that_passes_nothing_on_is_the_client() -> None:
    """That is somebody on the web server's own host, who asks the broker directly."""
    assert asked() == Asked(PROXY, True, "http", "inside:8080")


@pytest.mark.parametrize("name", ["Forwarded", "X_Real_IP", "X_Client_IP", "True_Client_IP", "CF_Connecting_IP"])
def test_a_client_that_is_named_in_another_header_has_no_address(name: str) -> None:
    found = asked(**{name: CLIENT})
    assert found.address == UNKNOWN_ADDRESS
    assert "and no X-Forwarded-For" in found.fault
    assert asked(X_Forwarded_For=CLIENT, **{name: PROXY}).address == CLIENT


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X_Forwarded_Proto", "https"),
        ("X_Forwarded_Proto", ""),
        ("X_Forwarded_Host", "portal.example"),
        ("X_Forwarded_Server", "portal.example"),
        ("X_Forwarded_Port", "443"),
        ("Via", "1.1 portal.example"),
        ("Front_End_Https", "on"),
        ("X_Original_Forwarded_For", CLIENT),
        ("Fastly_Client_IP", CLIENT),
    ],
)
def test_who_passes_a_request_on_and_names_nobody_is_not_the_client(name: str, value: str) -> None:
    """nginx with nothing but `proxy_set_header X-Forwarded-Proto https` would make everybody a client of its host."""
    for peer in (PROXY, ""):
        found = asked(peer, **{name: value})
        assert (found.address, found.by_proxy) == (UNKNOWN_ADDRESS, True)
        assert found.fault == f"{name.replace('_', '-')}: {value}, and no X-Forwarded-For"
    assert asked(X_Forwarded_For=CLIENT, **{name: value}) == replace(asked(**{name: value}), address=CLIENT, fault="")
    assert asked(CLIENT, **{name: value}) == Asked(CLIENT, False, "http", "inside:8080")


def test_the_scheme_that_is_said_without_an_address_still_counts() -> None:
    found = asked(X_Forwarded_Proto="https", X_Forwarded_Host="portal.example")
    assert (found.address, found.scheme, found.host) == (UNKNOWN_ADDRESS, "https", "portal.example")


@pytest.mark.parametrize(
    ("proto", "host", "scheme", "shown"),
    [
        ("https", "portal.example", "https", "portal.example"),
        ("HTTPS", "portal.example:8443", "https", "portal.example:8443"),
        ("http, https", "evil.example, portal.example", "https", "portal.example"),
        ("https, gopher", "portal.example, a b", "http", "inside:8080"),
        ("", "", "http", "inside:8080"),
        ("https", "[2001:db8::1]:443", "https", "[2001:db8::1]:443"),
        ("https", "a@b", "https", "inside:8080"),
        ("https", "a/b", "https", "inside:8080"),
    ],
)
def test_what_the_browser_has_asked_for(proto: str, host: str, scheme: str, shown: str) -> None:
    found = asked(X_Forwarded_For=CLIENT, X_Forwarded_Proto=proto, X_Forwarded_Host=host)
    assert (found.scheme, found.host) == (scheme, shown)


def test_a_unix_socket_is_trusted_and_no_address() -> None:
    assert asked("").address == UNKNOWN_ADDRESS
    assert asked("", X_Forwarded_For=CLIENT).address == CLIENT
    assert parse_client(UNKNOWN_ADDRESS) is None
