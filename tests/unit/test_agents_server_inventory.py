"""The broker agent's own reading of the session database, what it tells of it, and when."""

from __future__ import annotations

import contextlib
import os
import pwd
import select
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.agents import server
from x2gobroker.agents.reports import WatchStream, parse_report
from x2gobroker.agents.server import RefusedError

# as x2godbadmin makes it
TABLE = """\
create table sessions(
session_id varchar(500) primary key, display integer not null, uname varchar(100) not null,
server varchar(100) not null, client inet, status char(1) not null default 'R',
init_time timestamp not null default CURRENT_TIMESTAMP, last_time timestamp not null default CURRENT_TIMESTAMP,
cookie char(33), agent_pid int, gr_port int, sound_port int, fs_port int, tekictrl_port int, tekidata_port int,
unique(display))"""
HERE = os.uname().nodename
NAME = "anna-50-1795167317_stRxterm_dp24"


class Database:
    """A session database of a test's own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(TABLE)

    def write(self, command: str, *values: object) -> None:
        """Change it, as x2goserver does: by another connection."""
        with contextlib.closing(sqlite3.connect(self.path)) as database, database:
            database.execute(command, values)

    def add(self, name: str = NAME, **more: object) -> None:
        """A running session."""
        values = {
            "session_id": name, "display": name.split("-")[1], "uname": name.split("-")[0], "server": HERE,
            "client": "10.1.2.3", "cookie": "c" * 32, "agent_pid": 4711, "gr_port": 38091, "sound_port": 38092,
            "fs_port": 38093, "tekictrl_port": -1, "tekidata_port": -1, **more,
        }  # fmt: skip
        marks = ", ".join("?" * len(values))
        self.write(f"INSERT INTO sessions ({', '.join(values)}) VALUES ({marks})", *values.values())  # noqa: S608


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "x2go_sessions")


@pytest.fixture(autouse=True)
def states(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the agents of sessions write their state here: files named after the sessions."""
    folder = tmp_path / "states"
    folder.mkdir()
    monkeypatch.setattr(server, "state_path", lambda user, name: str(folder / name))
    return folder


def rows(database: Database) -> list[str]:
    """The counts and sessions that there are."""
    found = server.Sqlite(str(database.path)).changed(HERE)
    assert found is not None
    return found


# --- the database ---


def test_only_what_has_changed_is_read(database: Database) -> None:
    database.add()
    source = server.Sqlite(str(database.path))
    assert source.changed("elsewhere") == ["0|0"]
    source.close()
    first = source.changed(HERE)
    assert first is not None
    assert first[0] == "1|1"
    assert first[1].startswith(f"{NAME}|anna|50|R|")
    assert first[1].endswith("|10.1.2.3|38091|38092|38093")
    for _ in range(3):
        assert source.changed(HERE) is None
    database.write("UPDATE sessions SET status = 'S'")
    second = source.changed(HERE)
    assert second is not None
    assert second[1].startswith(f"{NAME}|anna|50|S|")
    os.utime(database.path, (1, 1))  # another time alone is no change
    assert source.changed(HERE) is None


def test_another_file_of_the_same_name(database: Database, tmp_path: Path) -> None:
    database.add()
    source = server.Sqlite(str(database.path))
    source.changed(HERE)
    other = Database(tmp_path / "other")
    other.path.rename(database.path)
    assert source.changed(HERE) == ["0|0"]
    database.path.unlink()
    with pytest.raises(FileNotFoundError):
        source.changed(HERE)
    database.path.write_text("no database, but of some length")
    with pytest.raises(RefusedError, match="not a database"):
        source.changed(HERE)


def test_a_newer_x2go_may_have_other_columns(database: Database) -> None:
    database.write("DROP TABLE sessions")
    database.write("CREATE TABLE sessions(name text)")
    with pytest.raises(RefusedError, match="no such column"):
        rows(database)


def test_nothing_is_written(database: Database) -> None:
    database.add()
    before = database.path.read_bytes()
    source = server.Sqlite(str(database.path))
    source.changed(HERE)
    source.own("anna")
    with pytest.raises(RefusedError, match="readonly"):
        source.query("DELETE FROM sessions")
    assert database.path.read_bytes() == before


def test_one_user_cannot_spoil_it_for_all(database: Database) -> None:
    """Users write their rows themselves, by a program of x2goserver's."""
    database.add("anna-50-1795167317_stRxterm_dp24", client="10.1.2.3\nsession:x")
    database.add("anna-51-1795167317_stRxterm_dp24", client="a|b|c")
    database.add("anna-52-1795167317_stRxterm_dp24", client=b"\xff\xfe")
    database.add("anna-53-1795167317_stRxterm_dp24", client="$(id)")
    database.add("anna-54-1795167317_stRxterm_dp24", status="?")
    database.add("anna-55-1795167317_stRxterm_dp24", uname="../../etc")
    database.add("anna-56-1795167317_stRxterm_dp24", last_time="tomorrow")
    database.add("bert-57-1795167317_stRxterm_dp24")
    inventory = server.Inventory()
    inventory.take(server.text_of(rows(database)).decode().split("\n"))
    report = parse_report(inventory.report(), time.time())
    assert [session.display for session in report.sessions] == [57, 53, 52]
    assert [session.client for session in report.sessions] == ["10.1.2.3", "", ""]
    assert report.left_out == 5


def test_long_rows_of_one_user_leave_out_nobody_else(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    database.add()
    for number in range(60, 70):
        database.add(f"bert-{number}-{'a' * 300}", client="x" * 300)
        database.add(f"bert-{number + 10}-{'a' * 500}")
    monkeypatch.setattr(server, "MOST_REPORT_BYTES", 4500)
    found = rows(database)
    assert max(map(len, found)) < 1000
    inventory = server.Inventory()
    inventory.take(found)
    assert NAME in inventory.sessions
    # what is not told takes no room from what is
    noise = [f"bert-{number}-x|bert|{'9' * 900}|R|1|||||" for number in range(9)]
    inventory.take(["10|10", *noise, next(row for row in found if row.startswith(NAME))])
    assert list(inventory.sessions) == [NAME]


def test_postgresql_is_asked_for_rows_of_a_size_and_times_that_are_numbers() -> None:
    for query in (*server.Postgres.HERE, server.Postgres.DIGEST):
        assert "length(session_id) <= 500 AND length(uname) <= 100" in query
    assert "CASE WHEN last_time BETWEEN '1970-01-02' AND '2970-01-01' THEN" in server.Postgres.HERE[1]


@given(st.lists(st.text("ab|-0159:._RST\n\0é ", max_size=30), max_size=9))
def test_any_row_is_told_in_a_form_that_the_broker_takes_or_not_at_all(fields: list[str]) -> None:
    row = "|".join(fields)
    told = server.told_fields(row)
    assert len(told) in (0, 9)
    if told:
        assert told[3] in "RST"
        assert "\n" not in "|".join([told[0], *told[2:]])


def test_settings_of_x2goserver(tmp_path: Path) -> None:
    file = tmp_path / "sql"
    file.write_text(
        "# postgres or sqlite\nbackend=postgres\n[postgres]\nhost = 'db'\n#port=1\nport=5433\n[mysql]\nport=2\n"
    )
    assert server.setting(str(file), "", "backend") == "postgres"
    assert server.setting(str(file), "postgres", "host") == "db"
    assert server.setting(str(file), "postgres", "port") == "5433"
    assert server.setting(str(file), "postgres", "ssl") == ""
    assert server.setting(str(tmp_path / "none"), "", "backend") == ""


# --- what is told ---


@pytest.mark.parametrize(
    ("status", "word", "told"),
    [
        ("R", "RUNNING", "R"),
        ("R", "SUSPENDED", "S"),
        ("R", "SUSPENDING", "S"),
        ("S", "RESUMING", "R"),
        ("S", "STARTING", "R"),
        ("S", "SUSPENDED", "S"),
        ("R", "TERMINATED", "R"),
        ("T", "RUNNING", "T"),
        ("S", "nonsense", "S"),
        ("R", None, "R"),
    ],
)
def test_states_as_x2golistsessions_has_them(
    database: Database, states: Path, status: str, word: str | None, told: str
) -> None:
    database.add(status=status, last_time="2026-01-01 12:00:00")
    moment = int(time.mktime((2026, 1, 1, 12, 0, 0, 0, 0, -1)))
    if word is not None:
        (states / NAME).write_text(word)
        os.utime(states / NAME, (moment + 5, moment + 5))
    inventory = server.Inventory()
    inventory.take(rows(database))
    (line,) = inventory.look(0)
    fields = line.split("|")
    assert fields[3] == told
    agrees = server.AGENT_STATES.get(word or "") == told
    assert int(fields[4]) == moment + (5 if agrees else 0)
    assert inventory.look(10) == []


def test_no_session_has_been_in_its_state_since_tomorrow(database: Database, states: Path) -> None:
    database.add(last_time="2099-01-01 12:00:00")
    (states / NAME).write_text("RUNNING")
    os.utime(states / NAME, (4e9, 4e9))
    inventory = server.Inventory()
    inventory.take(rows(database))
    inventory.look(1)
    assert int(inventory.sessions[NAME].line.split("|")[4]) <= time.time()


def test_more_sessions_than_are_told(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50, 60):
        database.add(f"anna-{number}-1795167317_stRxterm_dp24")
    monkeypatch.setattr(server, "MOST_REPORT_BYTES", 700)
    inventory = server.Inventory()
    inventory.take(rows(database))
    report = parse_report(inventory.report(), time.time())
    assert [session.display for session in report.sessions] == [59, 58, 57, 56, 55, 54, 53]
    assert (report.left_out, report.load.sessions) == (3, 10)


def test_ten_thousand_sessions_are_told_and_more_are_counted(database: Database) -> None:
    with contextlib.closing(sqlite3.connect(database.path)) as connection, connection:
        columns = "session_id, display, uname, server, status, cookie, agent_pid, client"
        values = (
            (f"user{n}-{n}-1795167317_stDMATE_dp24", n, f"user{n}", HERE, "R", "c" * 32, n, "192.168.100.100")
            for n in range(10, 10_110)
        )
        connection.executemany(f"INSERT INTO sessions ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608
    inventory = server.Inventory()
    inventory.take(rows(database))
    lines = inventory.report()
    assert sum(len(line) + 1 for line in lines) < server.MOST_REPORT_BYTES
    report = parse_report(lines, time.time())
    assert (len(report.sessions), report.left_out) == (10_000, 100)


def test_where_the_database_cannot_be_read_x2goserver_is_asked(
    monkeypatch: pytest.MonkeyPatch, database: Database, tmp_path: Path
) -> None:
    at = "2026-11-20T09:35:17"
    lines = [
        f"14864|{NAME}|50|{HERE}|R|{at}|{'c' * 32}|10.1.2.3|38091|38092|{at}|anna|25|38093",
        f"14865|bert-51-1795167317_stDx_dp24|51|{HERE}|S|{at}|{'c' * 32}||1|2|soon|bert|25|3|-1|-1",
        f"14866|bert-52-1795167317_stDx_dp24|52|{HERE}|F|{at}|{'c' * 32}||1|2|soon|bert|25|3|-1|-1",
        f"14867|bert-54-1795167317_stDx_dp24|54|{HERE}|R|{at}|{'c' * 32}|\x1b[2J|1|2|{at}|bert|25|3|-1|-1",
        f"|bert-53-1795167317_stDx_dp24|53|{HERE}|R|{at}|||||{at}|bert|25||",
    ]
    lister = tmp_path / "x2golistsessions_root"
    lister.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    lister.chmod(0o755)
    monkeypatch.setattr(server, "database_backend", lambda: "another")
    monkeypatch.setattr(server, "program", lambda name: str(tmp_path / name))
    report = parse_report(server.report().decode().splitlines(), time.time())
    assert [(session.name, session.state) for session in report.sessions] == [
        (NAME, "R"),
        ("bert-51-1795167317_stDx_dp24", "S"),
    ]
    assert (report.left_out, report.load.sessions) == (1, 4)
    lister.write_text("#!/bin/sh\necho no luck >&2; exit 3\n")
    with pytest.raises(RefusedError, match="no luck; and without it: a session database of the kind 'another'"):
        server.report()


# --- the watch ---


class Source:
    """A session database that says what a test wants."""

    def __init__(self, database: Database) -> None:
        self.source = server.Sqlite(str(database.path))
        self.fault = ""

    def changed(self) -> list[str] | None:
        """As the reader's."""
        if self.fault:
            raise RefusedError(self.fault)
        return self.source.changed(HERE)

    def close(self) -> None:
        """As the reader's: what is read next is all."""
        self.source.close()


def test_changes_are_told_once(database: Database, states: Path) -> None:
    database.add()
    source = Source(database)
    watch = server.Watch(source, 600)  # type: ignore[arg-type]
    report = watch.look()
    assert report[-2].startswith(f"session:{NAME}|anna|50|R|")
    assert report[-1] == "leftOut:0"
    assert watch.look() == []
    (states / NAME).write_text("SUSPENDED")
    (line,) = watch.look()
    assert line.startswith(f"session:{NAME}|anna|50|S|")
    assert watch.look() == []
    database.write("UPDATE sessions SET status = 'S'")  # the cleaner writes what was told already
    assert watch.look() == []
    database.write("DELETE FROM sessions")
    assert watch.look() == [f"gone:{NAME}"]
    database.add("bert-51-1795167317_stRxterm_dp24")
    (line,) = watch.look()
    assert line.startswith("session:bert-51-")
    assert watch.look() == []


def test_trouble_is_told_once_and_then_a_whole_report(database: Database) -> None:
    database.add()
    source = Source(database)
    watch = server.Watch(source, 600)  # type: ignore[arg-type]
    watch.look()
    source.fault = "session database:\n database is locked"
    assert watch.look() == ["trouble:session database: database is locked"]
    assert watch.look() == []
    source.fault = "another"
    assert watch.look() == ["trouble:another"]
    source.fault = ""
    assert watch.look()[0] == f"server:{HERE}"
    assert watch.look() == []


def test_signs_of_life_also_in_trouble(database: Database) -> None:
    source = Source(database)
    watch = server.Watch(source, 1)  # type: ignore[arg-type]
    stream = WatchStream()
    lines = watch.look()
    for fault in ("", "gone"):
        source.fault = fault
        watch.alive -= 1
        lines += watch.look()
    assert [line.partition(":")[0] for line in lines[-3:]] == ["alive", "trouble", "alive"]
    assert len(stream.feed("".join(f"{line}\n" for line in ["OK", *lines]).encode(), time.time())) == 4


def test_state_files_are_looked_at_in_turns(database: Database, states: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STATES_A_LOOK", 3)
    names = [f"anna-{number}-1795167317_stRxterm_dp24" for number in range(50, 60)]
    for name in names:
        database.add(name)
    watch = server.Watch(Source(database), 600)  # type: ignore[arg-type]
    watch.look()
    for name in names:
        (states / name).write_text("SUSPENDED")
    told = [watch.look() for _ in range(5)]
    assert max(map(len, told)) <= 3
    assert {line.split("|")[0].partition(":")[2] for lines in told for line in lines} == {*names}


def test_it_ends_with_its_input_and_when_nobody_reads() -> None:
    script = "import sys; from x2gobroker.agents import server; sys.exit(7 if server.input_ends(60) else 8)"
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as ended:
        assert ended.stdin is not None
        ended.stdin.write(b"noise")
        ended.stdin.close()
        assert ended.wait(30) == 7
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as unread:
        assert unread.stdout is not None
        unread.stdout.close()
        assert unread.wait(30) == 7
    begun = time.monotonic()
    read, write = os.pipe()
    try:
        argv = [sys.executable, "-c", script.replace("60", "1")]
        assert subprocess.run(argv, stdin=read, timeout=30, check=False).returncode == 8
    finally:
        os.close(read)
        os.close(write)
    assert time.monotonic() - begun >= 1


# --- the reader, as root ---


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_a_reader_that_hangs_or_dies_is_started_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Slow:
        """A database that never answers while a file is there."""

        def changed(self, here: str) -> list[str] | None:
            while (tmp_path / "hang").exists():
                time.sleep(0.05)
            return ["0|0", here]

    tmp_path.chmod(0o777)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == os.geteuid() and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    account = pwd.getpwnam("nobody")
    monkeypatch.setattr(server, "session_database", lambda _: (Slow(), account))
    monkeypatch.setattr(server, "ANSWER_SECONDS", 1)
    reader = server.Reader("ts01")
    try:
        assert reader.changed() == ["0|0", "ts01"]
        first = reader.child
        status = Path(f"/proc/{first}/status").read_text()
        assert f"\nUid:\t{account.pw_uid}\t{account.pw_uid}\t{account.pw_uid}\t" in status
        (tmp_path / "hang").touch()
        with pytest.raises(RefusedError, match="does not answer"):
            reader.changed()
        assert not Path(f"/proc/{first}").exists()
        (tmp_path / "hang").unlink()
        assert reader.changed() == ["0|0", "ts01"]
        os.kill(reader.child, 9)
        with pytest.raises(RefusedError, match="does not answer"):
            reader.changed()
        assert reader.changed() == ["0|0", "ts01"]
    finally:
        reader.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_an_answer_without_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class Long:
        """A database of one long row."""

        def changed(self, here: str) -> list[str] | None:
            return ["1|1", here * 5000]

    monkeypatch.setattr(server, "session_database", lambda _: (Long(), pwd.getpwnam("nobody")))
    monkeypatch.setattr(server, "MOST_REPORT_BYTES", 1000)
    reader = server.Reader("ts01")
    try:
        with pytest.raises(RefusedError, match="the session database said more than 4000 bytes"):
            reader.changed()
        assert not reader.child
    finally:
        reader.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_a_reader_ends_with_its_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Empty:
        """A database with nothing in it."""

        def changed(self, here: str) -> list[str] | None:
            return [here]

    monkeypatch.setattr(server, "session_database", lambda _: (Empty(), pwd.getpwnam("nobody")))
    reader = server.Reader("ts01")
    reader.changed()
    os.close(reader.question)
    assert select.select([reader.answer], [], [], 30)[0]
    assert os.read(reader.answer, 1) == b""
    os.waitpid(reader.child, 0)
    os.close(reader.answer)
