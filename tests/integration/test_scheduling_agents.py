"""Choosing servers with real agents behind real SSH servers, some of which are dead, slow or known to be down."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.support.agents import AgentHost, BrokerSide, DeadAgent, SlowAgent, broker_side, session_line
from x2gobroker.agents.farm import AgentFarm
from x2gobroker.agents.rules import AgentRules
from x2gobroker.logs import error_log
from x2gobroker.model.profile import build_profile
from x2gobroker.scheduling.choice import NO_SERVER_UP, Scheduler, Selection, Stores, Wish
from x2gobroker.store import Drains, Loads, Reservations, ServerLoad, Store

USER = "anna"
Hosts = tuple[AgentHost | DeadAgent, ...]


@dataclass
class Site:
    """A broker's scheduler, and how it reaches its hosts."""

    side: BrokerSide
    stores: Stores
    scheduler: Scheduler

    def select(self, hosts: Hosts, rules: AgentRules | None = None, user: str = USER) -> Selection:
        """Choose one of these."""
        written = ", ".join(f"{host.name} (127.0.0.1:{host.port})" for host in hosts)
        profile = build_profile("desk", {"host": written}, {}, lambda _option, _message: None)
        wish = Wish("inifile", profile, user, True, rules or self.side.rules(), False, 90, 0, 300)
        return self.scheduler.choose(wish, self.stores)


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerSide]:
    """The broker's side."""
    with broker_side(tmp_path_factory.mktemp("broker") / "ssh") as made:
        yield made


@pytest.fixture
def site(side: BrokerSide, tmp_path: Path) -> Iterator[Site]:
    """A site without hosts."""
    store = Store(URL.create("sqlite", database=str(tmp_path / "store.sqlite")))
    farm = AgentFarm()
    yield Site(side, Stores(Reservations(store), Loads(store), Drains(store)), Scheduler(farm, random.Random(1)))
    farm.close()
    store.close()


def test_a_new_session_goes_to_the_emptier_server_and_the_next_listing_confirms_it(site: Site, tmp_path: Path) -> None:
    others = [session_line("bert", "ts01"), session_line("cleo", "ts01", 51)]
    with AgentHost(site.side, tmp_path, "ts01", others) as one, AgentHost(site.side, tmp_path, "ts02") as two:
        selection = site.select((one, two))
        assert selection.port == two.port
        (held,) = site.stores.reservations.all(time.time())
        assert (held.user, held.name, held.is_open) == (USER, "ts02", True)
        two.set_sessions([session_line(USER, "ts02", age=0)])
        resumed = site.select((one, two))
        assert (resumed.port, len(resumed.session_lines)) == (two.port, 1)
        assert not site.stores.reservations.all(time.time())[0].is_open


def test_a_dead_server_costs_no_more_than_a_deadline_and_then_nothing(site: Site, tmp_path: Path) -> None:
    rules = replace(site.side.rules(), timeout=2.0)
    with AgentHost(site.side, tmp_path, "ts01") as one, DeadAgent("black-hole") as dead:
        begun = time.monotonic()
        assert site.select((one, dead), rules).port == one.port
        first = time.monotonic() - begun
        begun = time.monotonic()
        assert site.select((one, dead), rules).port == one.port
        second = time.monotonic() - begun
    assert first < 2.0 + 1.5
    assert second < 1.0


def test_a_server_known_to_be_dead_costs_nothing(site: Site, tmp_path: Path) -> None:
    with AgentHost(site.side, tmp_path, "ts01") as one, DeadAgent("black-hole") as dead:
        site.select((one,))
        now = time.time()
        key = dead.endpoint.key
        site.stores.loads.put([ServerLoad(key, dead.name, "unreachable", None, now, 0.0, 0.0)])
        begun = time.monotonic()
        assert site.select((one, dead)).port == one.port
        assert time.monotonic() - begun < 1.8


def test_a_slow_agent_holds_nobody_up_for_longer_than_the_deadline(site: Site, tmp_path: Path) -> None:
    rules = replace(site.side.rules(), timeout=2.0)
    with AgentHost(site.side, tmp_path, "ts01") as one, SlowAgent(site.side, tmp_path, "ts02") as slow:
        begun = time.monotonic()
        # its port answers, but nobody knows how many sessions it has
        assert site.select((one, slow), rules).port == one.port
        assert time.monotonic() - begun < 2.0 + 1.5


def test_a_ghost_in_the_shared_database_is_not_offered(site: Site, tmp_path: Path) -> None:
    ghost = [session_line(USER, "ts-dead"), session_line(USER, "ts01", 51)]
    rules = site.side.rules(shared_database=True)
    with AgentHost(site.side, tmp_path, "ts01", ghost) as one, DeadAgent() as dead:
        selection = site.select((one, dead), rules)
        assert [line.split("|")[3] for line in selection.session_lines] == ["127.0.0.1"]
        assert selection.port == one.port


def test_all_dead_is_said_within_a_deadline(site: Site, said_errors: list[str]) -> None:
    with contextlib.ExitStack() as stack:
        hosts: Hosts = tuple(stack.enter_context(DeadAgent("refusing", f"ts{number}")) for number in range(3))
        begun = time.monotonic()
        assert site.select(hosts).server == NO_SERVER_UP
        assert time.monotonic() - begun < 3
    assert all(f"ts{number}[127.0.0.1:{hosts[number].port}] is down" in said_errors[-1] for number in range(3))


@pytest.fixture
def said_errors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the logger `error` says."""
    said: list[str] = []
    monkeypatch.setattr(error_log, "error", lambda message, *values: said.append(message % values))
    return said
