"""What is believed of a server's report: its own sessions, whatever it says of others."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest

from x2gobroker.inventory.claims import own_claims
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.server_report import MOST_SESSIONS, SeenSession

ONE = SeenSession("anna-50-1700000000_stDXFCE_dp24", "anna", 50, "R", 1.7e9, "192.0.2.9", "ts01", (30001, 30002, 30003))
TS01, TS02 = Endpoint("ts01.example.org", "10.0.0.1"), Endpoint("ts02.example.org", "10.0.0.2")
BY_ADDRESS = Endpoint("10.0.0.3", "10.0.0.3")
ALL = (TS01, TS02, BY_ADDRESS)


def believed(server: str, own: Endpoint = TS01, others: tuple[Endpoint, ...] = ALL) -> bool:
    """Whether a server may say that this is one of its sessions."""
    claims = own_claims([replace(ONE, server=server)], own, others)
    assert claims.is_whole == bool(claims.sessions)
    return bool(claims.sessions)


@pytest.mark.parametrize("name", ["ts01", "TS01.example.org", "ts01.example.org.", "10.0.0.1"])
def test_a_server_speaks_for_itself(name: str) -> None:
    assert believed(name)


@pytest.mark.parametrize("name", ["ts02", "ts02.example.org", "10.0.0.2", "10.0.0.3"])
def test_a_server_that_lies_about_sessions_of_others_is_not_believed(name: str) -> None:
    assert not believed(name)
    assert not believed(name, own=replace(TS01, name="10.0.0.1"))


@pytest.mark.parametrize("own", [TS01, BY_ADDRESS])
def test_a_server_that_was_renamed_or_is_known_by_its_address_is_believed(own: Endpoint) -> None:
    assert believed("new-name", own)


def test_of_two_servers_of_one_name_each_speaks_for_itself() -> None:
    twins = (Endpoint("ts01", "10.0.0.1"), Endpoint("ts01", "10.0.0.9"))
    assert all(believed("ts01", own, twins) for own in twins)


def test_the_same_server_at_another_port_is_another_one() -> None:
    there = replace(TS01, name="other", port=2222)
    assert not believed("other", TS01, (TS01, there))
    assert believed("other", there, (TS01, there))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "anna-50-1700000000_stDXFCE_dp24\n"},
        {"name": "../../etc"},
        {"name": "inifile/desk"},
        {"user": "anna\x1b[2J"},
        {"user": ""},
        {"state": "F"},
        {"state": "E"},
        {"client": "a b"},
        {"display": -1},
        {"display": 70000},
        {"since": math.nan},
        {"since": math.inf},
        {"since": -1.0},
    ],
)
def test_what_can_be_no_session_is_not_made(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="session"):
        replace(ONE, **wrong)  # type: ignore[arg-type]


def test_what_is_told_twice_counts_once() -> None:
    claims = own_claims([ONE, replace(ONE, state="S")], TS01, ALL)
    assert (claims.sessions, claims.odd) == ((ONE,), 1)


def test_the_same_name_may_be_two_users() -> None:
    assert len(own_claims([ONE, replace(ONE, user="bert")], TS01, ALL).sessions) == 2


def test_a_million_sessions_are_not_taken_and_take_no_time() -> None:
    many = [replace(ONE, name=f"anna-50-{1_600_000_000 + number}") for number in range(MOST_SESSIONS + 500)]
    claims = own_claims(many, TS01, ALL)
    assert (len(claims.sessions), claims.odd) == (MOST_SESSIONS, 500)


def test_a_server_that_calls_itself_by_ten_thousand_names_takes_no_time() -> None:
    farm = [Endpoint(f"ts{number}.example.org", f"10.1.0.{number}") for number in range(200)]
    many = [replace(ONE, server=f"name{number}", name=f"anna-50-{1_600_000_000 + number}") for number in range(10_000)]
    began = time.process_time()
    claims = own_claims(many, TS01, farm)
    assert time.process_time() - began < 5
    assert (len(claims.sessions), claims.foreign) == (16, 9984)
