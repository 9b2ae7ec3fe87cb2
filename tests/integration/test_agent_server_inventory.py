"""x2gobroker-agent on a real X2Go Server: sessions as x2golistsessions has them, reports, and what changes."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Account
from tests.support.client_home import ClientHome, client_home
from tests.support.desktop import Desktop
from tests.support.our_agent import BROKER_ACCOUNT, INSTALLED, forced_key, our_agent
from tests.support.processes import wait_until
from tests.support.sshd import make_key
from tests.support.x2go_server import (
    DATABASE,
    RunningSession,
    X2GoServer,
    cleaner_at_rest,
    while_it_waits,
    x2go_server,
)
from x2gobroker.agents.reports import Alive, Changed, Gone, Reported, Trouble, WatchEvent, WatchStream, parse_report
from x2gobroker.model.server_report import SeenSession, ServerReport

AGE = 12  # the field that changes by itself
CHANGED = 10
ALIKE_SECONDS = 300.0


class Host:
    """An X2Go Server with our agent, and a client's home to connect from."""

    def __init__(self, server: X2GoServer, folder: Path, desktop: Desktop, home: ClientHome) -> None:
        self.server = server
        self.folder = folder
        self.desktop = desktop
        self.home = home
        self.anna, self.bert = server.users

    def command(self, *words: str) -> list[str]:
        """The call of ssh that asks the agent."""
        options = [f"UserKnownHostsFile={self.server.folder / 'known_hosts'}", "BatchMode=yes", "IdentitiesOnly=yes"]
        flags = [word for option in options for word in ("-o", option)]
        argv = ["ssh", "-F", "none", *flags, "-i", str(self.folder / "broker"), "-p", str(self.server.port)]
        return [*argv, f"{BROKER_ACCOUNT}@127.0.0.1", shlex.join([INSTALLED, *words])]

    def ask(self, *words: str) -> list[str]:
        """The data of an answer to a task that has to work."""
        done = subprocess.run(
            self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        first, *data = done.stdout.splitlines()
        assert first == "OK"
        return data

    def report(self) -> ServerReport:
        """The server's report, as the broker reads it."""
        return parse_report(self.ask("nobody", "report"), time.time())

    def seen(self, session: RunningSession) -> SeenSession | None:
        """What the report says of a session."""
        return next((seen for seen in self.report().sessions if seen.name == session.name), None)

    def start(self, user: Account) -> RunningSession:
        """A running session."""
        return self.server.start_session(user, self.desktop, self.home)

    def theirs(self, user: Account) -> list[str]:
        """What x2golistsessions says to the user. It corrects the database."""
        return self.server.run(user, "x2golistsessions --all-servers").splitlines()

    def alike(self, user: Account) -> list[str]:
        """What both list, field by field; where a session is on its way from one state to another, soon.

        Ours comes first, which changes nothing.
        """
        end = time.monotonic() + ALIKE_SECONDS
        while True:
            before = rows()
            ours = self.ask(user.name, "listsessions")
            untouched = rows() == before  # by anybody
            theirs = self.theirs(user)
            if untouched and list(map(ageless, ours)) == list(map(ageless, theirs)):
                ages = [[int(line.split("|")[AGE]) for line in lines] for lines in (ours, theirs)]
                assert all(0 <= other - one < ALIKE_SECONDS for one, other in zip(*ages, strict=True))
                return ours
            assert time.monotonic() < end, f"{ours} is not {theirs}"

    def alone(self) -> tuple[int, str]:
        """A session of anna's that no client comes to: its agent, and its name."""
        words = "800x600 lan 16m-jpeg-9 unix-kde-depth_24 us auto 0 R xterm both"
        said = self.server.run(self.anna, f"x2gostartagent {words}").splitlines()
        return int(said[2]), said[3]


def ageless(line: str) -> list[str]:
    """The fields of a line without the one that changes by itself."""
    fields = line.split("|")
    return fields[:AGE] + fields[AGE + 1 :]


def rows() -> list[tuple[object, ...]]:
    """All that the session database has."""
    with contextlib.closing(sqlite3.connect(f"file:{DATABASE}?mode=ro", uri=True, timeout=10)) as database:
        return database.execute("SELECT * FROM sessions ORDER BY session_id").fetchall()


def write(command: str, *values: object) -> None:
    """Change the session database."""
    with contextlib.closing(sqlite3.connect(DATABASE, timeout=20)) as database, database:
        database.execute(command, values)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, screen: Desktop) -> Iterator[Host]:
    """One server for all tests here."""
    folder = tmp_path_factory.mktemp("agent")
    with our_agent() as agent, client_home() as home:
        line = forced_key(agent, make_key(folder / "broker"))
        with x2go_server(tmp_path_factory.mktemp("server"), 2, {BROKER_ACCOUNT: line}) as server:
            yield Host(server, folder, screen, home)


class Watched:
    """The task `watch`, over SSH, read as the broker reads it."""

    def __init__(self, host: Host, interval: int) -> None:
        self.process = subprocess.Popen(
            host.command("nobody", "watch", str(interval)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.events: list[tuple[float, WatchEvent]] = []
        self.fault = ""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        stream = WatchStream()
        assert self.process.stdout is not None
        while data := os.read(self.process.stdout.fileno(), 65536):
            try:
                self.events += [(time.time(), event) for event in stream.feed(data, time.time())]
            except ValueError as error:
                self.fault = str(error)

    def wait_for(self, wanted: WatchEvent | type[WatchEvent], what: str, after: int = 0) -> int:
        """Wait for an event, or one of this kind, among those behind `after`; its place."""

        def found() -> list[int]:
            assert not self.fault
            places = range(after, len(self.events))
            return [place for place in places if wanted in (self.events[place][1], type(self.events[place][1]))]

        wait_until(lambda: bool(found()), what)
        return found()[0]

    def states(self, name: str) -> list[str]:
        """The states of a session one after the other; `-` for gone."""
        states: list[str] = []
        for _, event in list(self.events):
            if isinstance(event, Reported):
                states += [session.state for session in event.report.sessions if session.name == name]
            elif isinstance(event, Changed) and event.session.name == name:
                states.append(event.session.state)
            elif event == Gone(name):
                states.append("-")
        return [state for place, state in enumerate(states) if place == 0 or states[place - 1] != state]

    def stop(self) -> int:
        """End the connection by its input's end; the exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        status = self.process.wait(30)
        self._thread.join(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@contextlib.contextmanager
def watched(host: Host, interval: int = 600) -> Iterator[Watched]:
    """The server, watched for the length of a `with` block."""
    watching = Watched(host, interval)
    try:
        watching.wait_for(Reported, "the first report")
        yield watching
    finally:
        watching.stop()


def watchers() -> list[int]:
    """Process IDs of agents that watch."""
    done = subprocess.run(
        ["pgrep", "-f", "nobody watch [0-9]"], capture_output=True, text=True, timeout=20, check=False
    )
    return [int(number) for number in done.stdout.split()]


def test_a_session_is_listed_as_by_x2golistsessions_all_its_life(host: Host) -> None:
    assert host.alike(host.anna) == []

    def starting() -> None:
        _, name = host.alone()
        (line,) = host.alike(host.anna)
        assert line.split("|")[1] == name
        assert host.server.agent_state(host.anna, name) == "STARTING"

    while_it_waits(starting, 40)
    host.server.end_sessions(host.anna)
    assert host.alike(host.anna) == []

    session = host.start(host.anna)
    assert len(host.alike(host.anna)) == 1
    assert host.alike(host.bert) == []
    with cleaner_at_rest():
        session.proxy.stop()  # its agent knows that the client is gone, and nobody has told the database
        wait_until(lambda: host.server.agent_state(host.anna, session.name) == "SUSPENDED", "a suspended agent")
        ours = host.ask(host.anna.name, "listsessions")
        assert (ours[0].split("|")[4], session.state) == ("S", "R"), "it is told, and not written"
        seen = host.seen(session)
        assert seen is not None
        assert (seen.state, seen.user) == ("S", host.anna.name)
        assert seen.since <= time.time()
        assert [ageless(line) for line in host.theirs(host.anna)] == [ageless(line) for line in ours]
        assert session.state == "S", "x2golistsessions has written it"
    assert len(host.alike(host.anna)) == 1

    host.server.resume_session(session, host.desktop, host.home)
    assert len(host.alike(host.anna)) == 1
    host.server.run(host.anna, f"x2gosuspend-session {session.name}")
    session.proxy.stop()
    assert len(host.alike(host.anna)) == 1
    wait_until(lambda: host.ask(host.anna.name, "listsessions")[0].split("|")[4] == "S", "the session suspended")
    session.terminate()
    assert host.alike(host.anna) == []


def test_a_session_whose_agent_was_killed(host: Host) -> None:
    def killed() -> None:
        agent, name = host.alone()
        os.kill(agent, signal.SIGKILL)
        (line,) = host.alike(host.anna)
        assert line.split("|")[1] == name
        assert name in [seen.name for seen in host.report().sessions]

    while_it_waits(killed, 20)
    # x2gocleansessions believes in the agents of sessions that are younger than half a minute
    wait_until(lambda: host.ask(host.anna.name, "listsessions") == [], "the end of the session", 240)
    assert host.alike(host.anna) == []
    assert host.anna.name not in [seen.user for seen in host.report().sessions]


def test_reading_cancels_no_suspend(host: Host) -> None:
    """x2golistsessions sets a session back to R whose agent runs: a wish that it be suspended is forgotten then."""
    session = host.start(host.anna)
    with cleaner_at_rest():
        write("UPDATE sessions SET status = 'S' WHERE session_id = ?", session.name)
        assert host.ask(host.anna.name, "listsessions")[0].split("|")[4] == "R"
        seen = host.seen(session)
        assert seen is not None
        assert seen.state == "R"
        assert session.state == "S"
    session.drop_client()
    session.terminate()


def test_a_report_has_the_sessions_of_this_host_and_the_load(host: Host) -> None:
    first, second = host.start(host.anna), host.start(host.bert)
    second.drop_client()
    elsewhere, ended, half, view = (f"{host.anna.name}-{9900 + place}-1795167317_stRx_dp24" for place in range(4))
    view = view.replace("_stRx", f"_stS0XSHAD{host.bert.name}XSHADPP50")
    columns = "session_id, display, uname, server, status, cookie, agent_pid, client"
    insert = f"INSERT INTO sessions ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - of constants
    name, cookie = socket.gethostname(), "c" * 32
    for values in (
        (elsewhere, 9900, host.anna.name, "elsewhere", "R", cookie, 1, "::1"),
        (ended, 9901, host.anna.name, name, "F", cookie, 1, "::1"),
        (half, 9902, host.anna.name, name, "R", None, None, None),
        (view, 9903, host.anna.name, name, "R", cookie, 1, "::1"),
    ):
        write(insert, *values)
    try:
        report = host.report()
        said = host.ask("nobody", "report")
    finally:
        for made in (elsewhere, ended, half, view):
            write("DELETE FROM sessions WHERE session_id = ?", made)
    sessions = {session.name: session for session in report.sessions}
    assert not {elsewhere, ended, half, view} & {*sessions}
    assert (report.left_out, report.server) == (0, name)
    assert report.load.sessions is not None
    assert report.load.sessions >= 2
    assert report.load.cpus >= 1
    assert not any(
        len(word) >= 32 and set(word) <= set("0123456789abcdef") for line in said for word in line.split("|")
    )
    for session, state in ((first, "R"), (second, "S")):
        listed = host.ask(session.user.name, "listsessions")[0].split("|")
        seen = sessions[session.name]
        assert (seen.user, seen.state, seen.server) == (session.user.name, state, name)
        told = [seen.display, seen.client, *seen.ports]
        assert [str(word) for word in told] == [listed[2], listed[7], listed[8], listed[9], listed[13]]
        changed = time.mktime(time.strptime(listed[CHANGED], "%Y-%m-%dT%H:%M:%S"))
        assert abs(seen.since - changed) < ALIKE_SECONDS
        session.proxy.stop()
        host.server.end_sessions(session.user)


def test_changes_are_told_as_they_happen(host: Host) -> None:
    with watched(host, 3) as watching:
        begun = time.time()
        session = host.start(host.anna)
        wait_until(lambda: watching.states(session.name) == ["R"], "the session")
        session.proxy.stop()
        wait_until(lambda: watching.states(session.name) == ["R", "S"], "the session suspended")
        host.server.resume_session(session, host.desktop, host.home)
        wait_until(lambda: watching.states(session.name) == ["R", "S", "R"], "the session resumed")
        session.terminate()
        wait_until(lambda: watching.states(session.name) == ["R", "S", "R", "-"], "the end of the session")
        place = watching.wait_for(Alive, "a sign of life")
        alive = watching.events[place][1]
        assert isinstance(alive, Alive)
        assert alive.load.sessions is not None
        seen = [event.session for _, event in watching.events if isinstance(event, Changed)]
        assert all(one.user == host.anna.name and begun - 60 < one.since <= time.time() for one in seen)


def test_it_survives_a_database_that_is_locked_missing_or_another_one(host: Host, tmp_path: Path) -> None:
    session = host.start(host.anna)
    with watched(host) as watching, cleaner_at_rest():
        with contextlib.closing(sqlite3.connect(DATABASE, timeout=20, isolation_level=None)) as database:
            database.execute("BEGIN EXCLUSIVE")
            os.utime(DATABASE)  # it looks for itself only where something may have been written
            place = watching.wait_for(Trouble, "word of the lock")
            assert watching.events[place][1] == Trouble("session database: database is locked")
            database.execute("ROLLBACK")
        place = watching.wait_for(Reported, "a report after it", place)

        away = DATABASE.with_name("away")
        DATABASE.rename(away)
        try:
            place = watching.wait_for(Trouble, "word of the missing file", place)
            event = watching.events[place][1]
            assert isinstance(event, Trouble)
            assert "No such file" in event.text
        finally:
            away.rename(DATABASE)
        place = watching.wait_for(Reported, "a report after that", place)

        copy = DATABASE.with_name("copy")  # the same name, another file, and one session less
        away.write_bytes(DATABASE.read_bytes())
        DATABASE.rename(copy)
        try:
            owner = copy.stat()
            os.chown(away, owner.st_uid, owner.st_gid)
            away.chmod(0o660)
            away.rename(DATABASE)
            write("DELETE FROM sessions WHERE session_id = ?", session.name)
            watching.wait_for(Gone(session.name), "the session not in the other file", place)
        finally:
            copy.rename(DATABASE)
        wait_until(lambda: watching.states(session.name)[-1] == "R", "the session in the first one")
    session.terminate()


def test_nothing_of_it_lingers(host: Host) -> None:
    assert watchers() == []
    watching = Watched(host, 600)
    watching.wait_for(Reported, "the first report")
    assert watchers()
    assert watching.stop() == 0
    wait_until(lambda: watchers() == [], "the end of the agent whose input has ended")

    watching = Watched(host, 600)
    watching.wait_for(Reported, "the first report")
    watching.process.kill()  # no word to sshd
    watching.stop()
    wait_until(lambda: watchers() == [], "the end of the agent whose connection is gone")

    watching = Watched(host, 600)
    watching.wait_for(Reported, "the first report")
    for number in watchers()[-2:]:  # the agent itself and its reader; nothing is tidied up
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    wait_until(lambda: watchers() == [], "the end of what was left")
    watching.stop()


def test_it_costs_next_to_nothing_while_nothing_happens(host: Host) -> None:
    """Measured over some seconds; the bench measures it better. What is promised is 0.2 % of a core."""
    session = host.start(host.anna)
    with watched(host) as watching:
        del watching
        agents = watchers()
        wait_until(lambda: time.time() - DATABASE.stat().st_mtime > 3, "some quiet")
        before, begun = sum(map(ticks, agents)), time.monotonic()
        time.sleep(20)
        spent = (sum(map(ticks, agents)) - before) / os.sysconf("SC_CLK_TCK")
        assert spent / (time.monotonic() - begun) < 0.02
    session.terminate()


def ticks(process: int) -> int:
    """Processor time of a process, in clock ticks."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
