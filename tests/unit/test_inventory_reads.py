"""Where the sessions of a user are, by what is known, and which servers are to be asked all the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.unit.configured import Files
from tests.unit.inventory_values import NOW, name_of, seen
from x2gobroker.inventory.happenings import Answered, Changed, Placed, Said, Silent, Told
from x2gobroker.inventory.reads import Reads, Whereabouts, is_called, known_for
from x2gobroker.inventory.record import Inventory, News
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import BROKER, CHECKLOAD, ENDED, WATCH, KnownServer
from x2gobroker.store import Store

TS01, TS02, TS03 = (Endpoint(f"ts0{number}.example.org", f"10.0.0.{number}") for number in (1, 2, 3))
KEYS = (TS01.key, TS02.key, TS03.key)
RULE = 600.0


class Place:
    """An inventory, and a clock that is set."""

    def __init__(self, store: Store) -> None:
        self.now = NOW
        self.store = store
        self.inventory = Inventory(store, lambda: self.now)
        self.reads = Reads(store, lambda: self.now)

    def take(self, *news: News) -> None:
        self.inventory.take(news)

    def of(self, user: str = "anna", seconds: float = RULE) -> Whereabouts:
        return self.reads.of_user(user, KEYS, seconds)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Nothing is known."""
    store = Store(URL.create("sqlite", database=str(tmp_path / "store.sqlite")))
    yield Place(store)
    store.close()


def shown(found: Whereabouts) -> list[tuple[str, str]]:
    return [(one.server.key, one.session.state) for one in found.found]


def everything(now: float, *more: News) -> list[News]:
    """All three servers have said that they have no sessions, unless they are in `more`."""
    said = {server.key for server, _ in more}
    return [(server, Told(now, now)) for server in (TS01, TS02, TS03) if server.key not in said] + list(more)


def test_of_what_nobody_knows_all_are_to_be_asked(place: Place) -> None:
    assert place.of() == Whereabouts((), frozenset(KEYS))
    assert place.of().to_ask == set(KEYS)


def test_who_has_no_session_asks_nobody(place: Place) -> None:
    place.take(*everything(NOW, (TS02, Told(NOW, NOW, (seen("bert", server="ts02"),)))))
    assert place.of() == Whereabouts()


def test_who_has_sessions_asks_where_they_are_and_is_offered_suspended_ones_first(place: Place) -> None:
    place.take(
        *everything(NOW, (TS01, Told(NOW, NOW, (seen(),))), (TS03, Told(NOW, NOW, (seen(display=51, state="S"),))))
    )
    found = place.of()
    assert shown(found) == [(TS03.key, "S"), (TS01.key, "R")]
    assert found.to_ask == {TS01.key, TS03.key}
    assert found.unknown == frozenset()
    one = found.found[0]
    assert (one.server.name, one.as_of, one.age(NOW + 7), one.session.source) == (TS03.name, NOW, 7.0, "report")


def test_what_is_older_than_the_rule_is_to_be_asked(place: Place) -> None:
    place.take(*everything(NOW), (TS02, Told(NOW, NOW, (seen(),))))
    place.now = NOW + 300
    place.take((TS01, Told(NOW + 300, NOW + 300)), (TS03, Answered(NOW + 300, NOW + 300, CHECKLOAD)))
    place.now = NOW + RULE
    assert place.of().unknown == frozenset()
    place.now += 1
    assert place.of().unknown == {TS02.key, TS03.key}
    assert shown(place.of()) == [(TS02.key, "R")], "which is old, and not over"
    assert not place.of().found[0].is_fresh(RULE, place.now)


def test_a_watch_is_known_as_long_as_it_gives_signs_of_life(place: Place) -> None:
    place.take(*everything(NOW), (TS01, Told(NOW, NOW, (seen(),), WATCH)))
    place.now = NOW + 700
    place.take((TS01, Changed(NOW, NOW + 698, NOW + 700)))
    found = place.of()
    assert found.unknown == {TS02.key, TS03.key}
    assert (found.found[0].as_of, found.found[0].is_fresh(RULE, place.now)) == (NOW + 698, True)


@pytest.mark.parametrize(("behind", "counts"), [(2.0, True), (14.0, True), (22.0, True), (24.0, False)])
def test_a_load_checker_whose_clock_is_behind_counts_as_long_as_it_is_not_too_old(
    place: Place, behind: float, counts: bool
) -> None:
    """Its last sign of life has just come."""
    place.take(*((server, Told(NOW - behind - 2, NOW - behind, (), WATCH)) for server in (TS01, TS02, TS03)))
    assert (place.of(seconds=-1.0).unknown == frozenset()) == counts


def test_where_each_session_is_by_its_name(place: Place) -> None:
    placed = Placed(NOW, "anna", "inifile", "desk", NOW + 90)
    both: list[News] = [(server, Told(NOW, NOW, (seen(),))) for server in (TS01, TS02)]
    place.take(*both, (TS03, Told(NOW, NOW, (seen(display=51), seen("bert", 52)))), (TS03, placed))
    assert place.of().where == {name_of("anna"): {TS01.key, TS02.key}, name_of("anna", 51): {TS03.key}}


def test_with_zero_everybody_is_always_asked(place: Place) -> None:
    place.take(*everything(NOW, (TS01, Told(NOW, NOW, (seen(),)))))
    found = place.of(seconds=0)
    assert found.unknown == set(KEYS)
    assert shown(found) == [(TS01.key, "R")]


def test_a_clock_that_was_set_back_makes_nothing_fresh(place: Place) -> None:
    place.take(*everything(NOW))
    place.now = NOW - 2
    assert place.of().unknown == frozenset(), "hosts may differ by a little"
    place.now = NOW - 3
    assert place.of().unknown == set(KEYS), "nobody knows how old it is"
    place.now = NOW - 3600
    assert place.of().unknown == set(KEYS)


def test_a_server_that_is_silent_counts_as_long_as_the_rule_allows(place: Place) -> None:
    place.take(*everything(NOW, (TS01, Told(NOW, NOW, (seen(),)))))
    place.now = NOW + 300
    place.take((TS01, Silent(NOW + 300, "timeout")))
    assert shown(place.of()) == [(TS01.key, "R")]
    assert (place.of().unknown, place.of().found[0].server.is_silent) == (frozenset(), True)
    place.now = NOW + 86400 * 7
    assert shown(place.of()) == [(TS01.key, "R")]
    assert place.of().unknown == set(KEYS)


def test_who_was_just_sent_to_a_server_asks_there(place: Place) -> None:
    place.take(*everything(NOW, (TS02, Placed(NOW, "anna", "inifile", "desk", NOW + 90))), (TS02, Told(NOW, NOW)))
    assert shown(place.of()) == [(TS02.key, "E")]
    assert place.of().to_ask == {TS02.key}
    place.now = NOW + 90
    assert place.of().found == ()


def test_what_a_client_has_said_is_asked_for_and_what_a_broker_has_ended_is_not(place: Place) -> None:
    place.take(*everything(NOW))
    place.now = NOW + 5
    place.take((TS01, Said(NOW + 5, "anna", name_of("anna"), "R")))
    assert place.of().to_ask == {TS01.key}
    place.now = NOW + 9
    place.take((TS01, Said(NOW + 9, "anna", name_of("anna"), ENDED, BROKER)))
    assert place.of() == Whereabouts()


def test_servers_that_were_not_asked_for_are_not_looked_at(place: Place) -> None:
    place.take(*everything(NOW, (TS01, Told(NOW, NOW, (seen(),)))))
    assert place.reads.of_user("anna", [TS02.key], RULE) == Whereabouts()


def test_a_server_under_another_address_has_each_session_once(place: Place) -> None:
    """Profiles name it otherwise since: what is known of the old address stays, and is old."""
    place.take((TS01, Told(NOW, NOW, (seen(),))))
    place.now = NOW + 700
    place.take(*everything(NOW + 700, (TS02, Told(NOW + 700, NOW + 700, (seen(),)))))
    assert shown(place.of()) == [(TS02.key, "R")]


def test_of_two_servers_that_have_the_same_session_both_are_asked(place: Place) -> None:
    """They have one name and one session database, and nobody can tell where it is; or both are old."""
    both: list[News] = [(server, Told(NOW, NOW, (seen(),))) for server in (TS01, TS02)]
    place.take(*everything(NOW, *both))
    assert place.of().to_ask == {TS01.key, TS02.key}
    place.now = NOW + 700
    assert shown(place.of()) == [(TS01.key, "R"), (TS02.key, "R")]


def test_everything_by_server_and_user(place: Place) -> None:
    place.take(
        (TS02, Told(NOW, NOW, (seen("bert"), seen("anna", 51)))),
        (TS01, Told(NOW, NOW, (seen("bert", 52),))),
        (TS03, Silent(NOW, "timeout")),
        (TS01, Said(NOW, "carl", name_of("carl"), ENDED, BROKER)),
    )
    found = [(one.server.name[:4], one.session.user) for one in place.reads.everywhere()]
    assert found == [("ts01", "bert"), ("ts02", "anna"), ("ts02", "bert")]
    assert [one.session.display for one in place.reads.everywhere("bert", "ts01")] == [52]
    assert place.reads.everywhere("carl") == []
    assert set(place.reads.servers()) == set(KEYS)


@pytest.mark.parametrize("name", ["ts01", "TS01.example.org", "10.0.0.1", "10.0.0.1:2222", "ts01.example.org."])
def test_how_a_server_may_be_called(name: str) -> None:
    server = KnownServer("10.0.0.1:2222", "ts01.example.org")
    assert is_called(server, name)
    assert not is_called(replace(server, key="10.0.0.2:2222", name="ts02"), name)


def test_a_server_with_an_ipv6_address() -> None:
    assert is_called(KnownServer("[fd00::4]:22", "ts04"), "fd00::4")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 600.0), ("load-checker-intervals = 60", 120.0), ("sessions-known-for = 0", 0.0),
     ("sessions-known-for = 45", 45.0), ("sessions-known-for = -1\nload-checker-intervals = 10", 20.0)],
)  # fmt: skip
def test_the_rule(files: Files, text: str, seconds: float) -> None:
    assert known_for(files.write(f"[global]\n{text}\n")) == seconds
