"""A real X2Go Server with our agent, a load checker that watches it, and a broker that chooses: all with one store."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.accounts import Account
from tests.support.client_home import ClientHome, client_home
from tests.support.desktop import Desktop
from tests.support.loadchecker import LoadChecker, load_checker
from tests.support.our_agent import BROKER_ACCOUNT, INSTALLED, forced_key, our_agent
from tests.support.processes import wait_until
from tests.support.sshd import make_key
from tests.support.x2go_server import RunningSession, X2GoServer, x2go_server
from x2gobroker.backends.inifile import InifileBackend
from x2gobroker.broker import Broker, Login
from x2gobroker.inventory.reads import Reads, Whereabout
from x2gobroker.model.inventory import WATCH, KnownServer
from x2gobroker.model.vouched import Vouched
from x2gobroker.scheduling.choice import Selection
from x2gobroker.services import Services
from x2gobroker.settings import SettingsSource

SOON = 15.0  # seconds in which a change is known, on a machine that has other things to do; it is one, mostly
PROFILE = "[terminal]\nname = Terminal\nhost = {name} (127.0.0.1:{port})\nuser = BROKER_USER\n"


class WatchedServer:
    """The server `x2go`, and what is known of it. `asked` are the words of every question that its agent was put."""

    def __init__(self, x2go: X2GoServer, checker: LoadChecker, desktop: Desktop, home: ClientHome, notes: Path) -> None:
        self.x2go = x2go
        self.checker = checker
        self.desktop = desktop
        self.home = home
        self._notes = notes
        self.variables: dict[str, str] = {}  # of a load checker's environment
        self.agent = Path()  # its program
        self.source = SettingsSource.of_process(checker.env, program="http")
        self.services = Services()
        self.broker = Broker(InifileBackend("inifile"), self.services)
        self.reads = Reads(self.services.store(self.source.current()))

    @contextlib.contextmanager
    def another_checker(self) -> Iterator[LoadChecker]:
        """A second load checker, as on another host with the same store and session profiles."""
        more = f"cookie-directory = {self.checker.folder}/state"
        profile = PROFILE.format(name=self.x2go.name, port=self.x2go.port)
        with load_checker(self.variables, profile, interval=300, more=more) as made:
            yield made

    @property
    def key(self) -> str:
        """The server's key in the inventory."""
        return f"127.0.0.1:{self.x2go.port}"

    def asked(self) -> list[str]:
        """What the agent was asked for so far, without paths: `anna listsessions`, say."""
        if not self._notes.exists():
            return []
        lines = self._notes.read_text(encoding="utf-8").splitlines()
        return [line.partition(" ")[2] for line in lines]

    def server(self) -> KnownServer:
        """How the server is heard."""
        return self.reads.servers()[self.key]

    def wait_until_watched(self, deadline: float = 60.0) -> None:
        """Until the inventory has heard a watch."""
        wait_until(lambda: self.key in self.reads.servers() and self.server().how == WATCH, "the watch", deadline)

    def known(self, user: Account) -> list[Whereabout]:
        """Where the inventory knows sessions of a user."""
        return self.reads.everywhere(user.name)

    def states(self, user: Account) -> dict[str, str]:
        """The user's sessions, as far as is known."""
        return {one.session.name: one.session.state for one in self.known(user)}

    def wait_for(self, user: Account, states: dict[str, str]) -> None:
        """Until the user's sessions are known to be in these states; it fails with what is known, and what is so."""
        try:
            wait_until(lambda: self.states(user) == states, f"{states} being known")
        except AssertionError as error:
            known, there = self.known(user), self.x2go.states(user)
            raise AssertionError(f"{error}; known are {known}, at the server there are {there}") from error

    def seconds_until(self, condition: Callable[[], bool], what: str, deadline: float = 30.0) -> float:
        """How long it takes until something is known."""
        began = time.monotonic()
        wait_until(condition, what, deadline)
        return time.monotonic() - began

    def start(self, user: Account) -> RunningSession:
        """A session that the broker has no part in."""
        return self.x2go.start_session(user, self.desktop, self.home)

    def login(self, user: Account) -> Login:
        """A login that was granted."""
        return Login(True, user.name, "a test", "192.0.2.9", Vouched("a test"))

    def select(self, user: Account) -> Selection:
        """What a client of the user gets."""
        return self.broker.select_session(self.source.current(), self.login(user), "terminal")

    def listed(self, user: Account) -> tuple[str, int, int]:
        """The state that a list of session profiles shows, and how many sessions run and are suspended."""
        (offer,) = self.broker.list_profiles(self.source.current(), self.login(user))
        return offer.status, offer.running, offer.suspended


@contextlib.contextmanager
def watched_server(folder: Path, desktop: Desktop, users: int = 2, more: str = "") -> Iterator[WatchedServer]:
    """All of it, for the length of a `with` block. Needs root. `more`: further lines of `[global]`."""
    keys, ours = folder / "keys", folder / "server"
    for made in (keys, ours):
        made.mkdir()
    notes = Path(f"/tmp/asked-{folder.name}")
    with our_agent() as agent, client_home() as home:
        script = agent.with_name(f"{agent.name}-noted")
        script.write_text(f'#!/bin/sh\necho "$SSH_ORIGINAL_COMMAND" >>{notes}\nexec {agent} "$@"\n', encoding="ascii")
        script.chmod(0o755)
        notes.touch()
        notes.chmod(0o666)
        try:
            line = forced_key(script, make_key(keys / "id_ed25519"))
            with x2go_server(ours, users, {BROKER_ACCOUNT: line}) as server:
                (keys / "known_hosts").write_text(server.sshd.host_key_lines("127.0.0.1"), encoding="ascii")
                variables = {
                    "X2GOBROKER_SSH_FOLDER": str(keys),
                    "X2GOBROKER_AGENT_USER": BROKER_ACCOUNT,
                    "X2GOBROKER_AGENT_CMD": INSTALLED,
                }
                profile = PROFILE.format(name=server.name, port=server.port)
                # a question that fails is put again after the interval, and a busy machine may take long for an answer
                with load_checker(variables, profile, interval=300, more=more, timeout=20) as checker:
                    made_site = WatchedServer(server, checker, desktop, home, notes)
                    made_site.variables, made_site.agent = variables, agent
                    try:
                        yield made_site
                    finally:
                        made_site.services.farm.close()
        finally:
            script.unlink()
            notes.unlink(missing_ok=True)
