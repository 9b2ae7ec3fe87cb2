"""What it is worth to know sessions beforehand: one farm, watched, and asked by each login."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from sqlalchemy.engine import URL

from bench import farm
from bench.load import WrongAnswerError, ask, percentile
from bench.plan import Plan, progress
from bench.report import number, table
from bench.sites import OurBroker, agent_config
from bench.world import PLAIN, PROGRAMS, Setup
from tests.support.processes import Program, wait_until
from x2gobroker.inventory.reads import Reads
from x2gobroker.model.inventory import WATCH
from x2gobroker.store import Store
from x2gobroker.store.database import FILE_NAME

KNOWN, ASKED = -1, 0
AT_ONCE = 8
DEADLINE = 60.0
CHANGING = 40  # servers on which something changes
SESSIONS = 50  # on each
CHANGES = 200
ALIVE_SECONDS = 8  # as the load checker wants it
OPTIONS = "load-checker-intervals = 86400\ndefault-use-load-checker = true\nsessions-known-for = {rule}"
# It says what is written to a file that is named like its address. Its own look, once a second, is left out.
AGENT = """\
#!/bin/sh
set -f
set -- $SSH_ORIGINAL_COMMAND
user=$2 task=$3 seconds=$4
set -- $SSH_CONNECTION
events=$HOME/events-$3
figures='loadavgXX:101 memAvail:16000 myMemAvail:15900 numCPU:8 typeCPU:3000 numSessions:4'
report() {{
    printf '%s\\n' "server:h-$1" "time:$(date +%s)" $figures
    [ -r "$events.first" ] && cat "$events.first"
    echo leftOut:0
}}
echo OK
case "$task" in
checkload) printf '%s\\n' $figures ;;
report) report "$3" ;;
watch)
    report "$3"
    touch "$events"
    tail -n 0 -f "$events" &
    trap "kill $!" EXIT HUP TERM PIPE
    alive="|$(echo $figures | tr ' ' '|')"
    while sleep "$seconds"; do echo "alive:$(date +%s)$alive" || exit; done ;;
esac
""".replace("{{", "{").replace("}}", "}")


@dataclass(frozen=True)
class Row:
    """Requests of one kind; seconds, sorted."""

    what: str
    known: bool
    times: tuple[float, ...]


@dataclass(frozen=True)
class Figures:
    """All of it. `changes` are seconds from a line of an agent to a row in the store; `memory` is in bytes."""

    rows: tuple[Row, ...]
    watched: int
    memory: int
    processor: float
    changes: tuple[float, ...]


def measure(plan: Plan) -> Figures:
    """Both ways, one after the other, on the same farm."""
    rows: list[Row] = []
    users = itertools.count()
    with farm.farm(AGENT) as servers:
        _first_sessions(servers)
        for rule in (ASKED, KNOWN):
            progress(f"beforehand: {farm.SERVERS} servers, {'watched' if rule else 'asked'}")
            with _site(plan, servers, rule) as (server, store, checker):
                rows += _rows(plan, server, bool(rule), users)
                if rule:
                    watched = sum(one.how == WATCH for one in Reads(store).servers().values())
                    memory, processor = _idle(checker, 10 if plan.quick else 40)
                    changes = _changes(servers, store, 40 if plan.quick else CHANGES)
    return Figures(tuple(rows), watched, memory, processor, tuple(sorted(changes)))


@contextlib.contextmanager
def _site(plan: Plan, servers: farm.Farm, rule: int) -> Iterator[tuple[OurBroker, Store, Program]]:
    """A daemon, its store, and its load checker, which has asked all servers and watches what it is to watch."""
    setup = Setup(plan.accounts[min(plan.groups)], _profile(servers), agent_config("none", OPTIONS.format(rule=rule)))
    variables = {"X2GOBROKER_SSH_FOLDER": str(servers.folder / ".ssh"), "X2GOBROKER_AGENT_USER": servers.user}
    with OurBroker(setup, variables) as server, contextlib.ExitStack() as stack:
        store = Store(URL.create("sqlite", database=str(server.state / FILE_NAME)))
        stack.callback(store.close)
        environment = {
            **server.environment(),
            "X2GOBROKER_LOADCHECKER_LOGCONFIG": str(server.folder / "no-loggers.conf"),
            "X2GOBROKER_LOADCHECKER_SOCKET": str(server.folder / "loadchecker" / "socket"),
        }
        argv = [str(PROGRAMS / "x2gobroker-loadchecker"), "-C", str(server.config)]
        checker = Program(argv, server.folder / "loadchecker.log", env=environment, cwd=server.folder)
        stack.callback(checker.stop)
        up = sum(not farm.Farm.is_dead(index) for index in range(farm.SERVERS))

        def ready() -> bool:
            known = Reads(store).servers().values()
            heard = sum(one.how == WATCH for one in known) if rule else sum(bool(one.heard) for one in known)
            return heard >= up and len(known) >= farm.SERVERS

        wait_until(ready, "all servers heard", DEADLINE)
        yield server, store, checker


def _profile(servers: farm.Farm) -> str:
    indexes = range(farm.SERVERS)
    hosts = ", ".join(f"ts{index} ({servers.address(index)}:{servers.port})" for index in indexes)
    return f"[whole]\nname = whole\nhost = {hosts}\n"


def _line(index: int, session: int, state: str) -> str:
    user = f"u{index}x{session}"
    name = f"{user}-{50 + session}-1795167317_stDXFCE_dp24"
    return f"session:{name}|{user}|{50 + session}|{state}|1795167317|192.0.2.9|30001|30002|30003\n"


def _changing() -> list[int]:
    return [index for index in range(farm.SERVERS) if not farm.Farm.is_dead(index)][:CHANGING]


def _first_sessions(servers: farm.Farm) -> None:
    """SESSIONS on each of the servers where something changes later."""
    for index in _changing():
        path = servers.home / f"events-{servers.address(index)}.first"
        path.write_text("".join(_line(index, number_of, "R") for number_of in range(SESSIONS)))
        events = servers.home / f"events-{servers.address(index)}"
        events.touch()
        events.chmod(0o666)


def _rows(plan: Plan, server: OurBroker, known: bool, users: Iterator[int]) -> Iterator[Row]:
    kinds = (
        ("selectsession", 1, 10 if plan.quick else 30),
        ("selectsession", AT_ONCE, 24 if plan.quick else 80),
        ("listsessions", 1, 10 if plan.quick else 30),
        ("listsessions", AT_ONCE, 24 if plan.quick else 80),
    )
    for task in ("selectsession", "listsessions"):  # connections that are to be made are made
        _request(server, task, f"user{next(users):05}")
    for task, at_once, count in kinds:
        times: list[float] = []
        end = time.monotonic() + (6 if plan.quick else 25)

        def one(user: int, task: str = task, times: list[float] = times, end: float = end) -> None:
            if time.monotonic() < end:
                Plan.clock(lambda: _request(server, task, f"user{user:05}"), times)

        with ThreadPoolExecutor(at_once) as threads:
            for done in [threads.submit(one, next(users)) for _ in range(count)]:
                done.result()
        yield Row(f"{task}, {at_once} at a time", known, tuple(sorted(times)))


def _request(server: OurBroker, task: str, user: str) -> None:
    answer = ask(server.port, PLAIN, urlencode({"task": task, "user": user, "password": "x", "sid": "whole"}), DEADLINE)
    wanted = "SERVER:127." if task == "selectsession" else "[whole]"
    if answer.status != 200 or wanted not in answer.body:
        raise WrongAnswerError(f"{task}: status {answer.status}: {answer.body[:200]!r}")


def _idle(checker: Program, seconds: float) -> tuple[int, float]:
    """Memory of a load checker in bytes, and its share of a processor, while nothing happens on its servers."""
    process = Path("/proc") / str(checker.process.pid)

    def used() -> int:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before, begun = used(), time.monotonic()
    time.sleep(seconds)
    share = (used() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - begun)
    resident = re.search(r"VmRSS:\s*(\d+) kB", (process / "status").read_text())
    assert resident is not None
    return int(resident[1]) * 1024, share


def _changes(servers: farm.Farm, store: Store, count: int) -> list[float]:
    """From a line of an agent to a row in the store, one after the other on all servers in turn."""
    reads, times = Reads(store), []
    states = dict.fromkeys(_changing(), "R")
    for turn in range(count):
        index = _changing()[turn % CHANGING]
        states[index] = state = "S" if states[index] == "R" else "R"
        user = f"u{index}x7"
        begun = time.monotonic()
        with (servers.home / f"events-{servers.address(index)}").open("a") as events:
            events.write(_line(index, 7, state))
        while [one.session.state for one in reads.everywhere(user)] != [state]:
            if time.monotonic() - begun > DEADLINE:
                raise WrongAnswerError(f"{user}: its change was not seen")
            time.sleep(0.005)
        times.append(time.monotonic() - begun)
    return times


def report(found: Figures) -> str:
    """The tables."""
    idle = (
        ("servers watched", str(found.watched), ""),
        ("memory of the load checker, MB", number(found.memory / 1e6), "< 150 for 200"),
        ("share of a processor while nothing happens, %", f"{found.processor * 100:.1f}", "< 5 for 200"),
        ("line of an agent to row in the store, p50 ms", number(statistics.median(found.changes) * 1000), ""),
        ("the same, p99 ms", number(percentile(found.changes, 0.99) * 1000), "< 2,000"),
    )
    head = ("request", "asked p50", "asked p99", "known p50", "known p99", "asked / known, p99", "wanted p99")
    return "\n\n".join(
        [
            "### Known beforehand",
            f"{farm.SERVERS} servers in one session profile, a third of them dead; the agents of the others are shell "
            "scripts, which cost next to nothing. *Asked* is `sessions-known-for = 0`: every login asks all of them. "
            "*Known* is the default: the load checker watches them. Milliseconds.",
            table(head, [_compared(found, row) for row in found.rows if row.known]),
            "Until a row is in the store, an agent's own look, once a second, comes on top.",
            table(("load checker", "", "wanted"), idle),
        ]
    )


def _compared(found: Figures, row: Row) -> tuple[str, ...]:
    asked = next(one for one in found.rows if one.what == row.what and not one.known)
    figures = [percentile(one.times, share) for one in (asked, row) for share in (0.5, 0.99)]
    wanted = "< 100" if row.what.startswith("select") else "< 20"
    return row.what, *(number(figure * 1000) for figure in figures), f"{figures[1] / figures[3]:.1f}", wanted
