"""Getting to a server by its name or its address: whichever leads there, and fast from the second time on."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.silent import silent_port
from x2gobroker.model.hosts import Endpoint, parse_host
from x2gobroker.ssh.deadline import Deadline
from x2gobroker.ssh.failures import NobodyAnswers, SshTimeout, Unreachable
from x2gobroker.ssh.reach import STAGGER_SECONDS, WaysThatWork, reach
from x2gobroker.ssh.routes import Login, Route, Trust

HERE, THERE, NOWHERE = "127.0.0.1", "127.0.0.2", "127.0.0.3"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> WaysThatWork:
    """What other tests found out."""
    ways = WaysThatWork()
    monkeypatch.setattr("x2gobroker.ssh.reach.WAYS", ways)
    return ways


@contextlib.contextmanager
def listening(address: str, port: int = 0) -> Iterator[int]:
    """A port that accepts connections."""
    with socket.create_server((address, port)) as server:
        yield int(server.getsockname()[1])


def reached(name: str, address: str, port: int, seconds: float = 5.0, tcp_seconds: float = 2.0) -> str:
    """The address that a connection to this server leads to."""
    route = Route(Endpoint(name, address, port), Login("x2gobroker"), Trust((Path("/nonexistent"),)))
    with reach(route, Deadline(seconds, "trying"), tcp_seconds) as connection:
        return str(connection.getpeername()[0])


def test_the_name_comes_before_the_address() -> None:
    with listening(HERE) as port, listening(THERE, port):
        assert reached(HERE, THERE, port) == HERE
        assert reached(THERE, HERE, port) == THERE


@pytest.mark.parametrize("name", [NOWHERE, "no-such-host.invalid", "büro.invalid"])
def test_a_name_that_leads_nowhere_costs_no_time_before_the_address(name: str) -> None:
    with listening(HERE) as port:
        assert reached(name, HERE, port) == HERE


def test_a_server_that_only_its_name_leads_to_is_reached() -> None:
    with listening(HERE) as port:
        assert reached(HERE, NOWHERE, port) == HERE


def test_a_name_that_nobody_answers_at_costs_a_moment_and_from_then_on_nothing(nothing_known: WaysThatWork) -> None:
    with silent_port() as port, listening(THERE, port):
        began = time.monotonic()
        assert reached(HERE, THERE, port) == THERE
        assert STAGGER_SECONDS * 0.9 <= time.monotonic() - began < 10
        assert reached(HERE, THERE, port) == THERE
        assert nothing_known.order(Endpoint(HERE, THERE, port)) == (THERE, HERE)
        assert nothing_known.order(Endpoint(HERE, THERE, port), "proxy:22") == (HERE, THERE)


def test_what_is_remembered_is_forgotten_after_a_while(
    nothing_known: WaysThatWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = Endpoint("a", "b")
    nothing_known.note(endpoint, "b")
    assert nothing_known.order(endpoint) == ("b", "a")
    later = time.monotonic() + 700
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert nothing_known.order(endpoint) == ("a", "b")


def test_where_neither_leads_there_the_error_says_why() -> None:
    with listening(HERE) as port:
        with pytest.raises(Unreachable, match="Connection refused") as caught:
            reached(THERE, NOWHERE, port)
        assert caught.value.number > 0
        with pytest.raises(Unreachable, match="cannot be resolved"):
            reached("no-such-host.invalid", "nor-this-one.invalid", port)


def test_where_nobody_answers_the_time_is_not_spent_twice() -> None:
    with silent_port() as port:
        began = time.monotonic()
        with pytest.raises(NobodyAnswers, match=r"nobody answers within 0\.6 s"):
            reached(HERE, HERE, port, 30.0, 0.6)
        with pytest.raises(SshTimeout, match=r"nobody answers within 0\.6 s"):
            reached("no-such-host.invalid", HERE, port, 0.6, 60.0)
        assert time.monotonic() - began < 20


def test_a_resolver_that_hangs_does_not_hold_up_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    real = socket.getaddrinfo

    def slow(host: str, *rest: Any, **more: Any) -> Any:
        if host == "slow.example":
            release.wait(20)
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with listening(HERE) as port:
        began = time.monotonic()
        assert reached("slow.example", HERE, port) == HERE
        assert time.monotonic() - began < 15
        with pytest.raises(SshTimeout, match="not resolved within"):
            reached("slow.example", "slow.example", port, 0.5)
    release.set()


@pytest.mark.parametrize(
    ("text", "ways"),
    [
        ("ts1.internal (ts1.external)", ("ts1.internal", "ts1.external")),
        ("ts1 (192.0.2.7:2222)", ("ts1", "192.0.2.7")),
        ("ts1", ("ts1",)),
        ("ts1 (TS1)", ("TS1",)),
        ("ts1:2222", ("ts1",)),
        ("localhost (127.0.0.1)", ("127.0.0.1",)),
        ("büro (2001:db8::7)", ("büro", "2001:db8::7")),
    ],
)
def test_the_ways_to_a_host_of_a_profile(text: str, ways: tuple[str, ...]) -> None:
    assert parse_host(text).endpoint(22).ways == ways
