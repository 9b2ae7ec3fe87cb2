"""A scheduler with a store of its own, servers that are listening sockets, fake agents, and a clock that is set."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy.engine import URL

from tests.unit.fake_farm import RULES, FakeAgents, FakeFarm
from x2gobroker.agents.rules import AgentRules
from x2gobroker.model.load import LoadReport
from x2gobroker.model.profile import SessionProfile, build_profile
from x2gobroker.scheduling.choice import Scheduler, Selection, Stores, Wish
from x2gobroker.store import Drains, Loads, Reservation, Reservations, ServerLoad, Store

START = 1_700_000_000.0
INTERVAL = 300.0


@dataclass
class World:
    """Servers ts01, ts02 ... at 127.0.0.1, each with a port of its own, and what chooses among them."""

    store: Store
    ports: list[int]
    agents: FakeAgents = field(default_factory=FakeAgents)
    now: float = START
    texts: dict[str, str] = field(default_factory=dict)
    rules: AgentRules = RULES
    probe: bool = True
    use_loads: bool = False
    seconds: float = 90
    limit: int = 0
    account: str = ""
    _built: tuple[str, dict[str, str], SessionProfile] | None = None

    def __post_init__(self) -> None:
        self.stores = Stores(Reservations(self.store), Loads(self.store), Drains(self.store))
        self.farm = FakeFarm(self.agents)
        self.scheduler = Scheduler(self.farm, random.Random(1), lambda: self.now)
        self.names = [f"ts{number + 1:02}" for number in range(len(self.ports))]
        self.hosts = ", ".join(
            f"{name}.example.org (127.0.0.1:{port})" for name, port in zip(self.names, self.ports, strict=True)
        )

    def key(self, name: str) -> str:
        """The key of a server."""
        return f"127.0.0.1:{self.ports[self.names.index(name)]}"

    def wish(self, user: str = "anna", profile: str = "desk") -> Wish:
        """What a user wants."""
        texts = {"host": self.hosts, **self.texts}
        if self._built is None or self._built[:2] != (profile, texts):
            self._built = profile, texts, build_profile(profile, texts, {}, lambda _option, _message: None)
        made = self._built[2]
        account, claimant = (self.account, user) if self.account else (user, "")
        return Wish(
            "inifile",
            made,
            account,
            self.probe,
            self.rules,
            self.use_loads,
            self.seconds,
            self.limit,
            INTERVAL,
            claimant,
        )

    def select(self, user: str = "anna", profile: str = "desk") -> Selection:
        """Choose."""
        return self.scheduler.choose(self.wish(user, profile), self.stores)

    def server(self, user: str = "anna", profile: str = "desk") -> str:
        """Choose; the name of the server, or what is said in its place."""
        selection = self.select(user, profile)
        return selection.host.name.partition(".")[0] if selection.host else selection.server

    def count(self, **counts: int | None) -> None:
        """Each of these servers has so many sessions, and its agent says so."""
        for name, number in counts.items():
            self.agents.counts[self.key(name)] = {name: number}

    def load(self, name: str, factor: int = 100, sessions: int | None = 0, ago: float = 10, state: str = "ok") -> None:
        """What the load checker found out about a server, so many seconds ago."""
        moment = self.now - ago
        report = LoadReport(100, factor, 1, 1000, sessions) if state == "ok" else None
        answered = moment if report else 0.0
        self.stores.loads.put([ServerLoad(self.key(name), name, state, report, moment, answered, 0.1)], self.now)

    def reserved(self) -> list[Reservation]:
        """What is reserved at present."""
        return self.stores.reservations.all(self.now)

    def set_rules(self, **changes: object) -> None:
        """Change how agents are reached."""
        self.rules = replace(self.rules, **changes)  # type: ignore[arg-type]


@contextlib.contextmanager
def world(folder: Path, count: int) -> Iterator[World]:
    """A world with so many servers, all of them up."""
    store = Store(URL.create("sqlite", database=str(folder / "store.sqlite")))
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        made = World(store, [server.getsockname()[1] for server in sockets])
        yield made
    made.farm.close()
    store.close()


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    """A port at which nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])
