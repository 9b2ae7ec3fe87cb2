"""The broker agent's own work on an X2Go Server, without SSH: today's way to list sessions, and from the database."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import socket
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import WrongAnswerError, percentile
from bench.plan import Plan, progress
from bench.report import number, table
from bench.sites import DEBIAN_AGENT
from tests.support.accounts import account_with_home
from tests.support.our_agent import BROKER_ACCOUNT, our_agent
from tests.support.processes import wait_until
from tests.support.x2go_server import DATABASE

DEADLINE = 60.0
BY_PROGRAM, FROM_DATABASE, BY_REFERENCE = "by x2golistsessions", "from the database", "the reference's agent"
SESSIONS = (1, 50, 500, 10_000)
WATCHED = (50, 500)
WANTED_MS, WANTED_SHARE = 40, 0.2
COLUMNS = (
    "session_id, display, uname, server, status, cookie, agent_pid, client, gr_port, sound_port, fs_port, "
    "tekictrl_port, tekidata_port"
)


@dataclass
class Calls:
    """Seconds that calls took, and seconds of a processor that all processes of each took."""

    whole: list[float] = field(default_factory=list)
    work: list[float] = field(default_factory=list)


@dataclass
class AgentWork:
    """Calls by what is asked; shares of a core in percent, and megabytes, by the number of sessions watched."""

    lists: dict[str, Calls] = field(default_factory=dict)
    reports: dict[int, Calls] = field(default_factory=dict)
    watches: dict[int, tuple[float, float]] = field(default_factory=dict)


def measure(plan: Plan) -> AgentWork:
    """Lists by all ways in turns, then reports, then watches. The sessions are rows in the machine's own database."""
    result = AgentWork()
    rounds = 10 if plan.quick else 40
    with contextlib.ExitStack() as stack:
        if not DATABASE.exists():
            subprocess.run(["x2godbadmin", "--createdb"], check=True, capture_output=True, timeout=DEADLINE)
        ours = stack.enter_context(our_agent())
        before = stack.enter_context(our_agent())
        text = before.read_text(encoding="utf-8")
        before.write_text(text.replace('SQL_SETTINGS, X2GO_SETTINGS = "', 'SQL_SETTINGS, X2GO_SETTINGS = "/nowhere'))
        user = stack.enter_context(account_with_home(secrets.token_hex(8))).name
        ways = {BY_PROGRAM: before, FROM_DATABASE: ours}
        if "reference" in plan.parts and DEBIAN_AGENT.exists():
            ways[BY_REFERENCE] = DEBIAN_AGENT
        progress("agent: lists of sessions")
        with sessions(user, 50):
            for turn in range(rounds + 1):
                for way, agent in ways.items():
                    _clocked(result.lists.setdefault(way, Calls()), turn > 0, _call(agent, user, "listsessions"))
        for count in SESSIONS[:2] if plan.quick else SESSIONS:
            progress(f"agent: reports of {count} sessions")
            with sessions(user, count):
                for turn in range(rounds // 2 + 1):
                    _clocked(result.reports.setdefault(count, Calls()), turn > 0, _call(ours, "nobody", "report"))
        for count in WATCHED:
            progress(f"agent: {count} sessions watched")
            with sessions(user, count):
                result.watches[count] = _watch(ours, 10.0 if plan.quick else 40.0)
    return result


def _clocked(calls: Calls, counted: bool, call: Callable[[], None]) -> None:
    """Do it, and note how long it took where it is counted: the first time warms up."""
    into = calls if counted else Calls()
    before = _processor()
    Plan.clock(call, into.whole)
    into.work.append(_processor() - before)


def _processor() -> float:
    """Seconds of a processor that children and theirs have taken; it does not matter how busy the machine is."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _call(agent: Path, user: str, task: str) -> Callable[[], None]:
    """A call as sshd makes it, but without sshd."""

    def call() -> None:
        done = subprocess.run(
            ["/bin/sh", "-c", str(agent)],
            env={"PATH": "/usr/bin:/bin", "SSH_ORIGINAL_COMMAND": f"/usr/lib/x2go/x2gobroker-agent {user} {task}"},
            user=BROKER_ACCOUNT, group=BROKER_ACCOUNT, extra_groups=[], cwd="/",
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
        if done.returncode or not done.stdout.startswith("OK\n"):
            raise WrongAnswerError(f"{agent} ended with {done.returncode}: {done.stdout[:500]}{done.stderr}")
        if task == "listsessions" and done.stdout.count("\n") != 51:
            raise WrongAnswerError(f"{agent} lists {done.stdout.count(chr(10)) - 1} sessions instead of 50")

    return call


@contextlib.contextmanager
def sessions(user: str, count: int) -> Iterator[None]:
    """So many sessions of this user in the session database of this host, each with its state file."""
    root = Path(f"/tmp/.x2go-{user}")
    names = [f"{user}-{number}-1795167317_stDMATE_dp24" for number in range(100, 100 + count)]
    for name in names:
        (root / f"C-{name}").mkdir(parents=True)
        (root / f"C-{name}" / "state").write_text("RUNNING")
    rows = [
        (
            name,
            100 + place,
            user,
            socket.gethostname(),
            "R",
            "c" * 32,
            1,
            "192.168.100.100",
            30001,
            30002,
            30003,
            -1,
            -1,
        )
        for place, name in enumerate(names)
    ]
    insert = f"INSERT INTO sessions ({COLUMNS}) VALUES ({', '.join('?' * 13)})"  # noqa: S608 - of constants
    try:
        with contextlib.closing(sqlite3.connect(DATABASE, timeout=20)) as database, database:
            database.executemany(insert, rows)
        yield
    finally:
        with contextlib.closing(sqlite3.connect(DATABASE, timeout=20)) as database, database:
            database.execute("DELETE FROM sessions WHERE uname = ?", (user,))
        subprocess.run(["rm", "-rf", str(root)], check=True, timeout=DEADLINE)


def _watch(agent: Path, seconds: float) -> tuple[float, float]:
    """The share of a core that a watch takes while nothing happens, in percent, and its memory in megabytes."""
    wait_until(lambda: time.time() - DATABASE.stat().st_mtime > 3, "some quiet")
    with subprocess.Popen(
        [agent, "nobody", "watch", "30"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
    ) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith(b"leftOut:"):
            pass
        time.sleep(3)
        group = _family(process.pid)
        begun, before = time.monotonic(), sum(map(_ticks, group))
        time.sleep(seconds)
        spent = (sum(map(_ticks, group)) - before) / os.sysconf("SC_CLK_TCK")
        share = spent / (time.monotonic() - begun) * 100
        memory = sum(map(_memory, group)) / 1000
        assert process.stdin is not None
        process.stdin.close()
        process.stdout.read()
    return share, memory


def _family(process: int) -> list[int]:
    """A process and its children, all the way down."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(below for child in children for below in _family(int(child)))]


def _ticks(process: int) -> int:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _memory(process: int) -> int:
    """The proportional share of memory, in kB."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise WrongAnswerError("the kernel does not tell how much memory a process has")


def _row(what: str, calls: Calls, base: float, wanted: str) -> tuple[str, ...]:
    work = statistics.median(calls.work)
    whole = (statistics.median(calls.whole), percentile(sorted(calls.whole), 0.95))
    shown = [number(seconds * 1000) for seconds in (work, *whole)]
    return what, str(len(calls.work)), *shown, wanted, f"{work / base:.1f}"


def report(result: AgentWork) -> str:
    """The figures as markdown."""
    base = statistics.median(result.lists[FROM_DATABASE].work)
    wanted = f"< {WANTED_MS}"
    rows = [
        _row(f"listsessions, {way}", calls, base, wanted if way == FROM_DATABASE else "")
        for way, calls in result.lists.items()
    ]
    rows += [
        _row(f"report of {count:,} sessions", calls, base, wanted if count <= 500 else "")
        for count, calls in result.reports.items()
    ]
    watches = [
        (f"{count:,} sessions", f"{share:.2f}", f"< {WANTED_SHARE}", number(memory))
        for count, (share, memory) in result.watches.items()
    ]
    return "\n\n".join(
        [
            "### The agent's own work",
            "Calls as sshd makes them, but without sshd: a shell, the agent, sudo, the agent as root (ms). Work is the "
            "processor time of all these, and grows little while others use the machine; the next two columns do. "
            "Lists are of a user with 50 sessions; all ways in turns.",
            table(("call", "calls", "work, median", "time, median", "time, p95", "work wanted", "work, times"), rows),
            "A watch while nothing happens: percent of a core, and megabytes (proportional share) of all its "
            "processes.",
            table(("watched", "% of a core", "wanted", "MB"), watches),
        ]
    )
