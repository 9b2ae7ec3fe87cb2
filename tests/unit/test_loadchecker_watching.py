"""Watches: what agents say arrives, and their end is noticed, however they end; agents are functions of the test."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.support.processes import wait_until
from tests.unit.fake_watch import ALIVE, KEY, REPORT, RULES, TS01, Agent, Stream
from x2gobroker.agents.base import NONSENSE, REFUSED, TIMEOUT, UNREACHABLE, AgentStream
from x2gobroker.errors import AgentError
from x2gobroker.loadchecker import watching as module
from x2gobroker.loadchecker.targets import Target
from x2gobroker.loadchecker.watching import Lost, Stirred, Watching
from x2gobroker.model.hosts import Endpoint


class Site:
    """The watches of one load checker, and what they tell it."""

    def __init__(self) -> None:
        self.agent = Agent()
        self.told: queue.SimpleQueue[Stirred | Lost] = queue.SimpleQueue()
        self.watching = Watching(lambda _mode: self.agent, lambda: [TS01.endpoint], self.told.put)

    def begin(self) -> Stream:
        count = len(self.agent.streams)
        assert self.watching.begin(TS01)
        wait_until(lambda: len(self.agent.streams) > count, "the watch", 60)
        return self.agent.streams[-1]

    def lost(self) -> Lost:
        found = self.told.get(timeout=60)
        while not isinstance(found, Lost):
            found = self.told.get(timeout=60)
        return found


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.watching.end_all_but({})


def test_what_is_said_arrives_as_a_picture(site: Site) -> None:
    stream = site.begin()
    assert not site.watching.begin(TS01), "it is watched already"
    stream.says.put(REPORT)
    told = site.told.get(timeout=60)
    assert (told.key, told.picture) == (KEY, site.watching.picture(KEY))
    assert isinstance(told, Stirred)
    assert told.picture.load[0] is not None
    assert site.agent.asked == [("nobody", "watch", "8")]
    assert stream.seconds > 8, "a sign of life may come late"


def test_of_much_news_it_is_said_once_that_there_are_some(site: Site) -> None:
    stream = site.begin()
    stream.says.put(REPORT)
    told = site.told.get(timeout=60)
    for _ in range(100):
        stream.says.put(ALIVE)
    stream.says.put(b"")
    assert site.lost().picture is told.picture
    assert site.told.empty()


@pytest.mark.parametrize(
    ("said", "reason", "why"),
    [
        (b"", TIMEOUT, "it fell asleep"),
        (AgentError("nothing was heard for 20 s", TIMEOUT), TIMEOUT, "nothing was heard"),
        (AgentError("the connection ended", UNREACHABLE), UNREACHABLE, "the connection ended"),
        (b"OK\n\xff\n", NONSENSE, "no UTF-8"),
        (b"OK\nhello\n", NONSENSE, "before its first report"),
        (b"x" * 20000, NONSENSE, "too long"),
        (RuntimeError("a bug"), NONSENSE, "a bug"),
    ],
)
def test_however_a_watch_ends_it_is_told_and_closed(site: Site, said: bytes | Exception, reason: str, why: str) -> None:
    stream = site.begin()
    stream.says.put(said)
    lost = site.lost()
    assert (lost.key, lost.reason) == (KEY, reason)
    assert why in lost.why
    assert stream.closed.wait(60)
    assert site.watching.lost(lost)
    assert site.watching.picture(KEY) is None
    assert not site.watching.lost(lost), "it is told once"


@pytest.mark.parametrize("error", [AgentError("no", REFUSED), RuntimeError("a bug")])
def test_one_that_cannot_be_begun_is_told_as_well(site: Site, error: Exception) -> None:
    site.agent.fails = error
    assert site.watching.begin(TS01)
    assert site.lost().reason in (REFUSED, NONSENSE)


def test_where_the_system_allows_no_more_threads_the_others_go_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", full)
    assert site.watching.begin(TS01)
    lost = site.lost()
    assert (lost.reason, lost.why) == (TIMEOUT, "can't start new thread")
    assert site.watching.lost(lost)


def test_it_is_not_begun_again_at_once_and_ever_later(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("x2gobroker.loadchecker.watching.time.monotonic", lambda: now)
    site.agent.fails = AgentError("no", REFUSED)
    pauses = []
    for _ in range(9):
        assert site.watching.begin(TS01)
        assert site.watching.lost(site.lost())
        assert not site.watching.begin(TS01)
        begun = now
        while not site.watching.begin(TS01):
            now += 0.5
        site.lost()
        site.watching.end(KEY)
        pauses.append(now - begun)
    assert pauses[0] <= 2.5
    assert all(30 < pause <= 120.5 for pause in pauses[-2:])


def test_after_a_watch_that_lasted_it_is_begun_again_soon(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("x2gobroker.loadchecker.watching.time.monotonic", lambda: now)
    for _ in range(8):
        stream = site.begin()
        now += 61.0
        stream.says.put(b"")
        assert site.watching.lost(site.lost())
        now += 2.1


def test_a_watch_that_was_ended_tells_nothing_more(site: Site) -> None:
    stream = site.begin()
    site.watching.end(KEY)
    assert stream.closed.wait(60)
    assert site.told.empty()
    site.begin()
    site.watching.forget(KEY)
    assert site.watching.picture(KEY) is None


def test_a_server_that_is_reached_in_another_way_is_watched_anew(site: Site) -> None:
    first = site.begin()
    other = Target(TS01.endpoint, replace(RULES, user="other"))
    site.watching.end_all_but({KEY: other})
    assert first.closed.wait(60)
    assert site.watching.begin(other)


def test_a_server_that_floods_is_left(site: Site) -> None:
    stream = site.begin()
    stream.says.put(REPORT)
    feeding = threading.Event()

    def feed() -> None:
        while not feeding.is_set() and not stream.closed.is_set():
            if stream.says.qsize() < 20:
                stream.says.put(ALIVE * 1000)

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    try:
        assert "too much" in site.lost().why
    finally:
        feeding.set()
        thread.join(10)


def test_so_many_are_begun_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 3)
    site, at_once, most, go = Site(), 0, 0, threading.Event()
    lock = threading.Lock()

    def slow(_self: Agent, *_words: object) -> AgentStream:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        go.wait(0.05)
        with lock:
            at_once -= 1
        return Stream()

    monkeypatch.setattr(Agent, "_listen", slow)
    targets = [Target(Endpoint(f"ts{number}", f"10.0.0.{number}"), RULES) for number in range(12)]
    begun: list[Callable[[], None]] = []
    for target in targets:
        assert site.watching.begin(target)
        begun.append(lambda target=target: site.watching.end(target.endpoint.key))  # type: ignore[misc]
    wait_until(lambda: at_once == 0 and most > 0, "all begun", 60)
    assert most <= 3
    for end in begun:
        end()
