"""Random logins at a farm where sessions start, move and end, and agents die: who has a session gets it back.

`X2GOBROKER_TEST_LOGINS` says how many logins; the suite has few.
"""

from __future__ import annotations

import heapq
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.unit.fake_farm import RULES, FakeAgents, FakeFarm, session_line
from x2gobroker.agents.base import UNREACHABLE, Reply
from x2gobroker.agents.reports import Alive, Changed, Gone, Reported
from x2gobroker.agents.rules import AgentRules
from x2gobroker.inventory.happenings import Silent, Told
from x2gobroker.inventory.record import Inventory
from x2gobroker.inventory.selections import SelectionNotes
from x2gobroker.loadchecker.picture import Picture
from x2gobroker.loadchecker.watching import ALIVE_SECONDS
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.load import LoadReport
from x2gobroker.model.profile import build_profile
from x2gobroker.model.server_report import SeenSession, ServerReport
from x2gobroker.scheduling.choice import Scheduler, Stores, Wish
from x2gobroker.store import Drains, Loads, Reservations, ServerLoad, Store

LOGINS = int(os.environ.get("X2GOBROKER_TEST_LOGINS", "120"))
SERVERS, USERS = 12, 60
START = 1_700_000_000.0
MEAN_SECONDS = 4.0  # between two logins
WINDOW = 1.5  # in which a session that was begun without the broker is not known yet
LOAD = LoadReport(100, 16000, 4, 2500)


class UserAgents(FakeAgents):
    """Agents that list the sessions of the user who is asked about, and no others."""

    def _call(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> Reply:
        reply = super()._call(server, rules, words, seconds)
        mine = f"|{words[0]}|".encode()
        lines = [line for line in reply.output.splitlines(keepends=True) if b"|" not in line or mine in line]
        return replace(reply, output=b"".join(lines))


@dataclass
class Session:
    """One session that is really there; `by_broker`: its user was sent to the server."""

    user: str
    display: int
    begun: float
    state: str = "R"
    by_broker: bool = True

    def seen(self, server: str, now: float) -> SeenSession:
        """The session as its server tells it."""
        name = session_line(server, self.user, self.state, int(START - self.begun), self.display).split("|")[1]
        return SeenSession(name, self.user, self.display, self.state, now, "192.0.2.9", server, (30001, 30002, 30003))


@dataclass
class Server:
    """One server: what is really there, and the watch of it, None where it is not watched."""

    endpoint: Endpoint
    sessions: dict[str, Session] = field(default_factory=dict)
    picture: Picture | None = None
    agent_works: bool = True


class Farm:
    """The farm, its load checker as far as the store sees it, and the broker."""

    def __init__(self, folder: Path, seed: int, rule: float) -> None:
        self.dice = random.Random(seed)
        self.now = START
        self.rule = rule
        self.store = Store(URL.create("sqlite", database=str(folder / "store.sqlite")))
        self.inventory = Inventory(self.store, lambda: self.now)
        self.stores = Stores(
            Reservations(self.store), Loads(self.store), Drains(self.store), SelectionNotes(self.inventory)
        )
        self.agents = UserAgents()
        self.fake = FakeFarm(self.agents)
        self.scheduler = Scheduler(self.fake, random.Random(seed), lambda: self.now)
        self.servers = [Server(Endpoint(f"ts{number:02}", f"10.0.0.{number}")) for number in range(1, SERVERS + 1)]
        self.others = [server.endpoint for server in self.servers]
        hosts = ", ".join(f"{server.endpoint.name} ({server.endpoint.address})" for server in self.servers)
        self.profile = build_profile("desk", {"host": hosts}, {}, lambda _option, _message: None)
        self.display = 50
        self.count: Counter[str] = Counter()
        self._plan: list[tuple[float, float, Callable[[], None]]] = []

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Something is to happen."""
        heapq.heappush(self._plan, (self.now + seconds, self.dice.random(), what))

    # --- servers

    def watch(self, server: Server) -> None:
        """A watch begins, if the agent works."""
        if server.picture is None and server.agent_works:
            server.picture = Picture(server.endpoint, self.now)
            told = tuple(one.seen(server.endpoint.name, self.now) for one in server.sessions.values())
            server.picture.take(Reported(ServerReport(LOAD, told, 0, server.endpoint.name)), self.others, self.now)
            self.write(server)
            self.after(ALIVE_SECONDS, lambda picture=server.picture: self.alive(server, picture))  # type: ignore[misc]

    def alive(self, server: Server, picture: Picture) -> None:
        """A sign of life, and the next one later."""
        if server.picture is picture:
            picture.take(Alive(LOAD), self.others, self.now)
            self.write(server)
            self.after(ALIVE_SECONDS, lambda: self.alive(server, picture))

    def write(self, server: Server) -> None:
        """What the load checker writes into the store."""
        picture = server.picture
        while picture is not None and (news := picture.news()) is not None:
            astray = self.inventory.take([(server.endpoint, news)])
            picture.told(news)
            if astray:
                picture.tell_anew()
        load = ServerLoad(server.endpoint.key, server.endpoint.name, "ok", LOAD, self.now, self.now, 0.1)
        self.stores.loads.put([load])

    def tell(self, server: Server, session: Session, gone: bool = False) -> None:
        """The agent looks once a second, and its word takes a little while."""
        self.refresh(server)
        picture = server.picture

        def told() -> None:
            if server.picture is picture and picture is not None:
                seen = session.seen(server.endpoint.name, self.now)
                picture.take(Gone(seen.name) if gone else Changed(seen), self.others, self.now)
                self.after(0.3, lambda: self.write(server))

        self.after(self.dice.uniform(0.0, 1.1), told)

    def refresh(self, server: Server) -> None:
        """What the agent says from now on, when it is asked."""
        name = server.endpoint.name
        self.agents.sessions[server.endpoint.key] = [
            session_line(name, one.user, one.state, int(START - one.begun), one.display)
            for one in server.sessions.values()
        ]

    def agent_dies(self) -> None:
        """An agent fails for a while: the watch ends, and the server is asked in vain."""
        server = self.dice.choice(self.servers)
        if server.agent_works:
            server.agent_works, server.picture = False, None
            self.agents.broken[server.endpoint.key] = UNREACHABLE
            self.inventory.take([(server.endpoint, Silent(self.now, UNREACHABLE))])
            self.after(self.dice.uniform(1, 200), lambda: self.agent_is_back(server))
        self.after(self.dice.expovariate(1 / 60), self.agent_dies)

    def agent_is_back(self, server: Server) -> None:
        """It answers again, and is watched a few seconds later."""
        server.agent_works = True
        del self.agents.broken[server.endpoint.key]
        self.fake.breaker.succeeded(server.endpoint.key)
        self.after(self.dice.uniform(0.1, 4), lambda: self.watch(server))

    def watch_ends(self) -> None:
        """A connection breaks; the agent can be asked all the time, and is at once."""
        server = self.dice.choice(self.servers)
        server.picture = None
        if server.agent_works:
            told = tuple(one.seen(server.endpoint.name, self.now) for one in server.sessions.values())
            self.inventory.take([(server.endpoint, Told(self.now, self.now, told))])
        self.after(self.dice.uniform(0.5, 60), lambda: self.watch(server))
        self.after(self.dice.expovariate(1 / 40), self.watch_ends)

    # --- sessions

    def begin(self, user: str, server: Server, by_broker: bool) -> None:
        """A session begins, unless its user has one."""
        if self.of(user):
            return
        self.display += 1
        session = server.sessions[user] = Session(user, self.display, self.now, by_broker=by_broker)
        self.tell(server, session)

    def change(self) -> None:
        """A session is suspended, resumed, ended, begun at a terminal, or ends here and goes on elsewhere."""
        user = f"user{self.dice.randrange(USERS)}"
        found = self.of(user)
        if found is None:
            if self.dice.random() < 0.3:
                self.begin(user, self.dice.choice(self.servers), by_broker=False)
        else:
            server, session = found
            what = self.dice.choice(["suspend", "resume", "end", "move"])
            if what in ("end", "move"):
                del server.sessions[user]
                self.tell(server, session, gone=True)
                if what == "move":
                    self.begin(user, self.dice.choice(self.servers), by_broker=False)
            else:
                session.state = "S" if what == "suspend" else "R"
                self.tell(server, session)
        self.after(self.dice.expovariate(1.0), self.change)

    def of(self, user: str) -> tuple[Server, Session] | None:
        """Where a user's session really is."""
        return next(((server, server.sessions[user]) for server in self.servers if user in server.sessions), None)

    # --- logins

    def log_in(self) -> None:
        """A user selects; who gets no session to resume begins one some seconds later."""
        user = f"user{self.dice.randrange(USERS)}"
        found = self.of(user)
        before = len(self.agents.asked)
        wish = Wish("inifile", self.profile, user, False, replace(RULES, timeout=5.0), False, 90, 0, 300, "", self.rule)
        selection = self.scheduler.choose(wish, self.stores)
        self.count["logins"] += 1
        self.count["asked"] += sum(task == "listsessions" for _, task in self.agents.asked[before:])
        if selection.told:
            self.count["told to try again"] += 1
            assert found is not None or self.rule, "nobody is told of a session without a reason"
        elif selection.session_lines:
            self.count["resumed"] += 1
            assert found is not None, "only what is there is offered"
        elif found is not None:
            server, session = found
            if not server.agent_works:
                self.count["second, agent dead"] += 1
            elif not session.by_broker and self.now - session.begun < WINDOW:
                self.count["second, begun within the window"] += 1
            else:
                raise AssertionError(f"{user} has {session} on {server.endpoint.name}, whose agent could have told")
        else:
            self.count["new"] += 1
            assert selection.host is not None
            chosen = next(one for one in self.servers if one.endpoint.name == selection.host.name)
            self.after(self.dice.uniform(0.5, 8), lambda: self.begin(user, chosen, by_broker=True))

    def run(self, logins: int) -> None:
        """Let it all happen."""
        for server in self.servers:
            self.watch(server)
        self.after(1.0, self.change)
        self.after(5.0, self.agent_dies)
        self.after(7.0, self.watch_ends)
        moment = 0.0
        for _ in range(logins):
            moment += self.dice.expovariate(1 / MEAN_SECONDS)
            self.after(moment, self.log_in)
        while self.count["logins"] < logins:
            moment, _, what = heapq.heappop(self._plan)
            self.now = max(self.now, moment)
            what()

    def close(self) -> None:
        """Give back what it takes."""
        self.fake.close()
        self.store.close()


@pytest.mark.parametrize(("seed", "rule"), [(1, -1.0), (3, 0.0)])
def test_nobody_gets_a_second_session_where_an_agent_could_have_told(tmp_path: Path, seed: int, rule: float) -> None:
    farm = Farm(tmp_path, seed, rule)
    try:
        farm.run(LOGINS)
    finally:
        farm.close()
    print(dict(farm.count))
    assert farm.count["resumed"] > LOGINS / 10
    assert farm.count["new"] > LOGINS / 10
    if rule:
        assert farm.count["asked"] < farm.count["logins"] * SERVERS / 3, "most is known beforehand"
