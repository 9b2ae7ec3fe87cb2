"""The load checker as a program: real sshd with agents that work and that do not, and clients of the reference."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agents import AgentHost, BrokerSide, DeadAgent, LyingAgent, SlowAgent, WrongHostKey, broker_side
from tests.support.loadchecker import PROGRAMS, LoadChecker, load_checker, profile
from tests.support.postgresql import postgresql
from tests.support.processes import wait_until
from x2gobroker.model.hosts import Endpoint
from x2gobroker.settings import Settings
from x2gobroker.store import AutologinKeys, Store, StoredKey
from x2gobroker.store.database import database_url
from x2gobroker.store.loads import Loads

# of the working agents: 2000 MB, 2 cores of 1500 MHz, load 1.00
FACTOR = 5940
KEY_LINE = "no-X11-forwarding ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGmvlGGZ6gRVw3UbJlNBUqEbMjS5sX2Bw2gG0Ew0oC1c anna"


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerSide]:
    """The broker's account and key."""
    with broker_side(tmp_path_factory.mktemp("broker-side")) as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the files of agents."""
    return tmp_path_factory.mktemp("agents")


@pytest.fixture(scope="module")
def up(side: BrokerSide, folder: Path) -> Iterator[AgentHost]:
    """A server that works, for all tests of this module."""
    with AgentHost(side, folder, "ts01") as host:
        yield host


def servers(checker: LoadChecker) -> dict[str, dict[str, object]]:
    """What `x2gobroker load --json` says, by server."""
    said = json.loads(checker.command("load", "--json").stdout)
    return {server["server"]: server for server in said["servers"]}


def store_of(url: str) -> Store:
    """The store of a database."""
    return Store(database_url(Settings({("global", "database-url"): url})))


def sqlite_store(checker: LoadChecker) -> Store:
    """The store of a load checker with SQLite."""
    return Store(database_url(Settings({("global", "cookie-directory"): str(checker.folder / "state")})))


def wait_for(checker: LoadChecker, query: str, answer: str, deadline: float = 10.0) -> None:
    """Until the socket says so."""
    wait_until(lambda: checker.ask(query) == answer, f"the answer {answer!r} to {query!r}", deadline)


@contextlib.contextmanager
def every_sort(side: BrokerSide, folder: Path, up: AgentHost) -> Iterator[LoadChecker]:
    """A load checker with every sort of server in one profile."""
    with contextlib.ExitStack() as stack:
        refusing = stack.enter_context(DeadAgent("refusing", "ts02"))
        silent = stack.enter_context(DeadAgent("silent", "ts03"))
        wrong = stack.enter_context(WrongHostKey(side, folder, "ts04"))
        slow = stack.enter_context(SlowAgent(side, folder, "ts05"))
        lying = LyingAgent(side, folder, "ts06")
        lying.lie = "forged-load"
        stack.enter_context(lying)
        hosts = [host.endpoint for host in (up, refusing, silent, wrong, slow, lying)]
        yield stack.enter_context(load_checker(side.variables(), profile("all", *hosts), interval=60))


def all_asked(checker: LoadChecker) -> None:
    """Until it has asked them all."""
    wait_until(lambda: all(one["asked"] for one in servers(checker).values()), "all asked", 10)


def test_what_works_and_what_does_not(side: BrokerSide, folder: Path, up: AgentHost) -> None:
    """All are asked, the socket and the command say the same."""
    with every_sort(side, folder, up) as checker:
        began = time.monotonic()
        wait_for(checker, "inifile\rall\rts01\n", str(FACTOR), 5)
        all_asked(checker)
        assert time.monotonic() - began < 8
        found = {name: (one["state"], one["factor"]) for name, one in servers(checker).items()}
        assert found == {
            "ts01": ("ok", FACTOR),
            "ts02": ("unreachable", None),
            "ts03": ("timeout", None),
            "ts04": ("host-key", None),
            "ts05": ("timeout", None),
            "ts06": ("nonsense", None),
        }
        table = checker.command("load")
        assert table.returncode == 0, table.stderr
        assert [line.split()[0] for line in table.stdout.splitlines()[1:]] == [f"ts0{number}" for number in range(1, 7)]
        assert "host key refused" in table.stdout
        # all that while servers hang
        assert checker.seconds_to_stop() < 5
        assert not checker.socket.exists()


@pytest.mark.reference
def test_the_reference_reads_every_sort(side: BrokerSide, folder: Path, up: AgentHost) -> None:
    with every_sort(side, folder, up) as checker:
        wait_for(checker, "inifile\rall\rts01\n", str(FACTOR))
        all_asked(checker)
        by_debian = json.loads(checker.ask_as_debian("inifile", "all"))
        assert by_debian == {
            "ts01": FACTOR,
            "ts02": "HOST-UNREACHABLE",
            "ts03": "HOST-UNREACHABLE",
            "ts04": "LOAD-UNAVAILABLE",
            "ts05": "HOST-UNREACHABLE",
            "ts06": "LOAD-DATA-BOGUS",
        }
        assert json.loads(checker.ask_as_debian("inifile", "all", "ts01")) == FACTOR
        for host in ("ts02", "ts06", "nobody"):
            assert json.loads(checker.ask_as_debian("inifile", "all", host)) == "LOAD-UNAVAILABLE"
        assert json.loads(checker.ask_as_debian("inifile", "none")) == {}


@pytest.mark.reference
def test_the_reference_reads_the_best_of_many_servers_whole(side: BrokerSide, up: AgentHost) -> None:
    """Its client reads 1024 bytes: the servers that are down come last, and no number is cut."""
    dead = [Endpoint(f"server-number-{number}.example.org", "127.0.0.1", 9) for number in range(60)]
    with load_checker(side.variables(), profile("many", *dead, up.endpoint), interval=60) as checker:
        wait_for(checker, "inifile\rmany\rts01\n", str(FACTOR))
        wait_until(lambda: "LOAD-UNAVAILABLE" not in checker.ask("inifile\rmany\r\n"), "all asked", 10)
        assert checker.ask("inifile\rmany\r\n").count(":") == 61
        by_debian = json.loads(checker.ask_as_debian("inifile", "many"))
        assert 10 < len(by_debian) < 61
        assert by_debian.pop("ts01") == FACTOR
        assert set(by_debian.values()) == {"HOST-UNREACHABLE"}


def test_a_server_that_is_back_is_noticed_within_an_interval(side: BrokerSide, folder: Path) -> None:
    """However long it was down: the circuit breaker of logins would leave it out for longer."""
    with (
        AgentHost(side, folder, "ts01") as host,
        load_checker(side.variables(), profile("p", host.endpoint)) as checker,
    ):
        wait_for(checker, "inifile\rp\rts01\n", str(FACTOR))
        assert host.sshd is not None
        host.sshd.stop()
        wait_for(checker, "inifile\rp\rts01\n", "LOAD-UNAVAILABLE")
        first = servers(checker)["ts01"]
        assert (first["state"], first["factor"]) == ("unreachable", FACTOR)
        began = time.time()
        wait_until(lambda: float(str(servers(checker)["ts01"]["asked"])) > began + 4, "four more rounds", 15)
        host.sshd.start()
        began = time.monotonic()
        wait_for(checker, "inifile\rp\rts01\n", str(FACTOR))
        assert time.monotonic() - began < 4
        log = checker.log.read_text()
        assert log.count(f"X2Go Server 127.0.0.1:{host.port}: no load report: unreachable") == 1
        assert log.count(f"X2Go Server 127.0.0.1:{host.port}: load reports again") == 1


def test_changed_files_count_at_once(side: BrokerSide, up: AgentHost) -> None:
    with load_checker(side.variables(), profile("p", up.endpoint), interval=60) as checker:
        wait_for(checker, "inifile\rp\rts01\n", str(FACTOR))
        renamed = Endpoint("other", up.endpoint.address, up.endpoint.port)
        checker.write_profiles(profile("q", renamed))
        wait_for(checker, "inifile\rq\rother\n", str(FACTOR))
        assert checker.ask("inifile\rp\rts01\n") == "LOAD-UNAVAILABLE"
        checker.config.write_text(checker.config.read_text().replace("= SSH", "= NONE"))
        wait_for(checker, "inifile\rq\r\n", "\n")
        said = checker.command("load")
        assert "its agent-query-mode is NONE" in said.stderr
        assert said.stdout == ""


def test_signals(side: BrokerSide, up: AgentHost) -> None:
    with load_checker(side.variables(), profile("p", up.endpoint), interval=3600) as checker:
        wait_for(checker, "inifile\rp\rts01\n", str(FACTOR))
        before = len(up.asked())
        assert checker.program is not None
        os.kill(checker.program.pid, signal.SIGHUP)
        wait_until(lambda: len(up.asked()) > before, "the question after SIGHUP", 10)
        assert checker.seconds_to_stop(signal.SIGINT) < 5
        assert not checker.socket.exists()


def test_a_second_one_on_the_same_socket_does_not_start(side: BrokerSide) -> None:
    with load_checker(side.variables()) as checker:
        done = subprocess.run(
            [str(PROGRAMS / "x2gobroker-loadchecker")],
            env=checker.env, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert "listens on" in done.stderr
        assert checker.answers()


def test_a_socket_left_behind_is_replaced_and_nothing_else_is(side: BrokerSide) -> None:
    with load_checker(side.variables(), arguments=["-o", "root", "-g", "www-data", "-p", "0640"]) as checker:
        status = checker.socket.stat()
        assert stat.S_IMODE(status.st_mode) == 0o640
        assert status.st_gid != 0
        assert checker.program is not None
        checker.program.stop(signal.SIGKILL)
        assert checker.socket.is_socket()
        checker.start()
        assert checker.seconds_to_stop() < 5
        target = checker.folder / "precious"
        target.write_text("kept")
        checker.socket.symlink_to(target)
        done = subprocess.run(
            [str(PROGRAMS / "x2gobroker-loadchecker")],
            env=checker.env, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert "no socket" in done.stderr
        assert target.read_text() == "kept"
        assert checker.socket.is_symlink()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-p", "9"], "no file mode"),
        (["-o", "x2gt-nobody"], "x2gt-nobody"),
        (["-s", "/proc/nowhere/s"], "cannot listen"),
    ],
)
def test_what_cannot_start_says_why(arguments: list[str], said: str) -> None:
    checker = LoadChecker({}, arguments=arguments)
    done = subprocess.run(
        [str(PROGRAMS / "x2gobroker-loadchecker"), *arguments],
        env=checker.env, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    checker.close()
    assert done.returncode == 2
    assert said in done.stderr


def test_in_the_background(side: BrokerSide, up: AgentHost) -> None:
    """-D with a PID file and a log folder, from a relative path; SIGTERM to the PID of the file ends it."""
    checker = LoadChecker(side.variables(), 60)
    checker.write_profiles(profile("p", up.endpoint))
    pid_file = checker.folder / "pid"
    options = ["-D", "-C", "x2gobroker.conf", "-P", "pid", "-L", str(checker.folder / "logs")]
    try:
        subprocess.run(
            [str(PROGRAMS / "x2gobroker-loadchecker"), *options],
            env=checker.env, cwd=checker.folder, timeout=30, check=True,
        )  # fmt: skip
        wait_until(lambda: checker.answers() and pid_file.exists(), "the service in the background")
        wait_for(checker, "inifile\rp\rts01\n", str(FACTOR))
        pid = int(pid_file.read_text())
        began = time.monotonic()
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not pid_file.exists() and not checker.socket.exists(), "the end", 5)
        assert time.monotonic() - began < 4
        wait_until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid), "the process gone", 5)
        assert "load checker: process" in (checker.folder / "logs" / "x2gobroker-loadchecker.stderr").read_text()
    finally:
        checker.close()


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_a_store_that_fails_for_a_while(side: BrokerSide, up: AgentHost) -> None:
    with load_checker(side.variables(), profile("p", up.endpoint)) as checker:
        wait_for(checker, "inifile\rp\rts01\n", str(FACTOR))
        database = sqlite3.connect(checker.folder / "state" / "x2gobroker.sqlite", isolation_level=None, timeout=10)
        (statement,) = database.execute("SELECT sql FROM sqlite_master WHERE name = 'server_loads'").fetchone()
        database.execute("DROP TABLE server_loads")
        wait_until(lambda: "cannot be written, and are kept in memory" in checker.log.read_text(), "the line", 10)
        assert checker.ask("inifile\rp\rts01\n") == "LOAD-UNAVAILABLE"
        database.execute(statement)
        database.close()
        wait_for(checker, "inifile\rp\rts01\n", str(FACTOR))
        wait_until(lambda: "the state store works again" in checker.log.read_text(), "the line", 10)
        assert checker.log.read_text().count("kept in memory") == 1


def test_two_load_checkers_with_one_postgresql(side: BrokerSide, folder: Path) -> None:
    """What one finds the other tells as well; one of them killed, the other goes on."""
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(AgentHost(side, folder, name)) for name in ("ts01", "ts02")]
        url = stack.enter_context(postgresql())
        profiles = profile("p", *(host.endpoint for host in hosts))
        more = f"database-url = {url}"
        one = stack.enter_context(load_checker(side.variables(), profiles, interval=2, more=more))
        two = stack.enter_context(load_checker(side.variables(), profiles, interval=2, more=more))
        for checker in (one, two):
            wait_for(checker, "inifile\rp\rts01\n", str(FACTOR))
        store = store_of(url)
        stack.callback(store.close)
        assert one.program is not None
        one.program.stop(signal.SIGKILL)
        killed = time.time()
        wait_until(lambda: min(load.asked for load in Loads(store).all()) > killed, "the other going on", 10)


def test_autologin_keys_are_taken_away_without_a_broker(side: BrokerSide, up: AgentHost) -> None:
    with load_checker(side.variables(), interval=3600) as checker:
        store = sqlite_store(checker)
        now = time.time()
        key = StoredKey(
            up.endpoint, "anna", "%h/.x2go/authorized_keys", KEY_LINE, "SSH", "RejectPolicy", "", "", now, now + 900
        )
        keys = AutologinKeys(store)
        keys.record([key])
        wait_until(lambda: any(" anna delauthkey " in line for line in up.asked()), "the key taken away", 20)
        wait_until(lambda: keys.all() == [], "the row gone", 10)
        store.close()
