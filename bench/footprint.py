"""Start-up time, the cost of an edit, and memory."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.data import Accounts, profiles_text
from bench.load import ask, check, form, wrk
from bench.plan import Plan, progress
from bench.throughput import log_in, static_setup
from bench.world import PLAIN, Constant, Ours, Reference, Server, memory
from tests.support.debian_broker import replace_file

STARTS = 5
EDITS = 4
START_DEADLINE = 20.0


@dataclass(frozen=True)
class Start:
    """Medians, in seconds from the start of the program."""

    name: str
    profiles: int
    first_answer: float
    first_listing: float | None


@dataclass(frozen=True)
class Memory:
    """Megabytes of the largest worker: resident and proportional, after a load, and after edits under load."""

    name: str
    profiles: int
    loaded: tuple[float, float]
    edited: tuple[float, float] | None
    master: tuple[float, float] | None


@dataclass
class Footprint:
    """Everything of this module."""

    starts: list[Start] = field(default_factory=list)
    edits: dict[int, list[float]] = field(default_factory=dict)  # seconds of the first listing after an edit
    memory: list[Memory] = field(default_factory=list)


def measure(plan: Plan) -> Footprint:
    """Start each program several times, then load and measure the large ones."""
    result = Footprint()
    accounts = plan.accounts[min(plan.groups)]
    sizes = sorted({min(plan.sizes), *plan.sizes[-2:]})
    result.starts.append(_starts(plan, "constant", 0, Constant))
    for size in sizes:
        result.starts.append(_starts(plan, "ours", size, functools.partial(_ours, accounts, size)))
    with Constant() as server:
        plain = ask(server.port, PLAIN, form("testcon"))
        wrk(server, form("testcon"), 1, plain)
        result.memory.append(_memory(server, 0, None))
    for size in sizes:
        progress(f"memory: {size} profiles")
        with _ours(accounts, size) as server:
            loaded = _load(server)
            result.edits[size] = _edit(plan, server, size)
            result.memory.append(_memory(server, size, loaded))
    if "reference" in plan.parts:
        smallest = sizes[0]
        result.starts.append(_starts(plan, "reference", smallest, lambda: Reference(static_setup(accounts, smallest))))
        with Reference(static_setup(accounts, sizes[-1])) as server:
            log_in(server)
            result.memory.append(_memory(server, sizes[-1], None))
    return result


def _ours(accounts: Accounts, size: int) -> Ours:
    return Ours(static_setup(accounts, size))


def _first_answer(server: Server, body: str) -> str:
    """The body of the first answer; asks until there is one."""
    end = time.monotonic() + START_DEADLINE
    while True:
        try:
            return ask(server.port, PLAIN, body).body
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.002)


def _starts(plan: Plan, name: str, size: int, make: Callable[[], Server]) -> Start:
    progress(f"start-up: {name}, {size} profiles")
    answers, listings = [], []
    for _ in range(3 if plan.quick else STARTS):
        server = make()
        begin = time.monotonic()
        try:
            server.start()
            _first_answer(server, form("testcon", password="x"))
            answers.append(time.monotonic() - begin)
            if name != "constant":
                check("listsessions", ask(server.port, PLAIN, form("listsessions", password="x")))
                listings.append(time.monotonic() - begin)
        finally:
            server.close()
    return Start(name, size, statistics.median(answers), statistics.median(listings) if listings else None)


def _load(server: Server) -> tuple[float, float]:
    body = form("listsessions", authid=log_in(server))
    wrk(server, body, 2, check("listsessions", ask(server.port, PLAIN, body)))
    return max(memory(pid) for pid in server.workers)


def _edit(plan: Plan, server: Ours, size: int) -> list[float]:
    """Change the profiles file several times under load; how long the first listing after each edit took."""
    times: list[float] = []
    body = form("listsessions", authid=log_in(server))
    for number in range(1 if plan.quick else EDITS):
        replace_file(server.profiles, profiles_text(size) + f"\n# edit {number}\n")
        answer = Plan.clock(lambda: check("listsessions", ask(server.port, PLAIN, body)), times)
        wrk(server, body, 1, answer)
    return times


def _memory(server: Server, size: int, loaded: tuple[float, float] | None) -> Memory:
    now = max(memory(pid) for pid in server.workers)
    assert server.program is not None
    parent = memory(server.program.pid) if server.workers != [server.program.pid] else None
    return Memory(server.name, size, loaded or now, now if loaded else None, parent)
