"""A thousand users who log in within a minute, and how evenly they are spread over twenty servers."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlencode

from bench.data import config_text
from bench.load import WrongAnswerError, ask, percentile
from bench.plan import Plan, progress
from bench.report import number, table
from bench.world import PLAIN, WORKERS, Ours, Reference, Server, Setup

SERVERS = 20
LOGINS = 1000
SECONDS = 60.0
AT_ONCE = 8
PROFILE = "farm"
WANTED = 1.2
ABOUT = (
    f"{LOGINS:,} users, each of whom logs in once by `selectsession`, {AT_ONCE} at a time, over {SERVERS} servers of "
    f"one profile; {WORKERS} worker processes. Query mode NONE: no agent tells how many sessions there are, and none "
    "of them begins, so that only what was handed out counts. The reference makes a random choice there, so its "
    "figure differs from run to run, and does not depend on the pace."
)


@dataclass(frozen=True)
class Spread:
    """How many users each server got, and how long a login took (seconds, sorted)."""

    users: tuple[int, ...]
    times: tuple[float, ...]
    seconds: float  # for all

    @property
    def ratio(self) -> float:
        """The fullest server to the emptiest."""
        return max(self.users) / min(self.users) if min(self.users) else float("inf")


@dataclass(frozen=True)
class Balance:
    """Ours, and the reference's."""

    ours: Spread
    reference: Spread | None


def measure(plan: Plan) -> Balance:
    """Ours within a minute (in a quick run as fast as it goes), the reference as fast as it goes."""
    hosts = ", ".join(f"ts{index + 1:02}.example.org" for index in range(SERVERS))
    profiles = f"[{PROFILE}]\nname = {PROFILE}\nhost = {hosts}\n"
    setup = Setup(plan.accounts[min(plan.groups)], profiles, config_text(static=True))
    seconds = 0.0 if plan.quick else SECONDS
    progress(f"balance: {LOGINS} logins in {seconds:g} s" if seconds else f"balance: {LOGINS} logins")
    with Ours(setup) as server:
        ours = _logins(server, seconds)
    reference = None
    if "reference" in plan.parts:
        progress(f"balance: reference, {LOGINS} logins")
        with Reference(setup) as server:
            reference = _logins(server, 0.0)
    return Balance(ours, reference)


def _logins(server: Server, seconds: float) -> Spread:
    """All logins, each of another user, evenly over so many seconds."""
    times: list[float] = []
    begin = time.monotonic()
    halt = threading.Event()

    def one(index: int) -> str:
        halt.wait(max(0.0, begin + index * seconds / LOGINS - time.monotonic()))
        return Plan.clock(lambda: _log_in(server, f"user{index:04}"), times)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        try:
            chosen = Counter(threads.map(one, range(LOGINS)))
        finally:
            halt.set()
    users = [chosen[f"ts{index + 1:02}.example.org"] for index in range(SERVERS)]
    if sum(users) != LOGINS:
        raise WrongAnswerError(f"{server.name}: {LOGINS - sum(users)} users were sent elsewhere: {chosen}")
    return Spread(tuple(sorted(users)), tuple(sorted(times)), time.monotonic() - begin)


def _log_in(server: Server, user: str) -> str:
    """The server that this user is sent to."""
    body = urlencode({"task": "selectsession", "user": user, "password": "x", "sid": PROFILE})
    answer = ask(server.port, PLAIN, body)
    found = [line.split(":")[1] for line in answer.body.splitlines() if line.startswith("SERVER:")]
    if answer.status != 200 or len(found) != 1:
        raise WrongAnswerError(f"{server.name}: status {answer.status}: {answer.body[:200]!r}")
    return found[0]


def report(result: Balance) -> str:
    """The table."""
    rows = [_row("ours", result.ours)]
    if result.reference is not None:
        rows.append(_row("reference", result.reference))
    return "\n\n".join(
        [
            "### Users by server",
            ABOUT,
            table(
                ("", "seconds", "emptiest", "fullest", "fullest : emptiest", "wanted", "login, p50 / p99 ms"),
                rows,
            ),
        ]
    )


def _row(what: str, one: Spread) -> Sequence[str]:
    return (
        what,
        number(one.seconds),
        str(one.users[0]),
        str(one.users[-1]),
        f"{one.ratio:.2f}",
        f"≤ {WANTED}" if what == "ours" else "",
        f"{number(percentile(one.times, 0.5) * 1000)} / {number(percentile(one.times, 0.99) * 1000)}",
    )
