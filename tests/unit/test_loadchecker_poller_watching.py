"""The poller has servers watched: from their first report on, and asks them again when nobody hears them any more."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.support.processes import wait_until
from tests.unit.fake_watch import ALIVE, KEY, REPORT, TS01, Agent, Stream
from tests.unit.inventory_values import name_of, seen
from x2gobroker.agents.base import NONSENSE, UNREACHABLE
from x2gobroker.errors import AgentError, StoreError
from x2gobroker.inventory.happenings import Said
from x2gobroker.inventory.reads import Reads
from x2gobroker.inventory.record import Inventory, News
from x2gobroker.loadchecker.poller import Poller
from x2gobroker.loadchecker.targets import Target, Watched
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import CHECKLOAD, WATCH
from x2gobroker.model.load import LoadReport
from x2gobroker.model.server_report import ServerReport
from x2gobroker.store import Store
from x2gobroker.store.loads import Loads, ServerLoad

LOAD = LoadReport(100, 16000, 4, 2500, 0)
SESSION = b"session:%s|anna|50|R|1800000000|192.0.2.9|30001|30002|30003\n"


class Site:
    """A poller in a thread, and one server."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(URL.create("sqlite", database=str(folder / "state" / "store.sqlite")))
        self.inventory = Inventory(self.store)
        self.agent = Agent()
        self.answer: LoadReport | ServerReport | AgentError = ServerReport(LOAD, (), 0, "ts01")
        self.asked = 0
        self.is_up = True
        self.mine = True
        self.broken = False
        self.watched = Watched({KEY: TS01}, {}, (), (), 300.0, True)
        self.poller = Poller(
            lambda: self.watched, self.ask, lambda: Loads(self.store), self.note, lambda _mode: self.agent, self.share
        )
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.poller.run, args=(self.stop,), daemon=True)

    def ask(self, _target: Target) -> LoadReport | ServerReport:
        self.asked += 1
        if isinstance(self.answer, AgentError):
            raise self.answer
        return self.answer

    def note(self, news: list[News]) -> frozenset[str]:
        if self.broken:
            raise StoreError("it is full")
        return self.inventory.take(news)

    def share(self, keys: Iterable[str]) -> frozenset[str]:
        return frozenset(keys) if self.mine else frozenset()

    def ports(self, targets: Iterable[Endpoint], _deadline: float, *_more: object) -> set[Endpoint]:
        return set(targets) if self.is_up else set()

    def start(self) -> Stream:
        """Start, and wait for the watch."""
        self.thread.start()
        return self.stream(1)

    def stream(self, count: int) -> Stream:
        """The watch of this number."""
        wait_until(lambda: len(self.agent.streams) == count, f"watch {count}", 30)
        return self.agent.streams[-1]

    def how(self) -> str:
        server = Reads(self.store).servers().get(KEY)
        return server.how if server is not None else ""

    def states(self) -> dict[str, str]:
        return {one.session.user: one.session.state for one in Reads(self.store).everywhere()}

    def load_state(self) -> str:
        return "".join(load.state for load in Loads(self.store).all())


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site that is not started yet."""
    monkeypatch.setattr("x2gobroker.loadchecker.poller.TICK_SECONDS", 0.1)
    monkeypatch.setattr("x2gobroker.loadchecker.watching.FIRST_PAUSE", 0.2)
    monkeypatch.setattr("x2gobroker.loadchecker.watching.LONGEST_PAUSE", 1.0)
    made = Site(tmp_path)
    monkeypatch.setattr("x2gobroker.loadchecker.poller.try_all", made.ports)
    monkeypatch.setattr("x2gobroker.loadchecker.question.try_all", made.ports)
    yield made
    made.stop.set()
    made.poller.wake()
    if made.thread.ident is not None:
        made.thread.join(30)
    for stream in made.agent.streams:
        stream.stop()
    made.store.close()


def test_a_server_that_reports_is_watched_and_what_it_says_is_known(site: Site) -> None:
    stream = site.start()
    stream.says.put(REPORT)
    wait_until(lambda: site.how() == WATCH, "the watch heard", 60)
    stream.says.put(SESSION % name_of("anna").encode())
    wait_until(lambda: site.states() == {"anna": "R"}, "the session known", 60)
    stream.says.put(b"gone:%s\n" % name_of("anna").encode())
    wait_until(lambda: site.states() == {}, "its end known", 60)
    assert site.asked == 1


def test_what_a_watch_says_right_after_a_client_counts_a_moment_later(site: Site) -> None:
    """Its line may be older than it looks, and the client right. No sign of life comes in between."""
    stream = site.start()
    stream.says.put(REPORT)
    wait_until(lambda: site.how() == WATCH, "the watch heard", 60)
    site.inventory.take([(TS01.endpoint, Said(time.time(), "anna", name_of("anna"), "S"))])
    stream.says.put(SESSION % name_of("anna").encode())
    wait_until(lambda: site.states() == {"anna": "R"}, "the watch's word counting", 30)


def test_one_that_was_down_when_it_was_asked_is_watched_as_soon_as_it_is_taken_over(site: Site) -> None:
    """The load checker that had it has asked it since, and watched it: there was no need to ask it here."""
    site.mine = False
    site.answer = AgentError("nobody answers", UNREACHABLE)
    site.thread.start()
    wait_until(lambda: site.load_state() == UNREACHABLE, "the server found down", 60)
    site.answer = ServerReport(LOAD, (), 0, "ts01")
    now = time.time()
    Loads(site.store).put([ServerLoad(KEY, "ts01", "ok", LOAD, now, now, 0.1)])
    site.mine = True
    site.stream(1)
    assert site.asked == 2


def test_one_that_tells_its_load_only_is_not_watched(site: Site) -> None:
    site.answer = LOAD
    site.thread.start()
    wait_until(lambda: site.asked == 1 and KEY in Reads(site.store).servers(), "an answer", 60)
    site.poller.ask_all_now()
    wait_until(lambda: site.asked == 2, "another one", 60)
    assert (site.how(), site.agent.asked) == (CHECKLOAD, [])


def test_one_that_is_for_another_load_checker_is_left_to_that_one_until_it_is_not(site: Site) -> None:
    site.mine = False
    site.thread.start()
    wait_until(lambda: site.asked == 1 and KEY in Reads(site.store).servers(), "an answer", 60)
    assert site.agent.asked == []
    site.mine = True
    stream = site.stream(1)
    site.mine = False
    assert stream.closed.wait(60), "another one watches it now"


def test_a_watch_that_is_lost_is_said_once_and_the_server_asked_at_once(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.start().says.put(REPORT)
    wait_until(lambda: site.how() == WATCH, "the watch heard", 60)
    site.answer = AgentError("nobody answers", UNREACHABLE)
    site.agent.streams[0].says.put(AgentError("the connection ended", UNREACHABLE))
    wait_until(lambda: site.load_state() == UNREACHABLE, "the server asked", 60)
    wait_until(lambda: Reads(site.store).servers()[KEY].is_silent, "its silence noted", 60)
    site.answer = ServerReport(LOAD, (seen("bert"),), 0, "ts01")
    site.poller.ask_all_now()
    stream = site.stream(2)
    wait_until(lambda: site.states() == {"bert": "R"}, "the report known", 60)
    stream.says.put(REPORT)
    wait_until(lambda: site.states() == {}, "the watch's word counting", 60)
    assert caplog.text.count("its watch ended: unreachable: the connection ended") == 1
    assert caplog.text.count("is watched again") == 1


def test_a_server_that_takes_no_connections_is_down_whatever_its_watch_says(site: Site) -> None:
    stream = site.start()
    stream.says.put(REPORT)
    wait_until(lambda: site.how() == WATCH, "the watch heard", 60)
    site.is_up = False
    site.poller._schedule.now(KEY, 0.0)
    site.poller.wake()
    wait_until(lambda: site.load_state() == UNREACHABLE, "the port found closed", 60)
    stream.says.put(ALIVE)
    stream.says.put(SESSION % name_of("anna").encode())
    wait_until(lambda: site.states() == {"anna": "R"}, "the session known", 60)
    assert site.load_state() == UNREACHABLE
    site.is_up = True
    site.poller._schedule.now(KEY, 0.0)
    site.poller.wake()
    wait_until(lambda: site.load_state() == "ok", "the port found open", 60)
    assert site.asked == 1, "only its port was tried"


@pytest.mark.parametrize("by_signal", [False, True])
def test_a_sign_of_life_during_the_try_of_a_port_does_not_hide_that_it_failed(
    site: Site, monkeypatch: pytest.MonkeyPatch, by_signal: bool
) -> None:
    """By a signal the server is asked, too: it answers, but takes no connections."""
    stream = site.start()
    stream.says.put(REPORT)
    wait_until(lambda: site.how() == WATCH, "the watch heard", 60)
    begun, over = threading.Event(), threading.Event()

    def ports(_targets: Iterable[Endpoint], _deadline: float, *_more: object) -> set[Endpoint]:
        begun.set()
        over.wait(60)
        return set()

    monkeypatch.setattr("x2gobroker.loadchecker.question.try_all", ports)
    if by_signal:
        site.poller.ask_all_now()
    else:
        site.poller._schedule.now(KEY, 0.0)
        site.poller.wake()
    assert begun.wait(60)
    before = Loads(site.store).all()[0].asked
    stream.says.put(ALIVE)
    wait_until(lambda: Loads(site.store).all()[0].asked > before, "the sign of life written", 25)
    over.set()
    wait_until(lambda: site.load_state() == UNREACHABLE, "the failure noted", 25)
    assert site.poller._sayings.state(KEY) == UNREACHABLE


def test_a_port_that_cannot_be_tried_for_lack_of_descriptors_is_tried_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = site.start()
    stream.says.put(REPORT)
    wait_until(lambda: site.how() == WATCH, "the watch heard", 60)
    with monkeypatch.context() as full:
        full.setattr("x2gobroker.loadchecker.question.try_all", no_descriptors)
        site.poller._schedule.now(KEY, 0.0)
        site.poller.wake()
        wait_until(lambda: site.load_state() == NONSENSE, "the failure noted", 60)
    stream.says.put(ALIVE)
    site.poller._schedule.now(KEY, 0.0)
    site.poller.wake()
    wait_until(lambda: site.load_state() == "ok", "the port found open", 60)
    assert site.asked == 1, "only its port was tried"


def no_descriptors(_targets: Iterable[Endpoint], _deadline: float, *_more: object) -> set[Endpoint]:
    raise OSError(errno.EMFILE, "Too many open files")


def test_a_server_that_is_back_is_noticed_by_its_watch(site: Site) -> None:
    """It was rebooted: the watch is begun again long before the next question is due."""
    site.start().says.put(REPORT)
    wait_until(lambda: site.how() == WATCH, "the watch heard", 60)
    site.is_up = False
    site.answer = site.agent.fails = AgentError("nobody answers", UNREACHABLE)
    site.agent.streams[0].says.put(AgentError("the connection ended", UNREACHABLE))
    wait_until(lambda: site.load_state() == UNREACHABLE, "the server found down", 60)
    tries = len(site.agent.asked)
    wait_until(lambda: len(site.agent.asked) > tries + 2, "some tries to watch it", 60)
    assert site.asked == 2, "it is asked once, however often a watch is tried"
    site.is_up, site.agent.fails, site.answer = True, None, ServerReport(LOAD, (), 0, "ts01")
    site.stream(2).says.put(REPORT)
    wait_until(lambda: site.load_state() == "ok", "the server found up", 60)


def test_nothing_is_missed_while_the_store_fails(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("x2gobroker.loadchecker.outbox.RETRY_SECONDS", 0.2)
    stream = site.start()
    stream.says.put(REPORT)
    wait_until(lambda: site.how() == WATCH, "the watch heard", 60)
    site.broken = True
    for user in ("anna", "bert"):
        stream.says.put(SESSION.replace(b"anna|", f"{user}|".encode()) % name_of(user).encode())
    stream.says.put(b"gone:%s\n" % name_of("anna").encode())
    wait_until(lambda: site.poller._outbox.fails, "the store failing", 60)
    site.broken = False
    wait_until(lambda: site.states() == {"bert": "R"}, "what was said", 60)


def test_a_server_that_is_in_no_profile_any_more_is_watched_no_longer(site: Site) -> None:
    stream = site.start()
    site.watched = Watched({}, {}, (), (), 300.0, True)
    assert stream.closed.wait(60)


def test_where_nothing_counts_nobody_is_watched(site: Site) -> None:
    site.watched = Watched({KEY: TS01}, {}, (), (), 300.0, False)
    site.thread.start()
    wait_until(lambda: site.asked == 1, "an answer", 60)
    site.watched = Watched({KEY: TS01}, {}, (), (), 300.0, True)
    stream = site.stream(1)
    site.watched = Watched({KEY: TS01}, {}, (), (), 300.0, False)
    assert stream.closed.wait(60)


def test_trouble_with_the_session_database_is_said_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    stream = site.start()
    stream.says.put(REPORT)
    wait_until(lambda: site.how() == WATCH, "the watch heard", 60)
    for text in (b"trouble:it is locked\n", ALIVE, ALIVE):
        stream.says.put(text)
    wait_until(lambda: site.how() == CHECKLOAD, "the trouble known", 60)
    stream.says.put(REPORT.removeprefix(b"OK\n"))
    wait_until(lambda: site.how() == WATCH, "its end known", 60)
    assert caplog.text.count("cannot tell its sessions: it is locked") == 1
    assert caplog.text.count("tells its sessions again") == 1
