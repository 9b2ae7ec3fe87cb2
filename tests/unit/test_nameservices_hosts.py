"""Host names of client rules: with a deadline, and for a while from memory."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from tests.support.processes import wait_until
from x2gobroker.nameservices import hosts as module
from x2gobroker.nameservices.hosts import HostNames

ONE = frozenset({ip_address("10.0.0.1")})
Found = list[tuple[Any, Any, Any, str, tuple[Any, ...]]]


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Set at the end at the latest, so that no slow lookup outlives its test."""
    event = threading.Event()
    yield event
    event.set()


def resolver(monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], list[str]]) -> list[str]:
    """Put `answer` in the system's place; the list of the names that were asked for."""
    asked: list[str] = []

    def getaddrinfo(name: str, *_more: object, **_named: object) -> Found:
        asked.append(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in answer(name)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_localhost_resolves_by_the_system() -> None:
    assert ip_address("127.0.0.1") in (HostNames().resolve("localhost") or ())


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a..b", "x" * 64, "x" * 300])
def test_a_name_that_does_not_resolve_has_no_answer_and_is_logged(name: str, said: pytest.LogCaptureFixture) -> None:
    names = HostNames()
    began = time.monotonic()
    assert names.resolve(name) is None
    assert "does not resolve" in said.text or "no answer" in said.text
    assert time.monotonic() - began < module.DEADLINE + 20


def test_all_addresses_of_a_name_are_given_in_the_form_that_rules_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver(monkeypatch, lambda _name: ["10.0.0.1", "2001:db8::7", "::ffff:10.0.0.2", "fe80::1%eth0"])
    wanted = ("10.0.0.1", "2001:db8::7", "10.0.0.2", "fe80::1")
    assert HostNames().resolve("h") == frozenset(map(ip_address, wanted))


def test_an_answer_is_kept_for_a_while_and_then_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolver(monkeypatch, lambda _name: ["10.0.0.1"])
    names = HostNames()
    for _ in range(5):
        names.resolve("h")
    assert asked == ["h"]
    later = time.monotonic() + module.KEEP_SECONDS + 1
    monkeypatch.setattr("time.monotonic", lambda: later)
    assert names.resolve("h") == ONE
    assert asked == ["h", "h"]


def test_a_failure_is_kept_for_a_shorter_while(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_name: str) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    asked = resolver(monkeypatch, fails)
    names = HostNames()
    assert [names.resolve("h") for _ in range(3)] == [None] * 3
    assert asked == ["h"]
    later = time.monotonic() + module.KEEP_FAILURE_SECONDS + 1
    monkeypatch.setattr("time.monotonic", lambda: later)
    names.resolve("h")
    assert asked == ["h", "h"]


def test_a_slow_resolver_costs_the_deadline_once_and_its_late_answer_counts(
    monkeypatch: pytest.MonkeyPatch, release: threading.Event, said: pytest.LogCaptureFixture
) -> None:
    def slow(_name: str) -> list[str]:
        release.wait(30)
        return ["10.0.0.1"]

    asked = resolver(monkeypatch, slow)
    monkeypatch.setattr(module, "DEADLINE", 3.0)
    names = HostNames()
    began = time.monotonic()
    assert names.resolve("h") is None
    assert 2.9 <= time.monotonic() - began < 20
    assert "no answer within" in said.text
    began = time.monotonic()
    assert names.resolve("h") is None
    assert time.monotonic() - began < 2.8
    assert asked == ["h"]
    release.set()
    wait_until(lambda: names.resolve("h") == ONE, "the late answer counting", 5)


def test_threads_that_ask_for_one_name_at_once_ask_the_system_once(
    monkeypatch: pytest.MonkeyPatch, release: threading.Event
) -> None:
    def slow(_name: str) -> list[str]:
        release.wait(5)
        return ["10.0.0.1"]

    asked = resolver(monkeypatch, slow)
    names = HostNames()
    answers: list[object] = []
    threads = [threading.Thread(target=lambda: answers.append(names.resolve("h"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    wait_until(lambda: asked == ["h"], "the first question", 5)
    release.set()
    for thread in threads:
        thread.join(10)
    assert answers == [ONE] * 6
    assert asked == ["h"]


def test_an_answer_that_comes_just_behind_the_first_look_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that was held up between its look at what is known and its question does not ask once more."""
    asked = resolver(monkeypatch, lambda _name: ["10.0.0.1"])
    names = HostNames()
    assert names.resolve("h") == ONE
    late = names._ask("h")
    assert late is not None
    assert late.is_set()
    assert asked == ["h"]


def test_slow_names_do_not_hold_up_a_quick_one(monkeypatch: pytest.MonkeyPatch, release: threading.Event) -> None:
    def some_slow(name: str) -> list[str]:
        if name.startswith("slow"):
            release.wait(30)
        return ["10.0.0.1"]

    resolver(monkeypatch, some_slow)
    monkeypatch.setattr(module, "DEADLINE", 0.3)
    names = HostNames()
    for number in range(6):
        assert names.resolve(f"slow{number}") is None
    assert names.resolve("quick") == ONE


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver(monkeypatch, lambda _name: ["10.0.0.1"])
    monkeypatch.setattr(module, "MOST_NAMES", 10)
    names = HostNames()
    for number in range(50):
        names.resolve(f"h{number}")
    assert len(names._known) <= 10
    assert names.resolve("h0") is not None
