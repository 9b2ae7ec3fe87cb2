"""Two X2Go Servers that share PostgreSQL as session database, each a machine of its own as far as the kernel goes."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.accounts import Account, account_with_home
from tests.support.our_agent import forced_key, our_agent
from tests.support.our_broker import OurBroker
from tests.support.processes import Program, wait_until
from tests.support.sshd import make_key
from tests.support.x2go_farm import Farm, Node, x2go_farm
from tests.support.x2go_server import while_it_waits

PROGRAMS = Path(sys.executable).parent
PASSWORD = "Farm-pw-1"
PRIVATE_KEY = re.compile(r"-----BEGIN RSA PRIVATE KEY-----.*-----END RSA PRIVATE KEY-----\n", re.DOTALL)
START = "X2GO_XINERAMA=false x2gostartagent 800x600 lan 16m-jpeg-9 unix-kde-depth_24 us pc105/us 0 R xterm both"
CONFIG = """\
[global]
default-auth-mech = htpasswd
cookie-directory = {state}
agent-timeout = 8
load-checker-intervals = 3
[authmech_htpasswd]
file = {state}/htpasswd
"""
PROFILES = """\
[desktop]
name = Desktop
host = %(hosts)s
broker-agent-query-mode = SSH
broker-session-autologin = true
broker-shared-session-database = true
"""


class Site:
    """The farm, a broker that reaches its agents, and two users who may log in."""

    def __init__(self, farm: Farm, broker: OurBroker, users: list[Account]) -> None:
        self.farm = farm
        self.broker = broker
        self.users = users

    def ask(self, user: Account) -> requests.Response:
        """What the broker answers to X2Go Client's selection."""
        form = {"task": "selectsession", "sid": "desktop", "user": user.name, "password": PASSWORD}
        return requests.post(f"{self.broker.url}/plain/inifile", form, timeout=60)

    def select(self, user: Account) -> str:
        """The same where it is to be good."""
        answer = self.ask(user)
        assert answer.status_code == 200
        return answer.text

    def node_of(self, answer: str) -> Node:
        """The server that an answer names."""
        found = re.search(r"^SERVER:(\S+):22$", answer, re.MULTILINE)
        assert found, answer
        return next(node for node in self.farm.nodes if node.address == found[1])

    def ssh(self, node: Node, user: Account, answer: str, command: str) -> str:
        """Run a command as the user on a server, with the key of the broker's answer."""
        key = self.broker.folder / f"key-{user.name}"
        key.touch(mode=0o600)
        found = PRIVATE_KEY.search(answer)
        assert found, "no key in the answer"
        key.write_text(found[0], encoding="ascii")
        argv = ["ssh", "-i", str(key), "-o", f"UserKnownHostsFile={self.broker.folder}/ssh/known_hosts"]
        options = ["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", f"{user.name}@{node.address}", command]
        done = subprocess.run([*argv, *options], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start_session(self, user: Account) -> tuple[Node, str]:
        """What a client does after a selection: start a session on that server; the server and the session's name."""
        answer = self.select(user)
        assert "SESSION_INFO" not in answer
        node = self.node_of(answer)
        return node, self.ssh(node, user, answer, START).splitlines()[3]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(our_agent())
        users = [stack.enter_context(account_with_home(PASSWORD, below="/var/tmp")) for _ in range(2)]
        farm = stack.enter_context(x2go_farm())
        for user in users:
            farm.add_user(user.name)
        environment = {"X2GOBROKER_AGENT_CMD": str(agent)}
        broker = OurBroker(CONFIG, env=environment)
        stack.callback(broker.close)
        folder = broker.folder / "ssh"
        folder.mkdir(mode=0o700)
        farm.authorize_agent(forced_key(agent, make_key(folder / "id_ed25519")))
        (folder / "known_hosts").write_text(farm.known_hosts, encoding="ascii")
        broker.env["X2GOBROKER_SSH_FOLDER"] = str(folder)
        hosts = ", ".join(f"{node.name} ({node.address})" for node in farm.nodes)
        broker.write_profiles(PROFILES % {"hosts": hosts})
        for user in users:
            argv = [str(PROGRAMS / "x2gobroker"), "passwd", "-f", str(broker.state / "htpasswd"), "--stdin", user.name]
            subprocess.run(argv, input=PASSWORD, text=True, check=True, capture_output=True, timeout=180)
        broker.start()
        yield Site(farm, broker, users)


def test_sessions_are_found_on_whichever_server_they_are_and_a_server_that_dies_costs_nobody_the_login(
    site: Site,
) -> None:
    first, second = site.users
    node, session = site.start_session(first)
    other, other_session = site.start_session(second)
    assert other is not node, "the second user goes to the idle server"
    for server in site.farm.nodes:  # either agent counts the sessions of both, for a user who has none here as well
        counted = server.run(site.broker.env["X2GOBROKER_AGENT_CMD"], first.name, "getservers")
        assert {f"{node.name} 1", f"{other.name} 1"} <= set(counted.splitlines()), counted
        load = server.run(site.broker.env["X2GOBROKER_AGENT_CMD"], "nobody", "checkload")
        assert "numSessions:1\n" in load

    again = site.select(first)
    assert site.node_of(again) is node
    assert re.search(
        rf"^SESSION_INFO:\d+\|{re.escape(session)}\|\d+\|{re.escape(node.address)}\|S\|", again, re.MULTILINE
    )
    assert other_session not in again, "nobody sees the sessions of others"

    node.stop()
    # the session is still in the database, and cannot be resumed: a new one starts on the other server
    wait_until(lambda: "SESSION_INFO" not in site.select(first), "the dead server's session being left out", 30)
    moved = site.select(first)
    assert site.node_of(moved) is other
    assert other_session in site.select(second), "the other server's users do not notice"

    node.start()
    wait_until(lambda: site.node_of(site.select(first)) in site.farm.nodes, "logins going on")
    shown = site.ssh(other, second, site.select(second), f"x2goterminate-session {other_session}; x2golistsessions")
    assert other_session not in shown


def test_while_the_session_database_is_gone_who_has_a_session_is_told_so_and_gets_no_second_one(site: Site) -> None:
    user, other = site.users

    def told() -> None:
        for one in (user, other):
            wait_until(lambda one=one: "SESSION_INFO" not in site.select(one), "no session of before", 90)  # type: ignore[misc]
        _, session = site.start_session(user)
        wait_until(lambda: session in site.select(user), "the session offered")
        with site.farm.database.stopped():
            answer = site.ask(user)
            assert answer.status_code == 503
            assert re.search(r"^You have a session on x2gofarm\d, and the broker cannot ask", answer.text)
            assert "SERVER:" in site.ask(other).text, "who has none is let in"
        wait_until(lambda: site.ask(user).status_code == 200, "the database being back")
        assert session in site.select(user)

    while_it_waits(told, 40)


def test_the_load_checker_sees_one_server_go_and_come_back(site: Site) -> None:
    site.broker.write_profiles(site.broker.profiles.read_text() + "broker-use-load-checker = true\n")
    argv = [str(PROGRAMS / "x2gobroker-loadchecker"), "-C", str(site.broker.config), "-i"]
    socket = site.broker.folder / "loads.socket"
    environment = {**site.broker.env, "X2GOBROKER_LOADCHECKER_SOCKET": str(socket)}
    checker = Program([*argv, "-s", str(socket)], site.broker.folder / "loadchecker.log", env=environment)

    def table() -> str:
        command = [str(PROGRAMS / "x2gobroker"), "load", "-C", str(site.broker.config)]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=environment).stdout

    def states() -> list[bool]:
        lines = [next((line for line in table().splitlines() if node.name in line), "") for node in site.farm.nodes]
        return [" ok " in line for line in lines]

    try:
        wait_until(lambda: states() == [True, True], f"both servers being asked:\n{checker.output()}", 30)
        node, other = site.farm.nodes
        node.stop()
        wait_until(lambda: states() == [False, True], "the load checker noticing", 30)
        assert site.node_of(site.select(site.users[0])) is other
        node.start()
        wait_until(lambda: states() == [True, True], "the load checker noticing that it is back", 30)
    finally:
        checker.stop()
