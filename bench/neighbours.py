"""Whether one slow request holds up the others."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import bcrypt

from bench.data import USER, Accounts, config_text, profiles_text
from bench.load import Figures, ask, check, form, wrk
from bench.plan import Plan, progress
from bench.throughput import WARMING, log_in, static_setup
from bench.world import PLAIN, THREADS, WORKERS, Ours, Reference, Server, Setup

FAST = "/plain/zeroconf/"  # a backend that needs no slow password check
SILENCE = 4  # seconds after which our broker gives up a web server that does not answer
BCRYPT_COST = 13
REFERENCE_PROFILES = 1000


@dataclass
class Neighbours:
    """testcon under load beside slow requests, and how long each of these took."""

    rows: list[tuple[str, Figures, float]] = field(default_factory=list)
    reference: tuple[float, float, float] | None = None  # testcon alone, testcon beside, the slow listing; seconds


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield int(listener.getsockname()[1])


def measure(plan: Plan) -> Neighbours:
    """Logins that wait, logins that compute, and the reference while it makes a listing."""
    result = Neighbours()
    accounts = plan.accounts[min(plan.groups)]
    with silent_server() as port:
        more = f"\n[authmech_https_get]\nhost = 127.0.0.1\nport = {port}\ntimeout = {SILENCE}\n"
        config = config_text(static=True, mechanism="https_get", more=more)
        with Ours(Setup(accounts, profiles_text(10), config)) as server:
            for count in (0, 1) if plan.quick else (0, 1, 4, WORKERS * THREADS):
                what = f"{count} × a login that waits for a silent password server" if count else "nothing"
                # when all threads are taken, the first answer comes after SILENCE
                result.rows.append(
                    (what, *_beside(server, count, SILENCE + (2 if count > THREADS else -2 if plan.quick else -1)))
                )
    result.rows.append(_beside_bcrypt(accounts))
    if "reference" in plan.parts:
        result.reference = _reference(accounts)
    return result


def _beside_bcrypt(accounts: Accounts) -> tuple[str, Figures, float]:
    """The worst kind of password check: one that keeps a processor busy."""
    server = Ours(Setup(accounts, profiles_text(10), ""))
    passwords = server.folder / "htpasswd"
    passwords.write_text(f"{USER}:{bcrypt.hashpw(b'right', bcrypt.gensalt(BCRYPT_COST)).decode()}\n")
    more = f"\n[authmech_htpasswd]\nfile = {passwords}\n"
    config = config_text(static=True, mechanism="htpasswd", more=more)
    Path(server.config).write_text(config.replace("{state}", str(server.state)))
    with server:
        figures, took = _beside(server, 1, SILENCE - 1, again=True)
    return f"one login after the other against bcrypt of cost {BCRYPT_COST}", figures, took


def _beside(server: Server, slow: int, seconds: int, again: bool = False) -> tuple[Figures, float]:
    """Load the fast backend with testcon while `slow` logins are under way at the other one."""
    progress(f"neighbours: {slow} slow logins")
    body = form("testcon", password="x")
    for _ in range(WARMING):
        answer = check("testcon", ask(server.port, FAST, body))
    ended = threading.Event()
    times: list[float] = []

    def log_in_slowly() -> None:
        while True:
            Plan.clock(lambda: ask(server.port, PLAIN, form("testcon", password="right"), 60), times)
            if not again or ended.is_set():
                return

    with _threads(log_in_slowly, slow):
        figures = wrk(server, body, seconds, answer, FAST)
        ended.set()
    return figures, max(times, default=0.0)


@contextlib.contextmanager
def _threads(target: Callable[[], None], count: int) -> Iterator[None]:
    threads = [threading.Thread(target=target) for _ in range(count)]
    for thread in threads:
        thread.start()
    time.sleep(0.3 if threads else 0)  # until the slow ones have arrived
    try:
        yield
    finally:
        for thread in threads:
            thread.join(90)


def _reference(accounts: Accounts) -> tuple[float, float, float]:
    """The reference with its slow request, a listing, and one testcon that comes after it."""
    progress("neighbours: reference")
    with Reference(static_setup(accounts, REFERENCE_PROFILES)) as server:
        authid = log_in(server)
        alone: list[float] = []
        beside: list[float] = []
        listing: list[float] = []

        def testcon(times: list[float]) -> None:
            Plan.clock(lambda: check("testcon", ask(server.port, PLAIN, form("testcon", authid=authid), 60)), times)

        def slow() -> None:
            Plan.clock(lambda: ask(server.port, PLAIN, form("listsessions", authid=authid), 60), listing)

        testcon(alone)
        with _threads(slow, 1):
            testcon(beside)
    return alone[0], beside[0], listing[0]
