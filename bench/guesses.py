"""Many passwords at once: how many of a first volley are looked at, and what strangers leave in memory."""

from __future__ import annotations

import http.client
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.data import config_text, profiles_text
from bench.plan import Plan, progress
from bench.world import WORKERS, Ours, Setup, memory
from x2gobroker.auth.htpasswd import write_user
from x2gobroker.auth.passwords import hash_password

JSON = "/json/inifile/"
GUESSES = 120
STRANGERS = 200
DEFAULT_THREADS = 32
USER, PASSWORD = "anna", "The right one, 1"
SECONDS = 300.0
LEFT_ALONE_SECONDS = 10.0


@dataclass(frozen=True)
class Guesses:
    """Figures. Memory is megabytes that are resident in the largest worker."""

    volley: Mapping[int, int]  # status: answers
    volley_seconds: float
    right_ones: Mapping[int, int]
    at_start: float
    after: float
    left_alone: float
    strangers_seconds: float


class _Broker(Ours):
    """Our daemon with a file of passwords, and as many threads as it has by default."""

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), "X2GOBROKER_THREADS": str(DEFAULT_THREADS)}

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        users = self.folder / "users"
        write_user(users, USER, hash_password(PASSWORD))
        self.config.write_text(self.config.read_text().replace("{users}", str(users)))


def measure(plan: Plan) -> Guesses:
    """One daemon for all of it; each user asks from an address of its own."""
    config = config_text(static=True, mechanism="htpasswd", more="\n[authmech_htpasswd]\nfile = {users}\n")
    with _Broker(Setup(plan.accounts[min(plan.groups)], profiles_text(10), config)) as server:
        _ask(server.port, USER, PASSWORD, "127.3.1.1")
        at_start = max(memory(pid)[0] for pid in server.workers)
        progress(f"guesses: {STRANGERS} strangers at once")
        _, seconds = _all_at_once(
            STRANGERS, lambda number: _ask(server.port, f"nobody{number}", "x", f"127.3.0.{number % 250 + 1}")
        )
        after = max(memory(pid)[0] for pid in server.workers)
        time.sleep(LEFT_ALONE_SECONDS)
        left_alone = max(memory(pid)[0] for pid in server.workers)
        progress(f"guesses: {GUESSES} for one account at once")
        volley, volley_seconds = _all_at_once(
            GUESSES, lambda number: _ask(server.port, USER, f"guess {number}", "127.3.2.1")
        )
        right, _ = _all_at_once(40, lambda _: _ask(server.port, USER, PASSWORD, "127.3.3.1"))
    return Guesses(volley, volley_seconds, right, at_start, after, left_alone, seconds)


def _ask(port: int, user: str, password: str, address: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS, source_address=(address, 0))
    try:
        fields = urllib.parse.urlencode({"user": user, "password": password, "task": "listsessions"})
        connection.request("POST", JSON, fields, {"Content-Type": "application/x-www-form-urlencoded"})
        return connection.getresponse().status
    finally:
        connection.close()


def _all_at_once(count: int, ask: Callable[[int], int]) -> tuple[Counter[int], float]:
    """The statuses of so many requests that begin together, and the seconds until the last answer."""
    ready = threading.Barrier(count)

    def one(number: int) -> int:
        ready.wait(SECONDS)
        return ask(number)

    begin = time.monotonic()
    with ThreadPoolExecutor(count) as threads:
        statuses = Counter(threads.map(one, range(count)))
    return statuses, time.monotonic() - begin


def report(found: Guesses) -> str:
    """The section of the page."""
    looked, waited = found.volley[401], found.volley[429]
    return f"""### A first volley

{GUESSES} different passwords for one account, from one address, at the same moment; {WORKERS} workers of
{DEFAULT_THREADS} threads, `htpasswd`. Wanted: at most 10 are looked at.

| sent | looked at | told to wait | seconds | the right one, 40 times at once, from another address |
|---:|---:|---:|---:|---|
| {GUESSES} | {looked} | {waited} | {found.volley_seconds:.1f} | {found.right_ones[200]} granted |

### What strangers leave in memory

{STRANGERS} users who do not exist, at once, each from an address of its own. Megabytes that are resident in the larger
of {WORKERS} workers. Wanted: under 150.

| after one login | after {STRANGERS} strangers | {LEFT_ALONE_SECONDS:.0f} s later | seconds |
|---:|---:|---:|---:|
| {found.at_start:.0f} | {found.after:.0f} | {found.left_alone:.0f} | {found.strangers_seconds:.1f} |
"""
