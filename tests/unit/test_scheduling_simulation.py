"""A thousand logins in a minute of simulated time: the shares that servers get, whatever is known of them."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.scheduling_world import INTERVAL, START, World, world
from x2gobroker.agents.rules import NONE
from x2gobroker.model.load import LoadReport
from x2gobroker.store import ServerLoad

SERVERS = 20
LOGINS = 1000
SECONDS = 60.0


class Farm:
    """Servers with sessions that begin some seconds after the login, and a load checker that asks each in its turn."""

    def __init__(self, made: World, factors: list[int], confirming: float) -> None:
        self.world = made
        self.factors = dict(zip(made.names, factors, strict=True))
        self.sessions: Counter[str] = Counter()
        self.dice = random.Random(42)
        self.confirming = confirming
        self._plan: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, moment: float, what: Callable[[], None]) -> None:
        """Something is to happen."""
        heapq.heappush(self._plan, (moment, len(self._plan) + self.dice.randrange(10**9), what))

    def report(self, name: str) -> None:
        """The load checker asks a server now, and again after its interval."""
        key, now = self.world.key(name), self.world.now
        report = LoadReport(100, self.factors[name], 1, 1000, self.sessions[name])
        self.world.stores.loads.put([ServerLoad(key, name, "ok", report, now, now, 0.1)])
        self.at(now + INTERVAL, lambda: self.report(name))

    def log_in(self, user: str) -> None:
        """A user selects; the session begins two to eight seconds later, and some clients say so."""
        name = self.world.server(user)
        assert name in self.world.names
        self.at(self.world.now + self.dice.uniform(2, 8), lambda: self.begin(user, name))

    def begin(self, user: str, name: str) -> None:
        """A session is there."""
        self.sessions[name] += 1
        if self.dice.random() < self.confirming:
            now, key = self.world.now, self.world.key(name)
            assert self.world.stores.reservations.confirm(user, key, now, now, f"{user}-50-{int(now)}_stDKDE_dp24")

    def run(self, until: float) -> None:
        """Let it all happen."""
        while self._plan and self._plan[0][0] <= until:
            moment, _, what = heapq.heappop(self._plan)
            self.world.now = moment
            what()
        self.world.now = until


def simulated(made: World, factors: list[int], confirming: float, before: float = 0.0, logins: int = LOGINS) -> Farm:
    """All logins, after some time in which the load checker went round; what came of it."""
    farm = Farm(made, factors, confirming)
    if made.use_loads:
        for number, name in enumerate(made.names):
            # the first round is at once; the later ones are spread over the interval
            made.now = START - INTERVAL
            farm.report(name)
            farm.at(START - INTERVAL + INTERVAL * number / SERVERS + before, lambda name=name: farm.report(name))  # type: ignore[misc]
    for number in range(logins):
        farm.at(START + SECONDS * number / logins, lambda number=number: farm.log_in(f"user{number}"))  # type: ignore[misc]
    farm.run(START + SECONDS + 10)
    assert sum(farm.sessions.values()) == logins
    return farm


def ratio(shares: list[float]) -> float:
    assert len(shares) == SERVERS
    return max(shares) / min(shares)


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[World]:
    """Twenty servers."""
    with world(tmp_path, SERVERS) as made:
        made.probe = False
        made.set_rules(mode=NONE)
        yield made


@pytest.mark.parametrize("confirming", [0.0, 0.7])
def test_with_load_reports_that_are_minutes_old_all_are_filled_evenly(farm: World, confirming: float) -> None:
    farm.use_loads = True
    done = simulated(farm, [100] * SERVERS, confirming)
    assert ratio([float(count) for count in done.sessions.values()]) <= 1.2


def test_with_load_reports_the_shares_follow_the_load_factors(farm: World) -> None:
    farm.use_loads = True
    factors = [100, 200, 400, 800] * (SERVERS // 4)
    done = simulated(farm, factors, 0.5, before=INTERVAL / 2, logins=LOGINS // 2)
    assert ratio([done.sessions[name] / factor for name, factor in done.factors.items()]) <= 1.25


def test_without_agents_and_loads_all_are_filled_evenly(farm: World) -> None:
    done = simulated(farm, [1] * SERVERS, 0.5, logins=LOGINS // 2)
    assert ratio([float(count) for count in done.sessions.values()]) <= 1.2


def test_a_server_that_has_just_started_is_not_stormed(farm: World) -> None:
    """It is ten sessions behind the others: it gets these ten, then as many as they."""
    farm.use_loads = True
    late = farm.names[-1]
    made = Farm(farm, [100] * SERVERS, 0.0)
    made.sessions.update(dict.fromkeys(farm.names[:-1], 10))
    for name in farm.names:
        made.report(name)
    first_twenty = []
    for number in range(30):
        farm.now += 0.1
        first_twenty.append(farm.server(f"user{number}"))
    assert first_twenty[:10] == [late] * 10
    assert first_twenty.count(late) <= 12


def test_a_report_in_the_midst_of_a_storm_counts_nobody_twice(farm: World) -> None:
    """Half of the users are in when one server reports, though no client has said so."""
    farm.use_loads = True
    made = Farm(farm, [100] * SERVERS, 0.0)
    for name in farm.names:
        made.report(name)
    for number in range(200):
        farm.now += 0.05
        made.log_in(f"early{number}")
    made.run(farm.now + 8)
    farm.now += 1
    made.report("ts01")
    late = Counter(farm.server(f"late{number}") for number in range(200))
    assert ratio([float(late[name]) for name in farm.names]) <= 1.2


def test_with_agents_that_count_all_are_filled_evenly(farm: World) -> None:
    farm.set_rules(mode="SSH", shared_database=True)
    made = Farm(farm, [1] * SERVERS, 0.3)
    counts = made.sessions
    farm.agents.counts.update({farm.key(name): counts for name in farm.names})
    for number in range(LOGINS // 4):
        made.at(START + SECONDS * number / LOGINS, lambda number=number: made.log_in(f"user{number}"))  # type: ignore[misc]
    made.run(START + SECONDS + 10)
    assert ratio([float(count) for count in made.sessions.values()]) <= 1.2


def test_a_lost_report_of_one_server_sends_nobody_there_while_others_are_known(farm: World) -> None:
    farm.use_loads = True
    for name in farm.names[1:]:
        farm.load(name, sessions=5)
    stale = replace(farm.stores.loads.all()[0], key=farm.key("ts01"), answered=START - 4 * INTERVAL, asked=START - 5)
    farm.stores.loads.put([stale])
    assert "ts01" not in {farm.server(f"user{number}") for number in range(60)}
