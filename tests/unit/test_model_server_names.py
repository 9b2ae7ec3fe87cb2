"""Which host of a profile a server means by the name that it gives itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import MANY
from x2gobroker.model.hosts import Host, parse_host
from x2gobroker.model.server_names import find_host, is_named


def found(hosts: str, reported: str, own_name: str = "") -> str:
    host = find_host([parse_host(text) for text in hosts.split()], reported, own_name)
    return host.name if host else ""


@pytest.mark.parametrize(
    ("hosts", "reported", "expected"),
    [
        ("ts01 ts02", "ts02", "ts02"),
        ("ts01 ts02", "TS02", "ts02"),
        ("ts01 ts02", "ts02.", "ts02"),
        ("ts01 ts02", "ts03", ""),
        ("ts01.example.org ts02.example.org", "ts02", "ts02.example.org"),
        ("ts01 ts02", "ts02.example.org", "ts02"),
        ("ts01.example.org", "ts01.example.net", ""),
        ("ts01.a.org ts01.b.org", "ts01", ""),
        ("ts01.a.org ts01.b.org", "ts01.b.org", "ts01.b.org"),
        ("ts01 ts01.b.org", "ts01", "ts01"),
        ("ts01 ts01.b.org", "ts01.c.org", "ts01"),
        ("192.0.2.1 192.0.2.2", "192.0.2.2", "192.0.2.2"),
        ("192.0.2.1", "192", ""),
        ("2001:db8::1", "2001:DB8::1", "2001:db8::1"),
        ("ts1", "ts10", ""),
        ("ts01", "", ""),
        ("ts01", ".", ""),
        ("ts01", " ", ""),
        ("ts01.", "ts01", "ts01."),
    ],
)
def test_names_that_mean_a_host(hosts: str, reported: str, expected: str) -> None:
    assert found(hosts, reported) == expected


def test_a_host_is_known_by_its_address_too() -> None:
    hosts = [Host("ts01", "192.0.2.1"), Host("ts02", "srv2.example.org", 2222)]
    assert find_host(hosts, "192.0.2.1") == hosts[0]
    assert find_host(hosts, "srv2.example.org") == hosts[1]
    assert find_host(hosts, "ts02.example.org") == hosts[1]


def test_one_host_under_two_entries_is_ambiguous_only_by_its_short_name() -> None:
    assert found("ts01.a.org ts02.a.org ts01.b.org", "ts02") == "ts02.a.org"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_localhost_stands_for_this_machine(name: str) -> None:
    assert found(f"ts01 {name}", "broker1", own_name="broker1.example.org") == name
    assert found(f"ts01 {name}", "broker1.example.org", own_name="broker1") == name
    assert found(f"ts01 {name}", "broker2", own_name="broker1") == ""
    assert found(f"ts01 {name}", "broker1") == ""


def test_an_entry_of_its_own_wins_over_localhost() -> None:
    assert found("localhost broker1", "broker1", own_name="broker1") == "broker1"


@pytest.mark.parametrize(
    ("hosts", "reported", "expected"),
    [
        ("ts01", "ts01.example.org", True),
        ("ts01.a.org ts01.b.org", "ts01", True),
        ("ts01.a.org", "ts01.b.org", False),
        ("localhost", "broker", True),
        ("", "ts01", False),
    ],
)
def test_a_server_that_profiles_have_by_several_names_is_called_by_each(
    hosts: str, reported: str, expected: bool
) -> None:
    assert is_named([parse_host(text) for text in hosts.split()], reported, "broker") == expected


def test_no_hosts_no_host() -> None:
    assert find_host([], "ts01", "ts01") is None


NAMES = st.sampled_from(["ts01", "ts02", "ts01.a.org", "ts01.b.org", "TS02", "localhost", "10.0.0.1", "::1", "a", ""])


@MANY
@given(st.lists(st.builds(Host, NAMES, NAMES)), NAMES | st.text(max_size=10), NAMES)
def test_what_is_found_is_one_of_the_hosts_and_exact_names_win(hosts: list[Host], reported: str, own: str) -> None:
    host = find_host(hosts, reported, own)
    assert host is None or host in hosts
    exact = [each for each in hosts if reported and reported in (each.name, each.address)]
    if exact and reported.strip(". ") == reported:
        assert host is not None
        assert reported.lower() in (host.name.lower(), host.address.lower())
