"""Logins on a farm of X2Go Servers a third of which are dead, with a load checker that has asked them and without."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlencode

from bench import farm
from bench.load import WrongAnswerError, ask, percentile
from bench.plan import Plan, progress
from bench.report import number, table
from bench.sites import OurBroker, agent_config
from bench.world import PLAIN, PROGRAMS, Server, Setup
from tests.support.processes import Program, wait_until
from x2gobroker.scheduling.choice import NO_SERVER_UP

DEADLINE = 60.0
AT_ONCE = 8
WHOLE, SHARED = "whole", "shared"
WANTED = "< 1,000"
IN_VAIN = "no server, or a dead one"
OPTIONS = "load-checker-intervals = 86400\ndefault-use-load-checker = {use}"


@dataclass(frozen=True)
class Row:
    """Logins of one kind: seconds, sorted; and how many users were given no server, or a dead one."""

    load_checker: bool
    what: str
    at_once: int
    times: tuple[float, ...]
    in_vain: int


def measure(plan: Plan) -> list[Row]:
    """A broker of its own for each: with what the load checker wrote, and without."""
    rows: list[Row] = []
    with farm.farm() as servers:
        for use in (True, False):
            progress(f"farm-logins: {farm.SERVERS} servers, {'with' if use else 'without'} a load checker")
            with _broker(plan, servers, use) as server:
                rows += _rows(plan, server, use)
    return rows


@contextlib.contextmanager
def _broker(plan: Plan, servers: farm.Farm, use: bool) -> Iterator[OurBroker]:
    """Our daemon; where it uses a load checker, that one has asked all servers."""
    config = agent_config("none", OPTIONS.format(use=str(use).lower()))
    setup = Setup(plan.accounts[min(plan.groups)], _profiles(servers), config)
    variables = {"X2GOBROKER_SSH_FOLDER": str(servers.folder / ".ssh"), "X2GOBROKER_AGENT_USER": servers.user}
    with OurBroker(setup, variables) as server, contextlib.ExitStack() as stack:
        if use:
            stack.callback(_load_checker(server).stop)
        yield server


def _profiles(servers: farm.Farm) -> str:
    """PER_PROFILE servers in each profile, and all of them in two more."""
    indexes = range(farm.SERVERS)
    chosen = {str(begin): indexes[begin : begin + farm.PER_PROFILE] for begin in indexes[:: farm.PER_PROFILE]}
    chosen |= {WHOLE: indexes, SHARED: indexes}
    text = []
    for name, members in chosen.items():
        hosts = ", ".join(f"ts{index} ({servers.address(index)}:{servers.port})" for index in members)
        shared = str(name == SHARED).lower()
        text.append(f"[{name}]\nname = {name}\nhost = {hosts}\nbroker-shared-session-database = {shared}\n")
    return "".join(text)


def _load_checker(server: OurBroker) -> Program:
    """A load checker for this broker, after its first round."""
    variables = {
        **server.environment(),
        "X2GOBROKER_LOADCHECKER_LOGCONFIG": str(server.folder / "no-loggers.conf"),
        "X2GOBROKER_LOADCHECKER_SOCKET": str(server.folder / "loadchecker" / "socket"),
    }
    options = ["-C", str(server.config)]
    argv = [str(PROGRAMS / "x2gobroker-loadchecker"), *options]
    program = Program(argv, server.folder / "loadchecker.log", env=variables, cwd=server.folder)

    def ended() -> bool:
        if program.process.poll() is not None:
            raise SystemExit(f"the load checker ended: {program.output()[-2000:]}")
        argv = [str(PROGRAMS / "x2gobroker"), "load", "--json", *options]
        done = subprocess.run(argv, env=variables, capture_output=True, text=True, timeout=DEADLINE, check=False)
        asked = json.loads(done.stdout)["servers"] if done.stdout else []
        return sum(bool(one["asked"]) for one in asked) >= farm.SERVERS + 1  # and that of the backend zeroconf

    try:
        wait_until(ended, "a round over all servers", DEADLINE)
    except BaseException:
        program.stop()
        raise
    return program


def _rows(plan: Plan, server: Server, use: bool) -> list[Row]:
    """The first logins, when no server is connected to yet and nobody knows who is dead; then others."""
    few = [str(begin) for begin in range(0, farm.SERVERS, farm.PER_PROFILE)]
    users = itertools.count()
    one, all_of = f"{farm.PER_PROFILE} servers", f"all {farm.SERVERS}"
    chosen = [(f"{one}, first logins", few, AT_ONCE, 3 * len(few))]
    if plan.quick:
        chosen += [(one, few, 1, 40), (one, few, AT_ONCE, 80), (f"{all_of}, one session database", [SHARED], 1, 20)]
    else:
        chosen += [(one, few, 1, 120), (one, few, AT_ONCE, 240), (f"{all_of}, first logins", [WHOLE], 1, 4)]
        chosen += [(all_of, [WHOLE], 1, 18), (all_of, [WHOLE], AT_ONCE, 24)]
        chosen.append((f"{all_of}, one session database", [SHARED], 1, 60))
    rows = []
    for what, profiles, at_once, count in chosen:
        times, in_vain = _logins(server, profiles, at_once, count, users, 2 if plan.quick else 4)
        rows.append(Row(use, what, at_once, tuple(sorted(times)), in_vain))
    return rows


def _logins(
    server: Server, profiles: Sequence[str], at_once: int, count: int, users: Iterator[int], seconds: float
) -> tuple[list[float], int]:
    """So many logins of different users, but none is begun after so many seconds; those in vain."""
    times: list[float] = []
    in_vain: list[int] = []
    end = time.monotonic() + seconds

    def one(user: int, profile: str) -> None:
        if time.monotonic() < end and not Plan.clock(lambda: _log_in(server, f"user{user:04}", profile), times):
            in_vain.append(user)

    order = list(itertools.islice(itertools.cycle(profiles), count))
    random.shuffle(order)
    with ThreadPoolExecutor(at_once) as threads:
        for done in [threads.submit(one, next(users), profile) for profile in order]:
            done.result()
    return times, len(in_vain)


def _log_in(server: Server, user: str, profile: str) -> bool:
    """One login; whether there was a server that is up."""
    body = urlencode({"task": "selectsession", "user": user, "password": "x", "sid": profile})
    answer = ask(server.port, PLAIN, body, DEADLINE)
    found = [line.split(":")[1] for line in answer.body.splitlines() if line.startswith("SERVER:")]
    known = {farm.Farm.address(index): not farm.Farm.is_dead(index) for index in range(farm.SERVERS)}
    known[NO_SERVER_UP] = False
    if answer.status != 200 or len(found) != 1 or found[0] not in known:
        raise WrongAnswerError(f"{profile}: status {answer.status}: {answer.body[:200]!r}")
    return known[found[0]]


def report(rows: Sequence[Row]) -> str:
    """The table."""
    lines = (
        (
            f"{row.what}, {row.at_once} at a time",
            "yes" if row.load_checker else "no",
            str(len(row.times)),
            number(percentile(row.times, 0.5) * 1000),
            number(percentile(row.times, 0.99) * 1000),
            number(row.times[-1] * 1000),
            WANTED,
            str(row.in_vain),
        )
        for row in rows
    )
    return "\n\n".join(
        [
            "### Logins on the farm",
            "`selectsession`, each by another user who has no session yet, so that all servers of the profile are "
            "asked for sessions (of one session database: two of them). Milliseconds. With the first logins no server "
            "is connected to yet, and without a load checker nobody knows who is dead.",
            table(
                ("servers of the profile", "load checker", "logins", "p50", "p99", "longest", "wanted p99", IN_VAIN),
                lines,
            ),
        ]
    )
