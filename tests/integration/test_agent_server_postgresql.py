"""x2gobroker-agent on two X2Go Servers that share PostgreSQL: each tells of its own sessions."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import Account, account_with_home
from tests.support.desktop import Desktop
from tests.support.our_agent import our_agent
from tests.support.processes import wait_until
from tests.support.x2go_clients import NotingSession
from tests.support.x2go_farm import Farm, Node, x2go_farm
from tests.support.x2go_server import while_it_waits
from x2gobroker.agents.reports import Changed, Gone, Reported, Trouble, WatchEvent, WatchStream, parse_report
from x2gobroker.model.server_report import ServerReport

START = "x2gostartagent 800x600 lan 16m-jpeg-9 unix-kde-depth_24 us auto 0 R xterm both"
AGE = 12
PASSWORD = "Farm-pw-1"
RESUMES = 5  # X2Go Server's own race: its cleaner suspends one of ten sessions anew that were just resumed


class Site:
    """The farm with our agent, and two users."""

    def __init__(self, farm: Farm, agent: Path, users: list[Account]) -> None:
        self.farm = farm
        self.agent = agent
        self.anna, self.bert = users

    def ask(self, node: Node, *words: str) -> list[str]:
        """The data of the agent's answer, as root there."""
        first, *data = node.run(str(self.agent), *words).splitlines()
        assert first == "OK"
        return data

    def report(self, node: Node) -> ServerReport:
        """A server's report, as the broker reads it."""
        return parse_report(self.ask(node, "nobody", "report"), time.time())

    def as_user(self, node: Node, user: Account, command: str) -> list[str]:
        """What a command prints there when this user runs it by a login."""
        client = "SSH_CLIENT='10.1.2.3 50000 22' SSH_CONNECTION='10.1.2.3 50000 10.1.2.4 22'"
        return node.run("su", "-", user.name, "-s", "/bin/bash", "-c", f"{client} {command}").splitlines()

    def lists_alike(self, node: Node, user: Account) -> bool:
        """Whether the agent lists what x2golistsessions lists."""
        ours = self.ask(node, user.name, "listsessions")
        theirs = self.as_user(node, user, "x2golistsessions --all-servers")
        return [ageless(line) for line in ours] == [ageless(line) for line in theirs]

    def wait_for(self, node: Node, user: Account, states: dict[str, str]) -> None:
        """Until both agents list these states of a user's sessions, as x2golistsessions does; all are on `node`."""

        def listed(asked: Node) -> dict[str, str]:
            lines = [line.split("|") for line in self.ask(asked, user.name, "listsessions")]
            return {fields[1]: fields[4] for fields in lines}

        def reported(asked: Node) -> dict[str, str]:
            return {one.name: one.state for one in self.report(asked).sessions if one.user == user.name}

        for asked in self.farm.nodes:
            own = states if asked is node else {}
            wait_until(lambda asked=asked: listed(asked) == states, f"the list {states} at {asked.name}")  # type: ignore[misc]
            wait_until(lambda asked=asked: self.lists_alike(asked, user), f"the same list at {asked.name}")  # type: ignore[misc]
            wait_until(lambda asked=asked, own=own: reported(asked) == own, f"the report of {asked.name}")  # type: ignore[misc]


def ageless(line: str) -> list[str]:
    """The fields of a line without the one that changes by itself."""
    fields = line.split("|")
    return fields[:AGE] + fields[AGE + 1 :]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(our_agent())
        users = [stack.enter_context(account_with_home(PASSWORD, below="/var/tmp")) for _ in range(2)]
        farm = stack.enter_context(x2go_farm())
        for user in users:
            farm.add_user(user.name)
        yield Site(farm, agent, users)


def test_sessions_are_listed_as_by_x2golistsessions_and_reported_by_their_own_server(site: Site) -> None:
    first, second = site.farm.nodes

    def listed() -> None:
        name = site.as_user(first, site.anna, START)[3]
        other = site.as_user(second, site.bert, START)[3]
        for node in site.farm.nodes:
            wait_until(lambda node=node: site.lists_alike(node, site.anna), "the same list from both")  # type: ignore[misc]
            names = [line.split("|")[1] for line in site.ask(node, site.anna.name, "listsessions")]
            assert name in names, "users see their own sessions, on whichever server"
            assert other not in names
            counts = dict(line.split() for line in site.ask(node, site.anna.name, "getservers"))
            assert counts.keys() == {first.name, second.name}, "of all servers, also where others have sessions"
            assert f"numSessions:{counts[node.name]}" in site.ask(node, "nobody", "checkload")
        for node, session, user in ((first, name, site.anna), (second, other, site.bert)):
            report = site.report(node)
            assert (report.server, report.left_out) == (node.name, 0)
            (seen,) = (seen for seen in report.sessions if seen.name == session)
            assert (seen.user, seen.state) == (user.name, "R")
            (line,) = (line for line in site.ask(node, user.name, "listsessions") if session in line)
            fields = line.split("|")
            told = [seen.display, seen.server, seen.client, *seen.ports]
            assert [str(word) for word in told] == [fields[2], node.name, fields[7], fields[8], fields[9], fields[13]]
            assert time.time() - 300 < seen.since <= time.time()

    while_it_waits(listed, 40)


def test_a_session_is_listed_as_by_x2golistsessions_all_its_life_from_both_servers(
    site: Site, screen: Desktop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, user = site.farm.nodes[0], site.anna
    for line in site.ask(node, user.name, "listsessions"):
        site.as_user(node, user, f"x2goterminate-session {line.split('|')[1]}")
    site.wait_for(node, user, {})
    for name, value in screen.environment.items():
        monkeypatch.setenv(name, value)
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(site.farm.known_hosts, encoding="ascii")
    folders: dict[str, Any] = {f"{root}_rootdir": str(tmp_path / root) for root in ("client", "sessions", "ssh")}
    with_client = NotingSession(
        node.address, 22, known_hosts=str(known_hosts), snd_system="none", kbtype="null/null", cmd="xterm", **folders
    )
    try:
        assert with_client.connect(user.name, PASSWORD) is True
        assert with_client.start() is True
        session = str(with_client.get_session_name())
        site.wait_for(node, user, {session: "R"})
        assert with_client.suspend() is True
        site.wait_for(node, user, {session: "S"})
        for left in range(RESUMES - 1, -1, -1):
            assert with_client.resume(session_name=session) is True
            try:
                site.wait_for(node, user, {session: "R"})
                break
            except AssertionError:
                assert left, "it is suspended again and again"
        site.as_user(node, user, f"x2goterminate-session {session}")
        site.wait_for(node, user, {})
    finally:
        with_client.disconnect()


def test_a_row_that_names_another_user_is_not_told(site: Site) -> None:
    """Users may write rows into the shared database, with any name in them."""
    node = site.farm.nodes[0]
    password = (site.bert.home / ".x2go/pgsqlpass").read_text().strip()
    forged = f"{site.anna.name}-77-1795167317_stDFORGED_dp24"
    columns = "session_id, display, uname, server, status, cookie, agent_pid"
    values = f"'{forged}', 77, '{site.anna.name}', '{node.name}', 'R', '{'c' * 32}', 1"
    own = f"{site.bert.name}-78-1795167317_stDOWN_dp24"
    owned = f"'{own}', 78, '{site.bert.name}', '{node.name}', 'R', '{'c' * 32}', 1"
    insert = f"INSERT INTO sessions ({columns}) VALUES ({values}), ({owned})"  # noqa: S608 - of our own words
    said = psql(site.farm, f"x2gouser_{site.bert.name}", password, insert)
    assert said.returncode == 0, said.stderr
    try:
        after = {session.name for session in site.report(node).sessions}
    finally:
        admin = (site.farm.folder / "x2gopgadmin").read_text().strip()
        removed = psql(site.farm, "x2godbuser", admin, "DELETE FROM sessions WHERE display IN (77, 78)")
        assert removed.returncode == 0, removed.stderr
    assert {forged, own} & after == {own}


def psql(farm: Farm, user: str, password: str, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of SQL in the session database."""
    return subprocess.run(
        ["psql", "-h", farm.gateway, "-p", str(farm.database_port), "-U", user, "-d", "x2go_sessions", "-c", command],
        env={**os.environ, "PGPASSWORD": password}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_where_the_user_has_no_password_x2golistsessions_has_the_word(site: Site) -> None:
    node, file = site.farm.nodes[0], site.bert.home / ".x2go/pgsqlpass"

    def listed() -> None:
        name = site.as_user(node, site.bert, START)[3]
        kept = file.rename(file.with_name("sqlpass"))  # where older versions had it: x2golistsessions moves it
        assert name in [line.split("|")[1] for line in site.ask(node, site.bert.name, "listsessions")]
        assert file.exists()
        assert not kept.exists()

    while_it_waits(listed, 40)


def test_changes_are_told_and_trouble_too(site: Site) -> None:
    node = site.farm.nodes[0]
    events: list[WatchEvent] = []
    stream = WatchStream()
    with node.popen(str(site.agent), "nobody", "watch", "600") as process:

        def happened(event: WatchEvent | type[WatchEvent]) -> bool:
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), False)
            with contextlib.suppress(BlockingIOError):
                events.extend(stream.feed(os.read(process.stdout.fileno(), 65536), time.time()))
            return any(event in (one, type(one)) for one in events)

        wait_until(lambda: happened(Reported), "the first report")
        again = site.as_user(node, site.bert, START)[3]
        wait_until(lambda: happened(Changed), "a new session")
        site.as_user(node, site.bert, f"x2goterminate-session {again}")
        wait_until(lambda: happened(Gone(again)), "its end")
        events.clear()
        with site.farm.database.stopped():
            wait_until(lambda: happened(Trouble), "word of the database that is gone")
        wait_until(lambda: happened(Reported), "a report once it is back")
