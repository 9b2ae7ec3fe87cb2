"""Autologin keys in the store: claims, leases, and what happens when they run out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import URL

from x2gobroker.model.hosts import Endpoint
from x2gobroker.ssh.keys import generate_key
from x2gobroker.store import AutologinKeys, Store, StoredKey

NOW = 1_000_000.0
LINE = generate_key("ed25519").public.line('expiry-time="20991231"', "x2gobroker-1")


def a_key(server: str = "a", user: str = "anna", due: float = NOW, **more: object) -> StoredKey:
    """A key of one user on one server."""
    made = StoredKey(
        Endpoint(server, f"{server}.example"), user, "%h/keys", LINE, "SSH", "RejectPolicy", "", "", due, due + 1000
    )
    return replace(made, **more)  # type: ignore[arg-type]


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[AutologinKeys]:
    """The keys of an empty store."""
    store = Store(URL.create("sqlite", database=str(tmp_path / "s" / "x.sqlite")))
    yield AutologinKeys(store)
    store.close()


def users(found: list[StoredKey]) -> list[str]:
    """Whose keys these are."""
    return [key.user for key in found]


def test_a_key_is_found_again_as_it_was_stored(keys: AutologinKeys) -> None:
    key = replace(a_key(proxy="me@proxy:2222", policy="AutoAddPolicy"), server=Endpoint("six", "2001:db8::7", 2222))
    keys.record([key])
    (found,) = keys.claim_due(NOW, 10, 60)
    assert replace(found, lease="") == key
    assert found.lease


def test_only_what_is_due_is_claimed_the_first_to_be_due_first(keys: AutologinKeys) -> None:
    keys.record([a_key(user="late", due=NOW + 1), a_key(user="b", due=NOW), a_key(user="a", due=NOW - 5)])
    assert users(keys.claim_due(NOW, 10, 60)) == ["a", "b"]


def test_what_is_claimed_nobody_else_gets_until_the_lease_is_over(keys: AutologinKeys) -> None:
    keys.record([a_key()])
    assert len(keys.claim_due(NOW, 10, 60)) == 1
    assert keys.claim_due(NOW + 59, 10, 60) == []
    assert len(keys.claim_due(NOW + 60, 10, 60)) == 1


def test_what_is_done_is_gone(keys: AutologinKeys) -> None:
    keys.record([a_key(), a_key(user="bert")])
    claimed = keys.claim_due(NOW, 10, 60)
    keys.done(claimed[:1])
    assert keys.all() == claimed[1:]
    keys.done([])


def test_a_sweeper_that_comes_too_late_ends_nobody_elses_claim(keys: AutologinKeys) -> None:
    keys.record([a_key()])
    late = keys.claim_due(NOW, 10, 60)
    current = keys.claim_due(NOW + 60, 10, 60)
    keys.done(late)
    keys.postpone(late, NOW)
    assert keys.all() == current


def test_what_is_postponed_comes_back_then_and_counts_its_tries(keys: AutologinKeys) -> None:
    keys.record([a_key()])
    keys.postpone(keys.claim_due(NOW, 10, 60), NOW + 30)
    assert keys.claim_due(NOW + 29, 10, 60) == []
    (found,) = keys.claim_due(NOW + 30, 10, 60)
    assert found.tries == 1


def test_one_server_does_not_fill_the_queue(keys: AutologinKeys) -> None:
    keys.record([a_key("dead", f"user{number}", NOW - 100) for number in range(50)])
    keys.record([a_key("alive", due=NOW)])
    claimed = keys.claim_due(NOW, 10, 60, per_place=5)
    assert Counter(key.server.name for key in claimed) == {"dead": 5, "alive": 1}
    assert keys.postpone_place(claimed[0].place, NOW + 30, NOW) == 45
    assert keys.claim_due(NOW, 10, 60, per_place=5) == []
    assert len(keys.claim_due(NOW + 30, 100, 60, per_place=100)) == 45


def test_the_limit_holds(keys: AutologinKeys) -> None:
    keys.record([a_key(f"h{number}") for number in range(9)])
    assert len(keys.claim_due(NOW, 4, 60)) == 4
    assert len(keys.claim_due(NOW, 10, 60)) == 5


def test_the_same_key_again_stays_for_the_longer_time(keys: AutologinKeys) -> None:
    keys.record([a_key(due=NOW + 60)])
    keys.record([a_key(due=NOW + 90)])
    keys.record([a_key(due=NOW + 30)])
    (found,) = keys.all()
    assert (found.due, found.give_up) == (NOW + 90, NOW + 1090)


def test_a_key_that_is_put_again_while_it_is_taken_away_is_not_forgotten(keys: AutologinKeys) -> None:
    keys.record([a_key()])
    claimed = keys.claim_due(NOW, 10, 60)
    keys.record([a_key(due=NOW + 60)])
    keys.done(claimed)
    assert [key.due for key in keys.all()] == [NOW + 60]


def test_other_keys_users_files_and_servers_are_other_rows(keys: AutologinKeys) -> None:
    other = generate_key("ed25519").public.line("", "x2gobroker-1")
    many = [a_key(), a_key("b"), a_key(user="bert"), a_key(keys_file="%h/other"), a_key(line=other)]
    keys.record(many)
    assert {key.id for key in keys.all()} == {key.id for key in many}
    assert len(keys.all()) == 5


def test_the_options_and_the_comment_make_no_other_key() -> None:
    key = a_key()
    assert replace(key, line=LINE.replace("20991231", "20990101").replace("broker-1", "broker-2")).id == key.id


def test_keys_on_another_brokers_host_are_left_to_it_until_they_are_given_up(keys: AutologinKeys) -> None:
    keys.record([a_key(broker_host="here"), a_key(broker_host="there", user="bert")])
    assert users(keys.claim_due(NOW, 10, 60, "here")) == ["anna"]
    assert keys.claim_due(NOW + 999, 10, 60, "elsewhere") == []
    assert sorted(users(keys.claim_due(NOW + 1000, 10, 60, "elsewhere"))) == ["anna", "bert"]
    assert a_key(broker_host="here").place != a_key(broker_host="there").place


def test_many_sweepers_at_once_share_the_rows(tmp_path: Path) -> None:
    stores = [Store(URL.create("sqlite", database=str(tmp_path / "s" / "x.sqlite"))) for _ in range(4)]
    AutologinKeys(stores[0]).record([a_key(f"h{number % 20}", f"user{number}") for number in range(200)])

    def sweep(store: Store) -> list[str]:
        keys, found = AutologinKeys(store), []
        while claimed := keys.claim_due(NOW, 7, 60):
            found += [key.id for key in claimed]
            keys.done(claimed)
        return found

    with ThreadPoolExecutor(4) as pool:
        shares = list(pool.map(sweep, stores))
    everything = [each for share in shares for each in share]
    assert len(everything) == len(set(everything)) == 200
    for store in stores:
        store.close()


@given(user=st.text(min_size=1), file=st.text(min_size=1))
def test_any_text_has_an_id(user: str, file: str) -> None:
    assert len(a_key(user=user, keys_file=file).id) == 64
