"""Send requests: one at a time, many at once with wrk, and chains of authids that each come from the answer before."""

from __future__ import annotations

import re
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from bench.data import CHOSEN, CHOSEN_SERVER, USER, VISIBLE
from bench.world import PLAIN, Server

CONNECTIONS = 4
TASKS = ("testcon", "listsessions", "selectsession")
_SCRIPT = Path(__file__).with_name("post.lua")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_AUTHID = re.compile(r"^AUTHID:(\S+)$", re.MULTILINE)


class WrongAnswerError(Exception):
    """A broker did not answer what it is measured for; its figures would mean nothing."""


@dataclass(frozen=True)
class Answer:
    """One answer: its status, its body, and what it took on the wire."""

    status: int
    body: str
    size: int

    @property
    def authid(self) -> str:
        """The authid in the answer, for the next request."""
        found = _AUTHID.search(self.body)
        if found is None:
            raise WrongAnswerError(f"no authid in {self.body[:200]!r}")
        return found.group(1)


@dataclass(frozen=True)
class Figures:
    """What one measurement gave: requests per second; milliseconds that half and 99 % of them took at most."""

    rate: float
    p50: float
    p99: float
    requests: int
    processor: float = 0.0  # microseconds that the server's processes computed for one request
    worst: float = 0.0  # milliseconds


def form(task: str, **fields: str) -> str:
    """The form of a request, as X2Go Client sends it."""
    more = {"sid": CHOSEN} if task == "selectsession" else {}
    return urlencode({"task": task, "user": USER, **more, **fields})


class Connection:
    """One kept-alive connection, as thin as possible so that the client side costs little."""

    def __init__(self, port: int, timeout: float = 20.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, path: str, body: str) -> Answer:
        """Send one form and read its answer."""
        data = body.encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + data)
        return self._read()

    def _read(self) -> Answer:
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        found = _LENGTH.search(received[:end])
        if found is None:
            raise WrongAnswerError(f"no length in {received[:end]!r}")
        size = end + 4 + int(found.group(1))
        while len(received) < size:
            received += self._more()
        return Answer(int(received[9:12]), received[end + 4 : size].decode(), size)

    def _more(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise WrongAnswerError("connection closed without an answer")
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()


def ask(port: int, path: str, body: str, timeout: float = 20.0) -> Answer:
    """One request on a connection of its own."""
    with Connection(port, timeout) as connection:
        return connection.post(path, body)


def check(task: str, answer: Answer) -> Answer:
    """Refuse an answer that is not the right one for USER; hand on one that is."""
    body = answer.body
    right = (
        answer.status == 200
        and {
            "testcon": body.startswith("OK"),
            "listsessions": body.count("\n[visible-") == VISIBLE and body.count("\n[") == VISIBLE,
            "selectsession": CHOSEN_SERVER in body.splitlines(),
        }[task]
    )
    if not right:
        found = [line for line in body.splitlines() if line.startswith(("[", "SERVER", "Access"))]
        raise WrongAnswerError(f"{task}: status {answer.status}, {found} in {body[:200]!r}")
    return answer


def wrk(server: Server, body: str, seconds: float, expected: Answer, path: str = PLAIN) -> Figures:
    """Load with CONNECTIONS kept-alive connections; every answer must be as long as `expected`."""
    argv = ["wrk", "--threads=1", f"--connections={CONNECTIONS}", f"--duration={max(1, round(seconds))}s"]
    argv += ["--timeout=60s", f"--script={_SCRIPT}", f"http://127.0.0.1:{server.port}{path}", "--", body]
    before = server.processor_seconds()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60, check=False)
    computed = server.processor_seconds() - before
    found = re.search(r"^FIGURES (.+)$", done.stdout, re.MULTILINE)
    if done.returncode or found is None:
        raise RuntimeError(f"wrk ended with {done.returncode}: {done.stdout}{done.stderr}")
    requests, microseconds, size, refused, failed, p50, p99, worst = (float(word) for word in found.group(1).split())
    if refused or failed or not requests:
        raise WrongAnswerError(f"{requests:g} answers, {refused:g} refused, {failed:g} failed: {body}")
    # an answer under way when time was up is counted in bytes only
    if not 0.995 * requests * expected.size <= size <= 1.005 * (requests + CONNECTIONS) * expected.size:
        raise WrongAnswerError(f"{size / requests:.0f} bytes an answer instead of {expected.size}: {body}")
    return Figures(
        requests / microseconds * 1e6, p50 / 1000, p99 / 1000, int(requests), computed / requests * 1e6, worst / 1000
    )


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed."""
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


def figures_of(times: list[float], wall: float) -> Figures:
    times.sort()
    return Figures(len(times) / wall, statistics.median(times) * 1000, percentile(times, 0.99) * 1000, len(times))


def timed(send: Callable[[], None], seconds: float) -> Figures:
    """Send one request after the other for some seconds."""
    times = []
    start = time.monotonic()
    while (begin := time.monotonic()) - start < seconds:
        send()
        times.append(time.monotonic() - begin)
    return figures_of(times, time.monotonic() - start)


def chains(port: int, path: str, seconds: float, links: int = CONNECTIONS) -> Figures:
    """Listings in `links` chains at once: log in with a password, then each time with the authid of the last answer."""
    times: list[float] = []
    broken: list[Exception] = []

    def chain() -> None:
        try:
            with Connection(port) as connection:
                authid = check("listsessions", connection.post(path, form("listsessions", password="x"))).authid
                while (begin := time.monotonic()) - start < seconds:
                    answer = connection.post(path, form("listsessions", authid=authid))
                    times.append(time.monotonic() - begin)
                    authid = check("listsessions", answer).authid
        except (OSError, WrongAnswerError) as error:
            broken.append(error)

    start = time.monotonic()
    threads = [threading.Thread(target=chain) for _ in range(links)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if broken:
        raise WrongAnswerError(f"a chain of authids broke: {broken[0]}") from broken[0]
    return figures_of(times, time.monotonic() - start)
