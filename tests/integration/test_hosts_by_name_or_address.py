"""`host = name (address)` where the broker reaches only one of the two: real SSH servers, and names in /etc/hosts.

As behind NAT without hairpin: the broker inside reaches the name, clients outside the address; or the other way round.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.support.agents import AgentHost, BrokerSide, broker_side, session_line
from tests.support.x2go_server import x2go_server
from tests.unit.configured import Files
from x2gobroker.agents.base import BrokerAgent
from x2gobroker.agents.farm import AgentFarm
from x2gobroker.agents.rules import SSH
from x2gobroker.errors import AgentError
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.profile import SessionProfile, build_profile
from x2gobroker.model.public_key import parse_public_key
from x2gobroker.scheduling.choice import NO_SERVER_UP, Scheduler, Stores, Wish
from x2gobroker.scheduling.probe import PortProbe
from x2gobroker.store import Drains, Loads, Reservations, Store
from x2gobroker.user_sessions import UserLogin, UserSessions

USER = "anna"
INSIDE = ("127.0.0.11", "127.0.0.12")
OUTSIDE = ("203.0.113.11", "203.0.113.12")  # nobody is there
NAMES = """
127.0.0.11 ts1.internal
127.0.0.12 ts2.internal xn--bro-hoa.internal
203.0.113.11 ts1.external
203.0.113.12 ts2.external
127.0.0.1 here.internal
"""


@pytest.fixture(scope="module", autouse=True)
def names() -> Iterator[None]:
    """What the broker's host makes of the names."""
    hosts = Path("/etc/hosts")
    before = hosts.read_text(encoding="utf-8")
    hosts.write_text(before + NAMES, encoding="utf-8")
    yield
    hosts.write_text(before, encoding="utf-8")


class Inside(AgentHost):
    """A server whose host key is known by the name that the broker reaches it by."""

    def host_keys_known(self) -> str:
        """The line of known_hosts."""
        assert self.sshd is not None
        return self.sshd.host_key_lines(self.name)


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerSide]:
    """The broker's side."""
    with broker_side(tmp_path_factory.mktemp("broker") / "ssh") as made:
        yield made


@pytest.fixture
def farm() -> Iterator[AgentFarm]:
    """Agents, and their connections."""
    made = AgentFarm()
    yield made
    made.close()


@contextlib.contextmanager
def two_servers(side: BrokerSide, folder: Path) -> Iterator[tuple[Inside, Inside]]:
    """Servers that answer on the inner addresses only."""
    with (
        Inside(side, folder, "ts1.internal", listen=INSIDE[0]) as one,
        Inside(side, folder, "ts2.internal", listen=INSIDE[1]) as two,
    ):
        yield one, two


def profile_of(*hosts: str) -> SessionProfile:
    return build_profile("nat", {"host": ", ".join(hosts)}, {}, lambda _option, message: pytest.fail(message))


def select(side: BrokerSide, farm: AgentFarm, folder: Path, profile: SessionProfile) -> tuple[str, int, list[str]]:
    """What a client would be told: server, port and sessions."""
    store = Store(URL.create("sqlite", database=str(folder / "store.sqlite")))
    try:
        scheduler = Scheduler(farm, random.Random(1))
        wish = Wish("inifile", profile, USER, True, side.rules(), False, 90, 0, 300)
        selection = scheduler.choose(wish, Stores(Reservations(store), Loads(store), Drains(store)))
        return selection.server, selection.port, list(selection.session_lines)
    finally:
        store.close()


def test_clients_are_told_the_address_of_a_server_that_the_broker_reaches_by_its_name(
    side: BrokerSide, farm: AgentFarm, tmp_path: Path
) -> None:
    with two_servers(side, tmp_path) as (one, two):
        two.set_sessions([session_line(USER, "ts2.internal")])
        for addresses in (OUTSIDE, ("ts1.external", "ts2.external")):
            hosts = [f"ts{n}.internal ({addresses[n - 1]}:{host.port})" for n, host in ((1, one), (2, two))]
            server, port, lines = select(side, farm, tmp_path, profile_of(*hosts))
            assert (server, port) == (addresses[1], two.port)
            assert [line.split("|")[3] for line in lines] == [addresses[1]]
            two.sshd.stop()  # type: ignore[union-attr]  # it runs
            time.sleep(3.1)  # what is known of ports is known for so long
            server, port, lines = select(side, AgentFarm(), tmp_path, profile_of(*hosts))
            assert (server, port, lines) == (addresses[0], one.port, [])
            two.sshd.start()  # type: ignore[union-attr]
            time.sleep(0.1)


def test_a_server_that_only_its_address_leads_to_is_reached_as_before(
    side: BrokerSide, farm: AgentFarm, tmp_path: Path
) -> None:
    with AgentHost(side, tmp_path, "ts1.external", [session_line(USER, "ts1.external")], INSIDE[0]) as one:
        hosts = [f"{name} ({INSIDE[0]}:{one.port})" for name in ("ts1.external", "no-such-name.invalid")]
        for host in hosts[:1]:
            server, port, lines = select(side, farm, tmp_path, profile_of(host, "ts2.external"))
            assert (server, port, len(lines)) == (INSIDE[0], one.port, 1)
        assert select(side, farm, tmp_path, profile_of(hosts[1], "ts2.external"))[0] == INSIDE[0]


def test_a_server_that_neither_leads_to_is_down(side: BrokerSide, farm: AgentFarm, tmp_path: Path) -> None:
    profile = profile_of("ts1.external (203.0.113.11)", "ts2.external (203.0.113.12)")
    assert select(side, farm, tmp_path, profile)[0] == NO_SERVER_UP


def test_agents_keys_and_loads_come_by_the_name(side: BrokerSide, farm: AgentFarm, tmp_path: Path) -> None:
    with two_servers(side, tmp_path) as (one, _):
        server = Endpoint("ts1.internal", OUTSIDE[0], one.port)

        def all_tasks(agent: BrokerAgent, at: Endpoint) -> int:
            rules = side.rules()
            agent.ping(at, rules)
            key = parse_public_key(side.public_key)
            agent.add_auth_key(at, rules, USER, key.line("restrict"), "%h/.x2go/authorized_keys", 60)
            agent.del_auth_key(at, rules, USER, key.line("restrict"), "%h/.x2go/authorized_keys")
            return agent.check_load(at, rules).cpus

        (answer,) = farm.ask_all([server], side.rules(), all_tasks).values()
        assert answer == 2
        assert sum("addauthkey" in line for line in one.asked()) == 1
        assert PortProbe().reachable([server]) == {server}


def test_a_host_key_that_is_not_known_by_the_name_is_refused(side: BrokerSide, farm: AgentFarm, tmp_path: Path) -> None:
    with AgentHost(side, tmp_path, "ts1.internal", listen=INSIDE[0]) as one:
        side.known_hosts.write_text(one.sshd.host_key_lines(f"[127.0.0.9]:{one.port}"))  # type: ignore[union-attr]
        server = Endpoint("ts1.internal", OUTSIDE[0], one.port)
        with pytest.raises(AgentError) as caught:
            farm.agent(SSH).ping(server, side.rules())
        assert caught.value.reason == "host-key"
        assert f"-H 'ts1.internal ({OUTSIDE[0]})' -p {one.port} -A" in str(caught.value)


def test_a_name_outside_ascii_is_resolved_as_dns_has_it_and_told_as_it_is_written(
    side: BrokerSide, farm: AgentFarm, tmp_path: Path
) -> None:
    with AgentHost(side, tmp_path, "xn--bro-hoa.internal", [session_line(USER, "xn--bro-hoa")], INSIDE[1]) as one:
        with side.known_hosts.open("a", encoding="utf-8") as known:
            known.write(one.sshd.host_key_lines("xn--bro-hoa.internal"))  # type: ignore[union-attr]
        profile = profile_of(f"büro.internal:{one.port}")
        server, port, lines = select(side, farm, tmp_path, profile)
        assert (server, port) == ("büro.internal", one.port)
        assert [line.split("|")[3] for line in lines] == ["büro.internal"]


def test_testagent_takes_the_name_or_the_address(side: BrokerSide, tmp_path: Path) -> None:
    with two_servers(side, tmp_path) as (one, _):
        words = ["-H", f"ts1.internal ({OUTSIDE[0]})", "-p", str(one.port), "-t", "ping"]
        none = str(tmp_path / "none")
        variables = {"X2GOBROKER_DEFAULTS": none, "X2GOBROKER_CONFIG": none, "PATH": "/usr/bin:/bin"}
        variables |= {"X2GOBROKER_DAEMON_USER": "root", "X2GOBROKER_DAEMON_GROUP": "root", **side.variables()}
        done = subprocess.run(
            [sys.executable, "-m", "x2gobroker.cli.testagent", *words],
            env=variables,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "was done on" in done.stdout, done.stderr


def test_the_users_own_sessions_are_listed_by_the_name(tmp_path: Path) -> None:
    with x2go_server(tmp_path) as server:
        folder = tmp_path / "ssh"
        folder.mkdir(mode=0o700)
        (folder / "known_hosts").write_text(server.known_hosts("here.internal"))
        files = Files(tmp_path, ({"X2GOBROKER_SSH_FOLDER": str(folder)},))
        files.write_defaults("")
        settings = files.write("[global]\ndefault-agent-query-mode = NONE\n")
        login = UserLogin(server.users[0].name, server.users[0].password)
        profile = profile_of(f"here.internal ({OUTSIDE[0]}:{server.port})")
        for _ in range(2):
            found = UserSessions("inifile", list_seconds=15).find(settings, profile, login)
            assert found.failed == {}
        assert found.sessions == ()
