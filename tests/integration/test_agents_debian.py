"""Debian's broker agent, as its package has it, over a real sshd and on this host."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Account, account_with_home
from tests.support.sshd import Sshd, make_key, sshd
from x2gobroker.agents.base import REFUSED, BrokerAgent
from x2gobroker.agents.farm import AgentFarm, own_endpoint
from x2gobroker.agents.rules import LOCAL, SSH, AgentRules
from x2gobroker.errors import AgentError
from x2gobroker.model.hosts import Endpoint

pytestmark = pytest.mark.reference
AGENT = Path("/usr/lib/x2go/x2gobroker-agent")
BROKER = "x2gobroker"
BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
KEY = f'no-X11-forwarding,no-user-rc,expiry-time="20991231" ssh-ed25519 {BLOB} x2gobroker-trial'
OTHER = f"no-user-rc ssh-ed25519 {BLOB[:-4]}abcd x2gobroker-other"
KEYS_FILE = "%h/.x2go/authorized_keys"


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    """A user of this X2Go Server."""
    with account_with_home("User-pw-1") as made:
        yield made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sshd, Path]]:
    """An sshd that lets the broker's key in to Debian's agent only, and the broker's folder of keys."""
    folder = tmp_path_factory.mktemp("debian-agent")
    keys = folder / "ssh"
    keys.mkdir(mode=0o700)
    line = make_key(keys / "id_ed25519")
    options = f'command="{AGENT}",no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty'
    with sshd(folder / "sshd", authorized={BROKER: f"{options} {line}"}, kinds=("ed25519",)) as running:
        (keys / "known_hosts").write_text(running.host_key_lines("127.0.0.1"), encoding="utf-8")
        yield running, keys


@pytest.fixture(params=[SSH, LOCAL])
def way(
    request: pytest.FixtureRequest, server: tuple[Sshd, Path]
) -> Iterator[tuple[BrokerAgent, Endpoint, AgentRules]]:
    """Both ways to the agent."""
    running, keys = server
    farm = AgentFarm()
    rules = AgentRules(request.param, BROKER, str(AGENT), keys, "RejectPolicy", "", 20.0)
    endpoint = own_endpoint() if request.param == LOCAL else Endpoint("ts01", "127.0.0.1", running.port)
    yield farm.agent(request.param), endpoint, rules
    farm.close()


Way = tuple[BrokerAgent, Endpoint, AgentRules]


def keys_of(user: Account) -> str:
    assert user.home is not None
    return (user.home / ".x2go" / "authorized_keys").read_text(encoding="utf-8")


def test_the_agent_is_as_its_package_has_it() -> None:
    status = AGENT.stat()
    assert status.st_mode & 0o4000
    assert grp.getgrgid(status.st_gid).gr_name == BROKER
    assert pwd.getpwnam(BROKER).pw_shell


def test_reading_tasks(way: Way, user: Account) -> None:
    agent, server, rules = way
    agent.ping(server, rules)
    assert agent.available_tasks(server, rules) >= {"addauthkey", "delauthkey", "listsessions", "checkload"}
    report = agent.check_load(server, rules)
    assert report.cpus == os.cpu_count()
    assert report.sessions is None
    assert agent.list_sessions(server, rules, user.name) == []
    assert all(isinstance(name, str) for name in agent.get_servers(server, rules, user.name))


def test_keys_with_quotes_in_their_options_are_added_once_and_deleted(way: Way, user: Account) -> None:
    agent, server, rules = way
    agent.add_auth_key(server, rules, user.name, OTHER, KEYS_FILE, 60)
    agent.add_auth_key(server, rules, user.name, KEY, KEYS_FILE, 60)
    agent.add_auth_key(server, rules, user.name, KEY, KEYS_FILE, 60)
    assert keys_of(user).splitlines() == [OTHER, KEY]
    agent.del_auth_key(server, rules, user.name, KEY, KEYS_FILE)
    assert keys_of(user).splitlines() == [OTHER]
    agent.del_auth_key(server, rules, user.name, KEY, KEYS_FILE)
    agent.del_auth_key(server, rules, user.name, OTHER, KEYS_FILE)
    assert keys_of(user) == ""


def test_what_it_does_not_do_is_a_refusal(way: Way, user: Account) -> None:
    agent, server, rules = way
    with pytest.raises(AgentError, match="no such user") as caught:
        agent.list_sessions(server, rules, "nobody-of-this-name")
    assert caught.value.reason == REFUSED
    with pytest.raises(AgentError, match="system user") as caught:
        agent.list_sessions(server, rules, "root")
    assert caught.value.reason == REFUSED
    with pytest.raises(AgentError, match="does not know this task") as caught:
        agent.ask(server, rules, user.name, "makecoffee")
    assert caught.value.reason == REFUSED


def test_a_file_that_cannot_be_written_is_a_refusal(way: Way, user: Account) -> None:
    agent, server, rules = way
    with pytest.raises(AgentError, match="Permission denied") as caught:
        agent.add_auth_key(server, rules, user.name, KEY, "/etc/x2gobroker-test-keys", 60)
    assert caught.value.reason == REFUSED
    assert not Path("/etc/x2gobroker-test-keys").exists()


@pytest.mark.parametrize(
    "name", ["$(touch /tmp/x2gobroker-proof)", "`touch /tmp/x2gobroker-proof`", "a|b", "a&b", "a'b\"c"]
)
def test_nothing_in_a_name_is_read_by_the_shells_on_the_way(way: Way, name: str) -> None:
    agent, server, rules = way
    with pytest.raises(AgentError, match="no such user"):
        agent.list_sessions(server, rules, name)
    assert not Path("/tmp/x2gobroker-proof").exists()


def test_a_session_that_does_not_exist_may_be_ended(way: Way, user: Account) -> None:
    agent, server, rules = way
    name = f"{user.name}-50-1795167317_stRxterm_dp24"
    agent.suspend_session(server, rules, user.name, name)
    agent.terminate_session(server, rules, user.name, name)
