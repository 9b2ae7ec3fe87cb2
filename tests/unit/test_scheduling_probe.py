"""Which servers answer: with real sockets on loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import pytest

from tests.support.silent import silent_port
from x2gobroker.model.hosts import Endpoint
from x2gobroker.scheduling import probe as module
from x2gobroker.scheduling.probe import PortProbe, try_all
from x2gobroker.ssh import dial

LOOPBACK = "127.0.0.1"


def at(host: str, port: int) -> Endpoint:
    """A server that is known by this name or address alone."""
    return Endpoint(host, host, port)


@contextlib.contextmanager
def listening() -> Iterator[int]:
    """A port that accepts connections."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield int(server.getsockname()[1])


@contextlib.contextmanager
def bound() -> Iterator[int]:
    """A port that is taken and refuses connections, as nobody listens."""
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        yield int(taken.getsockname()[1])


def test_a_listening_port_is_up_and_a_closed_one_is_down() -> None:
    with listening() as up, bound() as down:
        assert try_all([at(LOOPBACK, up), at(LOOPBACK, down)], 2) == {at(LOOPBACK, up)}


def test_names_are_resolved() -> None:
    with listening() as up:
        assert try_all([at("localhost", up)], 2) == {at("localhost", up)}


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a..b", "x" * 64, ""])
def test_f14_a_name_that_does_not_resolve_is_down(name: str) -> None:
    with bound() as down:
        assert try_all([at(name, down)], 2) == set()


@pytest.mark.parametrize("port", [65536, 99999, -1, 10**12])
def test_f14_a_port_that_does_not_exist_is_down(port: int) -> None:
    assert try_all([at(LOOPBACK, port)], 2) == set()


def test_f14_localhost_alone_and_down_is_down() -> None:
    with bound() as down:
        assert try_all([at("localhost", down)], 2) == set()


def test_refused_connections_do_not_cost_the_deadline() -> None:
    with bound() as down:
        began = time.monotonic()
        try_all([at(LOOPBACK, down)], 10)
        assert time.monotonic() - began < 5


def test_nothing_to_try_is_nothing_up() -> None:
    assert try_all([], 2) == set()


def test_servers_that_never_answer_cost_the_deadline_once_whatever_their_number() -> None:
    with contextlib.ExitStack() as stack:
        silent = [at(LOOPBACK, stack.enter_context(silent_port())) for _ in range(8)]
        began = time.monotonic()
        assert try_all(silent, 0.4) == set()
        assert 0.35 <= time.monotonic() - began < 3


def test_a_server_is_up_where_its_name_or_its_address_answers() -> None:
    with listening() as up, silent_port() as silent:
        inside = Endpoint(LOOPBACK, "127.0.0.2", up)
        outside = Endpoint("no-such-host.invalid", LOOPBACK, up)
        neither = Endpoint("127.0.0.2", "127.0.0.3", up)
        began = time.monotonic()
        assert try_all([inside, outside, neither], 10) == {inside, outside}
        assert try_all([Endpoint(LOOPBACK, "127.0.0.1", silent), inside], 0.3) == {inside}
        assert time.monotonic() - began < 8


def test_a_resolver_that_hangs_costs_the_deadline_once(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    real = socket.getaddrinfo

    def slow(host: str, *rest: Any, **more: Any) -> Any:
        if host.startswith("slow"):
            release.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with listening() as up:
        targets = [Endpoint(f"slow{number}", LOOPBACK, up) for number in range(100)]
        targets += [at(f"slow-too-{number}", up) for number in range(100)]
        began = time.monotonic()
        assert try_all(targets, 1.5) == set(targets[:100])
        assert time.monotonic() - began < 6
    release.set()


def test_names_resolve_again_after_a_moment_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as there are resolvers at most: each failure gives back its place."""

    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    dial._forget_resolvers()
    with listening() as up:
        with monkeypatch.context() as full:
            full.setattr(threading.Thread, "start", start)
            began = time.monotonic()
            for _ in range(dial.MOST_RESOLVERS + 1):
                assert try_all([at("localhost", up)], 5) == set()
            assert time.monotonic() - began < 5, "nobody waits for it"
            assert try_all([at("localhost", up), at(LOOPBACK, up)], 5) == {at(LOOPBACK, up)}
        assert try_all([at("localhost", up)], 5) == {at("localhost", up)}


def test_what_cannot_be_tried_for_lack_of_a_thread_is_not_down(
    monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    probe, untried = PortProbe(), set[Endpoint]()
    with listening() as up, bound() as down:
        named, address, closed = at("localhost", up), at(LOOPBACK, up), at(LOOPBACK, down)
        half = Endpoint("no-such-host.invalid", LOOPBACK, down)
        with monkeypatch.context() as full:
            full.setattr(threading.Thread, "start", start)
            assert try_all([named, address, closed, half], 5, (), untried) == {address}
            assert untried == {named, half}
            assert probe.reachable([named, address, closed]) == {named, address}
            assert probe.reachable([named, address], hopeless=[named]) == {address}, "others found it down"
            assert probe.known_down([named, address, closed]) == {closed}
        assert "localhost" not in said.text
    assert probe.reachable([named]) == set(), "it is tried as soon as that can be done"


def test_a_server_that_was_hardly_waited_for_is_tried_in_full_where_it_is_not_hopeless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[set[Endpoint]] = []

    def slowly(
        targets: Iterable[Endpoint], _deadline: float, hopeless: Collection[Endpoint] = (), *_more: object
    ) -> set[Endpoint]:
        tried.append(set(targets))
        return set(targets) - set(hopeless)

    monkeypatch.setattr(module, "try_all", slowly)
    monkeypatch.setattr(module, "KEEP_UP_SECONDS", 600.0)
    monkeypatch.setattr(module, "KEEP_SECONDS", 600.0)
    probe, fast, slow = PortProbe(), at("h", 1), at("h", 2)
    for _ in range(2):
        assert probe.reachable([fast, slow], hopeless=[slow]) == {fast}
    assert probe.known_down([fast, slow]) == {slow}
    assert probe.reachable([slow]) == {slow}
    assert probe.reachable([fast, slow]) == {fast, slow}
    assert tried == [{fast, slow}, {slow}]


def test_answers_are_kept_for_some_seconds_and_then_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    known = PortProbe()
    with listening() as port:
        assert known.reachable([at(LOOPBACK, port)]) == {at(LOOPBACK, port)}
    assert known.reachable([at(LOOPBACK, port)]) == {at(LOOPBACK, port)}
    later = time.monotonic() + module.KEEP_SECONDS + 1
    real = time.monotonic
    monkeypatch.setattr("time.monotonic", lambda: max(later, real()))
    monkeypatch.setattr(module, "DEADLINE", 0.5)
    assert known.reachable([at(LOOPBACK, port)]) == set()


def test_a_server_that_does_not_answer_is_logged(said: pytest.LogCaptureFixture) -> None:
    with bound() as down:
        PortProbe().reachable([at(LOOPBACK, down)])
    assert f"X2Go Server {LOOPBACK}: port {down} does not answer" in said.text


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TARGETS", 10)
    monkeypatch.setattr(module, "try_all", lambda targets, *_more: set(targets))
    known = PortProbe()
    for number in range(1, 60):
        assert known.reachable([at("h", number)]) == {at("h", number)}
    assert len(known._known) <= 10


def test_hopeless_targets_are_tried_but_not_waited_for() -> None:
    with listening() as up, listening() as back, silent_port() as silent:
        hopeless = {at(LOOPBACK, silent), at(LOOPBACK, back)}
        begun = time.monotonic()
        assert try_all([at(LOOPBACK, up), *hopeless], 20, hopeless) == {at(LOOPBACK, up), at(LOOPBACK, back)}
        assert time.monotonic() - begun < 15


def test_what_cannot_be_reached_at_all_is_not_up() -> None:
    """No TCP connection leads to the broadcast address: the attempt fails at once, and not later."""
    with listening() as up:
        assert try_all([at(LOOPBACK, up), at("255.255.255.255", 22)], 2) == {at(LOOPBACK, up)}


def test_where_all_are_hopeless_they_are_waited_for() -> None:
    with listening() as up:
        begun = time.monotonic()
        assert try_all([at(LOOPBACK, up)], 20, {at(LOOPBACK, up)}) == {at(LOOPBACK, up)}
        assert time.monotonic() - begun < 15


def test_known_down_is_what_did_not_answer_and_tries_nothing() -> None:
    probe = PortProbe()
    with listening() as up, bound() as down:
        targets = [at(LOOPBACK, up), at(LOOPBACK, down)]
        assert probe.known_down(targets) == set()
        probe.reachable(targets)
        assert probe.known_down(targets) == {at(LOOPBACK, down)}


def test_a_port_that_answered_is_tried_again_when_others_found_it_down() -> None:
    probe = PortProbe()
    with listening() as port:
        assert probe.reachable([at(LOOPBACK, port)]) == {at(LOOPBACK, port)}
    assert probe.reachable([at(LOOPBACK, port)]) == {at(LOOPBACK, port)}
    assert probe.reachable([at(LOOPBACK, port)], hopeless=[at(LOOPBACK, port)]) == set()


def test_before_there_is_no_server_at_all_they_are_tried_again() -> None:
    probe = PortProbe()
    with bound() as port:
        assert probe.reachable([at(LOOPBACK, port)]) == set()
    with socket.create_server((LOOPBACK, port)):
        assert probe.reachable([at(LOOPBACK, port)]) == {at(LOOPBACK, port)}
