"""Taking autologin keys away: on time, in spite of dead servers, and after the broker that put them is gone."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.support.processes import wait_until
from tests.unit.configured import Files
from tests.unit.key_servers import FarmOf, KeyServers
from x2gobroker.autologin import Sweep, sweep
from x2gobroker.errors import StoreError
from x2gobroker.model.hosts import Endpoint
from x2gobroker.settings import Settings
from x2gobroker.ssh.keys import generate_key
from x2gobroker.store import AutologinKeys, Store, StoredKey

NOW = 1_000_000.0
FILE = "%h/keys"
LINE = generate_key("ed25519").public.line('expiry-time="20991231"', "x2gobroker-1")
OTHER_LINE = generate_key("ed25519").public.line('expiry-time="20991231"', "x2gobroker-2")
OWN = generate_key("ed25519").public.line("", "own")


@dataclass
class World:
    """Servers in memory, a store, and a sweep."""

    servers: KeyServers
    keys: AutologinKeys
    sweep: Sweep
    settings: Settings

    def put(self, server: str, *users: str, due: float = NOW, mode: str = "SSH", line: str = LINE) -> None:
        """A key of each user is on a server, as if a broker had put it there."""
        endpoint = Endpoint("localhost", "localhost", 0) if mode == "LOCAL" else Endpoint(server, server)
        home = socket.gethostname() if mode == "LOCAL" else ""
        self.keys.record(
            [
                StoredKey(endpoint, user, FILE, line, mode, "WarningPolicy", "gate", home, due, due + 1000)
                for user in users
            ]
        )
        for user in users:
            self.servers.files[(endpoint.key, user, FILE)] = [OWN, line]


@pytest.fixture
def world(tmp_path: Path, files: Files) -> Iterator[World]:
    """Servers that all work, and an empty store."""
    store = Store(URL.create("sqlite", database=str(tmp_path / "s" / "x.sqlite")))
    servers, keys = KeyServers(), AutologinKeys(store)
    farm = FarmOf(servers)
    settings = files.write("[global]\nagent-timeout = 1\n")
    made = World(servers, keys, Sweep(farm, lambda: settings, lambda _settings: keys), settings)
    yield made
    made.sweep.stop()
    farm.close()
    store.close()


def test_what_is_due_is_taken_away_and_nothing_else(world: World) -> None:
    world.put("a", "anna", "bert")
    world.put("b", "carl", due=NOW + 1)
    assert world.sweep.run_once(NOW) == 2
    assert world.servers.keys_on("a:22") == [OWN, OWN]
    assert world.servers.keys_on("b:22") == [OWN, LINE]
    assert [key.user for key in world.keys.all()] == ["carl"]
    assert world.sweep.run_once(NOW) == 0


def test_the_agent_is_reached_as_it_was_when_the_key_was_put(world: World) -> None:
    world.put("a", "anna")
    world.sweep.run_once(NOW)
    (rules,) = world.servers.rules
    assert (rules.mode, rules.host_key_policy, rules.proxy, rules.timeout) == ("SSH", "WarningPolicy", "gate", 1)
    assert rules.command == world.settings.text("environment", "X2GOBROKER_AGENT_CMD")


def test_a_key_of_this_host_is_taken_away_by_this_host(world: World) -> None:
    world.put("", "anna", mode="LOCAL")
    assert world.sweep.run_once(NOW) == 1
    assert world.servers.rules[0].mode == "LOCAL"


def test_a_dead_server_with_many_keys_holds_up_nobody(world: World) -> None:
    world.put("dead", *(f"user{number}" for number in range(300)), due=NOW - 100)
    world.put("alive", "anna")
    world.servers.down.add("dead:22")
    world.servers.slow["dead:22"] = 0.2
    begun = time.monotonic()
    assert world.sweep.run_once(NOW) == 1
    assert time.monotonic() - begun < 30
    assert len(world.servers.tasks("dead:22")) == 1
    left = world.keys.all()
    assert len(left) == 300
    assert min(key.due for key in left) > NOW + 20


def test_a_dead_server_is_tried_ever_more_rarely_and_swept_when_it_is_back(world: World) -> None:
    world.put("a", "anna")
    world.servers.down.add("a:22")
    now, waits = NOW, []
    for _ in range(4):
        world.sweep.run_once(now)
        (key,) = world.keys.all()
        waits.append(key.due - now)
        now = key.due
    assert all(later > 1.2 * earlier for earlier, later in pairwise(waits))
    assert now < NOW + 1000  # not given up yet
    world.servers.down.clear()
    world.sweep = Sweep(FarmOf(world.servers), lambda: world.settings, lambda _settings: world.keys)
    assert world.sweep.run_once(now) == 1
    assert world.keys.all() == []


def test_a_server_that_hangs_costs_its_own_time_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "SERVER_SECONDS", 0.2)
    world.put("hangs", "anna")
    world.put("alive", "bert")
    world.servers.slow["hangs:22"] = 4
    begun = time.monotonic()
    assert world.sweep.run_once(NOW) == 1
    assert time.monotonic() - begun < 3
    (left,) = world.keys.all()
    assert (left.user, left.tries) == ("anna", 1)


def test_a_user_who_is_gone_keeps_nobody_elses_key(world: World, said: pytest.LogCaptureFixture) -> None:
    world.put("a", "anna", "bert")
    refuse = world.servers.refusing.add

    def first_no(key: str) -> None:
        if world.servers.calls:
            world.servers.refusing.clear()
        else:
            refuse(key)

    world.servers.before_call = first_no
    assert world.sweep.run_once(NOW) == 1
    assert len(world.keys.all()) == 1
    assert "1 key(s) could not be taken away from a:22" in said.text
    assert "refused" in said.text


def test_a_user_whose_file_is_stuck_keeps_nobody_elses_key(world: World) -> None:
    world.put("a", "anna", due=NOW - 10)
    world.put("a", "anna", due=NOW - 9, line=OTHER_LINE)
    world.put("a", "bert", "carl", "dora")
    world.servers.stuck.add("anna")
    assert world.sweep.run_once(NOW) == 3
    assert len(world.servers.tasks("a:22")) == 4
    assert {(key.user, key.tries) for key in world.keys.all()} == {("anna", 1)}


def test_a_server_that_answers_for_others_is_not_in_trouble(world: World, said: pytest.LogCaptureFixture) -> None:
    world.servers.stuck.add("anna")
    for number in range(5):
        world.put("a", "bert", due=NOW - 10)
        world.put("a", "anna")
        assert world.sweep.run_once(NOW + number) == 1
    assert "left out" not in said.text


def test_two_users_whose_files_are_stuck_hold_others_up_once(world: World) -> None:
    world.put("a", "anna", "bert", due=NOW - 10)
    world.put("a", "carl", "dora")
    world.servers.stuck |= {"anna", "bert"}
    assert world.sweep.run_once(NOW) == 0
    assert len(world.servers.tasks("a:22")) == 2
    assert {(key.user, key.tries) for key in world.keys.all()} == {("anna", 1), ("bert", 1), ("carl", 0), ("dora", 0)}
    assert world.sweep.run_once(NOW + sweep.LEASE_SECONDS) == 2


def test_a_server_that_never_answers_in_time_is_asked_twice_for_all_its_keys(world: World) -> None:
    users = {f"user{number}" for number in range(100)}
    world.put("a", *users)
    world.servers.stuck |= users
    assert world.sweep.run_once(NOW) == 0
    assert len(world.servers.tasks("a:22")) == 2


def test_after_days_a_key_is_given_up_with_a_word(world: World, said: pytest.LogCaptureFixture) -> None:
    world.put("a", "anna")
    world.servers.down.add("a:22")
    assert world.sweep.run_once(NOW + 1000) == 0
    assert world.keys.all() == []
    assert world.servers.calls == []
    assert "a key of anna on a:22 could not be taken away for days and is given up" in said.text


def test_what_a_killed_sweeper_had_claimed_is_taken_over(world: World) -> None:
    world.put("a", "anna")
    assert len(world.keys.claim_due(NOW, 10, sweep.LEASE_SECONDS)) == 1
    assert world.sweep.run_once(NOW + sweep.LEASE_SECONDS - 1) == 0
    assert world.sweep.run_once(NOW + sweep.LEASE_SECONDS) == 1


def test_two_sweeps_at_once_do_everything_once(world: World) -> None:
    for server in range(10):
        world.put(f"h{server}", *(f"user{number}" for number in range(20)))
    other = Sweep(FarmOf(world.servers), lambda: world.settings, lambda _settings: world.keys)
    found: list[int] = []
    threads = [threading.Thread(target=lambda one=one: found.append(one.run_once(NOW))) for one in (world.sweep, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(found) == len(world.servers.calls) == 200
    assert world.keys.all() == []


def test_the_thread_sweeps_until_it_is_stopped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "INTERVAL_SECONDS", 0.05)
    world.sweep.start()
    world.sweep.start()
    assert sum(thread.name == "autologin-sweep" for thread in threading.enumerate()) == 1
    for user in ("anna", "bert"):
        world.put("a", user, due=time.time())
        wait_until(lambda: world.keys.all() == [], "an empty store")
    world.sweep.stop()
    assert not any(thread.name == "autologin-sweep" for thread in threading.enumerate())


def test_the_thread_survives_a_store_that_fails(
    world: World, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sweep, "INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(sweep, "PAUSE_SECONDS", 0.05)
    faults = [StoreError("the store is away"), RuntimeError("a bug")]

    def keys(_settings: Settings) -> AutologinKeys:
        if faults:
            raise faults.pop(0)
        return world.keys

    world.put("a", "anna", due=time.time())
    broken = Sweep(FarmOf(world.servers), lambda: world.settings, keys)
    broken.start()
    try:
        wait_until(lambda: world.keys.all() == [], "an empty store")
    finally:
        broken.stop()
    assert "autologin keys that are due stay where they are for now: the store is away" in said.text
    assert "the sweep of autologin keys failed; it goes on" in said.text


def test_a_forked_process_has_a_sweep_of_its_own(world: World) -> None:
    world.sweep.start()
    child = os.fork()
    if not child:
        status = 1
        try:
            before = any(thread.name == "autologin-sweep" for thread in threading.enumerate())
            world.sweep.start()
            after = any(thread.name == "autologin-sweep" for thread in threading.enumerate())
            status = 0 if after and not before else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_stop_without_a_start_does_nothing(world: World) -> None:
    world.sweep.stop()
    world.put("a", "anna")
    assert world.sweep.run_once(NOW) == 1
