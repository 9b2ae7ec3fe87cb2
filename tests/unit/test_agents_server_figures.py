"""The broker agent's figures of load and sessions, and how it runs programs."""

from __future__ import annotations

import os
import pwd
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.processes import wait_until
from x2gobroker.agents import server
from x2gobroker.agents.base import SESSION_SECONDS
from x2gobroker.agents.server import RefusedError
from x2gobroker.model.load import parse_load
from x2gobroker.settings import GLOBAL, SettingsSource

OWN_ACCOUNT = pwd.getpwuid(os.geteuid())


def files(monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    """Let the agent find these texts, by the last name of the path, and no other files."""
    monkeypatch.setattr(server, "lines_of", lambda path: texts.get(Path(path).name, "").split("\n"))


@pytest.mark.parametrize(
    ("text", "count", "clock"),
    [
        ("model name\t: Intel(R) Xeon(R) CPU E5-2650 @ 2.60GHz\ncpu MHz\t\t: 1200.1\n" * 3, 3, 2600),
        ("model name\t: AMD EPYC\ncpu MHz\t\t: 2794.748\n" * 2, 2, 2795),
        ("cpu MHz\t\t: 2000.000\n", 1, 2000),
    ],
)
def test_processors_as_the_reference_sees_them(
    monkeypatch: pytest.MonkeyPatch, text: str, count: int, clock: int
) -> None:
    files(monkeypatch, cpuinfo=text)
    assert server.processors() == (count, clock)


def test_processors_without_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    files(monkeypatch, cpuinfo="processor\t: 0\nBogoMIPS\t: 108.00\n")
    assert server.processors() == (os.cpu_count(), 1000)
    files(monkeypatch, cpuinfo="", cpuinfo_max_freq="1800000\n")
    assert server.processors() == (os.cpu_count(), 1800)


def test_memory_as_the_reference_reckons_it(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "MemTotal: 9 kB\nMemFree: 1000000 kB\nActive(file): 300000 kB\nInactive(file): 100000 kB\n"
    files(monkeypatch, meminfo=text + "SReclaimable: 50000 kB\n", min_free_kbytes="67584\n")
    # 1000000 - 67584 + 400000 - 67584 + 50000 - 25000
    assert server.memory() == (0, 1289)
    files(monkeypatch, meminfo="MemAvailable: 2999999 kB\nMemFree: 5 kB\n", min_free_kbytes="67584\n")
    assert server.memory() == (2999, 0)


def test_the_load_of_this_machine_is_what_the_broker_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "session_counts", lambda: {"elsewhere": 7, os.uname().nodename: 3})
    monkeypatch.setattr(server, "program", lambda name: name)
    report = parse_load(server.load().decode().splitlines())
    assert report.sessions == 3
    assert report.cpus >= 1
    assert report.memory > 0

    def no_database() -> dict[str, int | None]:
        raise RefusedError("no database")

    monkeypatch.setattr(server, "session_counts", no_database)
    assert parse_load(server.load().decode().splitlines()).sessions is None


def test_busy_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "session_counts", lambda _: {"a": 2, "b": 1})
    assert server.busy_servers() == b"33:b\n66:a\n"
    monkeypatch.setattr(server, "session_counts", lambda _: {})
    assert server.busy_servers() == b""
    monkeypatch.setattr(server, "session_counts", lambda _: {"a": None})
    with pytest.raises(RefusedError):
        server.busy_servers()


# --- processes ---


def test_a_program_is_ended_with_all_it_started(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="took longer"):
        server.run(["/bin/sh", "-c", f"echo $$ >{tmp_path}/pid; sleep 60 & sleep 60"], None, 2)
    group = int((tmp_path / "pid").read_text())
    look = ["pgrep", "-r", "R,S,D", "-g", str(group)]
    wait_until(lambda: subprocess.run(look, timeout=20, check=False).returncode == 1, "the end of the group")


def test_output_has_a_limit() -> None:
    with pytest.raises(RefusedError, match="said more"):
        server.run(["/usr/bin/yes"], None, 20)


def test_a_program_that_leaves_something_running_is_not_waited_for() -> None:
    begun = time.monotonic()
    assert server.run(["/bin/sh", "-c", "sleep 8 & echo done; echo no >&2; exit 3"], None, 20) == (3, b"done\n", "no")
    assert time.monotonic() - begun < 5


def test_a_host_name_that_sudo_cannot_resolve_is_not_what_is_wrong() -> None:
    noise = "echo sudo: unable to resolve host ts01: Name or service not known >&2;"
    assert server.run(["/bin/sh", "-c", f"{noise} echo there is no user >&2; exit 1"], None, 20) == (
        1,
        b"",
        "there is no user",
    )
    assert server.run(["/bin/sh", "-c", noise], None, 20) == (0, b"", "")


def test_a_program_that_is_not_there() -> None:
    status, output, said = server.run(["/nonexistent/x"], None, 5)
    assert status
    assert not output
    assert "No such file" in said


# --- deadlines ---


def test_the_broker_is_told_what_took_too_long_before_it_stops_waiting() -> None:
    timeout = SettingsSource({}).current().integer(GLOBAL, "agent-timeout")
    assert server.LOCK_SECONDS < server.KEYS_SECONDS
    assert timeout > server.KEYS_SECONDS + server.VERSION_SECONDS
    assert server.COUNT_SECONDS < server.LIST_SECONDS < timeout
    assert server.SQLITE_LOCK_SECONDS < server.COUNT_SECONDS
    # a program of x2goserver's has a second at least
    assert timeout + SESSION_SECONDS > server.SESSION_SECONDS + 1 + server.SESSION_LIST_SECONDS


@pytest.mark.parametrize("ask", [lambda: server.listed(OWN_ACCOUNT), server.report, server.session_counts])
def test_the_other_way_to_the_sessions_gets_no_more_than_what_is_left_of_the_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ask: Callable[[], object]
) -> None:
    class Hanging:
        """A session database that never answers."""

        def own(self, user: str) -> None:
            time.sleep(60)

        def changed(self, host: str) -> None:
            time.sleep(60)

        def counts(self) -> None:
            time.sleep(60)

    for name in ("x2golistsessions", "x2golistsessions_root", "x2gogetservers"):
        (tmp_path / name).write_text("#!/bin/sh\nexec sleep 60\n")
        (tmp_path / name).chmod(0o755)
    run = server.run
    monkeypatch.setattr(server, "run", lambda work, _account, *more: run(work, None, *more))
    monkeypatch.setattr(server, "session_database", lambda _account: (Hanging(), None))
    monkeypatch.setattr(server, "program", lambda name: str(tmp_path / name))
    monkeypatch.setattr(server, "COUNT_SECONDS", 0.6)
    monkeypatch.setattr(server, "LIST_SECONDS", 1.0)
    begun = time.monotonic()
    with pytest.raises(RefusedError, match="took longer"):
        ask()
    assert time.monotonic() - begun < 2


def test_errors_are_one_line_and_status_1(capfd: pytest.CaptureFixture[str]) -> None:
    assert server.main(["anna", "nonsense"]) == 1
    assert capfd.readouterr() == ("", "x2gobroker-agent: there is no such task\n")


@pytest.mark.parametrize("user", ["root", "daemon", "x2gobroker"])
def test_system_users_are_refused(user: str) -> None:
    with pytest.raises(RefusedError, match="system user"):
        server.account_of(user)
