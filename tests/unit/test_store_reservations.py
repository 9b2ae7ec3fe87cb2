"""Reservations in the store: who waits for a session on which server."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import CLOCK_SECONDS
from x2gobroker.model.load import LoadReport
from x2gobroker.store import Loads, Reservation, Reservations, Seen, ServerLoad, Store
from x2gobroker.store.reservations import KEEP_SECONDS, SWEEP_SECONDS, Claim, Held, Place
from x2gobroker.store.server_tables import RESERVATIONS

NOW = 1_700_000_000.0
SERVERS = (Endpoint("ts01", "10.0.0.1"), Endpoint("ts02.example.org", "10.0.0.2"))
KEYS = tuple(server.key for server in SERVERS)


@pytest.fixture
def reservations(tmp_path: Path) -> Iterator[Reservations]:
    """The reservations of an empty store."""
    store = Store(URL.create("sqlite", database=str(tmp_path / "store.sqlite")))
    yield Reservations(store)
    store.close()


def hold(
    reservations: Reservations,
    user: str = "anna",
    server: int | None = 0,
    now: float = NOW,
    profile: str = "desk",
    seconds: float = 90,
    since: float | None = None,
) -> list[Held]:
    """Reserve a place on a server, or on none; the reservations that were there to look at."""
    shown: list[Held] = []

    def pick(found: Mapping[str, list[Held]]) -> Place | None:
        assert set(found) == set(KEYS)
        shown.extend(row for rows in found.values() for row in rows)
        return None if server is None else Place(SERVERS[server], 7)

    moment = now if since is None else since
    claim = Claim(user, "inifile", profile, seconds)
    place = reservations.hold(claim, dict.fromkeys(KEYS, moment), pick, now)
    assert (place is None) == (server is None)
    return shown


def report(reservations: Reservations, key: str, answered: float) -> None:
    row = ServerLoad(key, key, "ok", LoadReport(100, 1000, 1, 1000, 1), answered, answered, 0.1)
    Loads(reservations.store).put([row])


def users(found: list[Reservation]) -> list[str]:
    return [reservation.user for reservation in found]


def in_store(reservations: Reservations) -> list[str]:
    """The users of all rows, expired or not."""
    with reservations.store.begin() as connection:
        return sorted(connection.execute(select(RESERVATIONS.c.username)).scalars())


def test_what_was_reserved_is_seen_by_the_next(reservations: Reservations) -> None:
    assert hold(reservations) == []
    seen = hold(reservations, "bert", now=NOW + 5)
    assert seen == [Held("10.0.0.1:22", NOW, NOW + 90, 7, None)]
    first, second = reservations.all(NOW + 5)
    assert first == Reservation("anna", "inifile", "desk", "10.0.0.1:22", "ts01", NOW, NOW + 90, 7, None, "")
    assert second.user == "bert"


def test_nothing_is_kept_where_nothing_is_picked_or_reserved(reservations: Reservations) -> None:
    hold(reservations, server=None)
    hold(reservations, seconds=0)
    assert in_store(reservations) == []


def test_what_has_expired_is_shown_only_where_the_sessions_are_known_as_of_an_earlier_moment(
    reservations: Reservations,
) -> None:
    report(reservations, KEYS[0], NOW + 60)
    hold(reservations)
    assert hold(reservations, "bert", server=None, now=NOW + 91) == []
    assert len(hold(reservations, "bert", server=None, now=NOW + 91, since=NOW + 60)) == 1
    assert reservations.all(NOW + 91) == []


def test_the_same_profile_again_replaces_an_open_reservation(reservations: Reservations) -> None:
    hold(reservations, server=0)
    assert hold(reservations, server=1, now=NOW + 10) == []
    assert [(row.user, row.name) for row in reservations.all(NOW + 10)] == [("anna", "ts02.example.org")]


def test_another_profile_a_confirmed_one_and_nobody_in_particular_replace_nothing(reservations: Reservations) -> None:
    hold(reservations)
    assert reservations.confirm("anna", KEYS[0], NOW + 5)
    hold(reservations, now=NOW + 6)
    hold(reservations, now=NOW + 7, profile="office")
    hold(reservations, "", now=NOW + 8)
    hold(reservations, "", now=NOW + 9)
    assert users(reservations.all(NOW + 9)) == ["anna", "anna", "anna", "", ""]


def test_a_session_confirms_the_reservation_on_its_server(reservations: Reservations) -> None:
    hold(reservations)
    assert not reservations.confirm("anna", KEYS[1], NOW + 5)
    assert not reservations.confirm("bert", KEYS[0], NOW + 5)
    assert not reservations.confirm("", KEYS[0], NOW + 5)
    assert reservations.all(NOW + 5)[0].is_open
    assert reservations.confirm("anna", KEYS[0], NOW + 9, NOW + 4, "anna-50-1700000004_stDKDE_dp24")
    row = reservations.all(NOW + 9)[0]
    assert (row.is_open, row.began, row.session) == (False, NOW + 4, "anna-50-1700000004_stDKDE_dp24")


def test_a_session_from_before_confirms_nothing(reservations: Reservations) -> None:
    hold(reservations)
    assert not reservations.confirm("anna", KEYS[0], NOW + 5, NOW - 600)
    assert reservations.all(NOW + 5)[0].is_open


def test_one_session_confirms_one_reservation_however_often_it_is_seen(reservations: Reservations) -> None:
    hold(reservations)
    hold(reservations, now=NOW + 1, profile="office")
    assert reservations.confirm("anna", KEYS[0], NOW + 9, NOW + 4, "one")
    assert not reservations.confirm("anna", KEYS[0], NOW + 19, NOW + 4, "one")
    assert [row.is_open for row in reservations.all(NOW + 19)] == [False, True]
    assert reservations.confirm("anna", KEYS[0], NOW + 20, NOW + 11, "other")


def test_a_listing_confirms_all_at_once(reservations: Reservations) -> None:
    hold(reservations)
    hold(reservations, now=NOW + 1, profile="office", server=1)
    seen = [Seen(KEYS[1], NOW + 8, "b"), Seen(KEYS[0], NOW + 7, "a"), Seen(KEYS[0], NOW + 3, "c"), Seen("x:22", NOW)]
    assert reservations.confirm_all("anna", seen, NOW + 10) == 2
    assert [(row.server, row.session) for row in reservations.all(NOW + 10)] == [(KEYS[0], "c"), (KEYS[1], "b")]
    assert reservations.confirm_all("anna", seen, NOW + 11) == 0


@pytest.mark.parametrize("name", ["ts02", "ts02.example.org", "TS02.example.org.", "10.0.0.2"])
def test_a_client_may_name_the_server_as_it_likes(reservations: Reservations, name: str) -> None:
    hold(reservations, server=0, profile="office")
    hold(reservations, server=1)
    assert reservations.reported("anna", name, "anna-50-1700000003_stDKDE_dp24", NOW + 6)
    assert [row.server for row in reservations.all(NOW + 6) if not row.is_open] == [KEYS[1]]


def test_a_client_that_names_an_unknown_server_means_the_only_one(reservations: Reservations) -> None:
    hold(reservations)
    assert reservations.reported("anna", "gateway", "anna-50-1700000003_stDKDE_dp24", NOW + 6)


def test_with_two_open_places_an_unknown_server_says_nothing(reservations: Reservations) -> None:
    hold(reservations)
    hold(reservations, server=1, profile="office")
    assert not reservations.reported("anna", "gateway", "anna-50-1700000003_stDKDE_dp24", NOW + 6)
    assert not reservations.reported("", "ts01", "", NOW + 6)
    assert not reservations.reported("bert", "ts01", "", NOW + 6)


def test_a_client_that_resumes_an_old_session_confirms_nothing(reservations: Reservations) -> None:
    hold(reservations)
    assert not reservations.reported("anna", "ts01", "anna-50-1699990000_stDKDE_dp24", NOW + 6)


def test_a_session_name_without_a_time_is_of_now(reservations: Reservations) -> None:
    hold(reservations)
    assert reservations.reported("anna", "ts01", "something", NOW + 6)
    assert reservations.all(NOW + 6)[0].began == NOW + 6


def test_the_clock_of_a_server_may_be_ahead(reservations: Reservations) -> None:
    hold(reservations)
    assert reservations.reported("anna", "ts01", "anna-50-1700000900_stDKDE_dp24", NOW + 6)
    assert reservations.all(NOW + 6)[0].began == NOW + 6


def test_what_was_reserved_while_a_clock_was_ahead_takes_no_place_and_is_dropped(reservations: Reservations) -> None:
    """Clocks of several brokers may differ a little: what is later by that counts."""
    hold(reservations, "early", now=NOW + 7200)
    hold(reservations, "ahead", now=NOW + CLOCK_SECONDS - 1)
    assert [row.made for row in hold(reservations, "bert", now=NOW)] == [NOW + CLOCK_SECONDS - 1]
    hold(reservations, "carl", now=NOW + 1)
    assert in_store(reservations) == ["ahead", "bert", "carl"]


def test_what_has_expired_is_dropped_once_a_report_can_have_it(reservations: Reservations) -> None:
    report(reservations, KEYS[1], NOW - 5)
    hold(reservations, "without-reports", server=0)
    hold(reservations, "with-reports", server=1)
    hold(reservations, "late", server=1, now=NOW + 100)
    assert in_store(reservations) == ["late", "with-reports"]
    report(reservations, KEYS[1], NOW + 120)
    hold(reservations, "later", server=1, now=NOW + 100 + SWEEP_SECONDS + 1)
    assert in_store(reservations) == ["late", "later"]


def test_where_reports_have_stopped_it_is_dropped_after_a_day(reservations: Reservations) -> None:
    report(reservations, KEYS[0], NOW - 5)
    hold(reservations)
    hold(reservations, "late", now=NOW + KEEP_SECONDS + 200)
    assert in_store(reservations) == ["late"]


def test_a_child_process_does_not_wait_for_a_thread_of_its_parent(reservations: Reservations) -> None:
    hold(reservations, "parent")
    with reservations._in_turn():
        child = os.fork()
        if not child:
            try:
                hold(reservations, "child")
            finally:  # pytest must not go on in the child
                os._exit(0 if "child" in [row.user for row in reservations.all(NOW)] else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert [row.user for row in reservations.all(NOW)] == ["parent", "child"]
