"""Bad days of servers, agents, load checkers and stores: what users see of them.

Bytes of agents go through a real load checker into the store, and users ask a real broker. Further bad days are in
`test_known_beforehand.py`: a server that was renamed, two of one name, a session that moves between list and selection,
a broken agent. With real servers they are in `tests/integration/test_inventory_watch.py`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

import pytest
from sqlalchemy import Connection

from tests.support.processes import wait_until
from tests.unit.fake_farm import FakeAgents, session_line
from tests.unit.fake_watch import ALIVE, FIGURES, RULES, Agent, Stream
from tests.web.conftest import Bench
from tests.web.test_known_beforehand import CONFIG, PROFILES, TOLD, TS01, TS02, Make, Site
from x2gobroker.agents.base import REFUSED, TIMEOUT, AgentStream, Reply
from x2gobroker.agents.rules import AgentRules
from x2gobroker.errors import AgentError, StoreError
from x2gobroker.inventory.reads import Reads
from x2gobroker.inventory.record import News
from x2gobroker.loadchecker.asking import Asking
from x2gobroker.loadchecker.poller import Poller
from x2gobroker.loadchecker.targets import Target, Watched
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import EXPECTED, WATCH
from x2gobroker.model.server_report import MOST_SESSIONS
from x2gobroker.store import Loads, Store

SERVERS = (TS01, TS02)
LONG = 60.0  # what is waited for, on a busy machine
HOUR = 3600
END = b"leftOut:0\n"


def line(user: str = "anna", state: str = "S", server: str = "ts01", display: int = 50, since: float = 0.0) -> bytes:
    """A session as a watch tells it; the broker's agent lists it with `session_line`."""
    name = session_line(server, user, state, display=display).split("|")[1]
    return f"session:{name}|{user}|{display}|{state}|{since or time.time():.0f}|192.0.2.9|3001|3002|3003\n".encode()


def report(server: str, *lines: bytes, ahead: float = 0.0) -> bytes:
    """A whole report of a server, whose clock is `ahead`, up to its last line."""
    head = f"server:{server}\ntime:{time.time() + ahead:.0f}\n{FIGURES}".encode()
    return b"".join([head, *lines, END])


class LivingStream(Stream):
    """An agent that gives a sign of life when it has nothing to say."""

    def receive(self, seconds: float) -> bytes:
        try:
            said = self.says.get(timeout=1.0)
        except queue.Empty:
            return ALIVE
        if isinstance(said, Exception):
            raise said
        return said


class WatchedAgents(Agent):
    """What the load checker hears: reports by the server's key, and the last stream of each."""

    def __init__(self) -> None:
        super().__init__()
        self.reports: dict[str, bytes] = {}
        self.silent: set[str] = set()
        self.last: dict[str, Stream] = {}

    def _call(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> Reply:
        if server.key in self.silent:
            raise AgentError("as the test wants it", TIMEOUT)
        return Reply(b"OK\n" + self.reports[server.key], b"", 0)

    def _listen(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> AgentStream:
        if server.key in self.silent:
            raise AgentError("as the test wants it", TIMEOUT)
        stream = self.last[server.key] = LivingStream()
        self.streams.append(stream)
        stream.says.put(b"OK\n" + self.reports[server.key])
        if not self.reports[server.key].endswith(END):
            stream.stop()  # it is killed
        return stream


class LoadChecker:
    """A load checker in a thread, which watches both servers."""

    def __init__(self, site: Site, store: Store, heard: WatchedAgents) -> None:
        self.is_dead = False
        self._site = site
        self._store = store
        watched = Watched({one.key: Target(one, RULES) for one in SERVERS}, {}, (), (), 300.0, True)
        ask = Asking(lambda _mode: heard).ask
        self.poller = Poller(lambda: watched, ask, self._loads, self._note, lambda _mode: heard, frozenset)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.poller.run, args=(self._stop,), daemon=True)
        self._thread.start()

    def _loads(self) -> Loads:
        if self.is_dead:
            raise StoreError("killed")
        return Loads(self._store)

    def _note(self, news: Iterable[News]) -> frozenset[str]:
        if self.is_dead:
            raise StoreError("killed")
        return self._site.inventory.take(news)

    def end(self) -> None:
        """End its thread."""
        self._stop.set()
        self.poller.wake()
        self._thread.join(30)


class BadDay(Site):
    """A site whose load checkers hear what a test lets agents say."""

    def __init__(self, bench: Bench, agents: FakeAgents) -> None:
        super().__init__(bench, agents)
        self.store = self.inventory.store
        self.heard = WatchedAgents()
        self.checkers: list[LoadChecker] = []

    def says(self, *anna: bytes) -> None:
        """What ts01 reports from now on; ts02 has no session."""
        self.heard.reports = {TS01.key: report("ts01", *anna), TS02.key: report("ts02")}

    def begin(self) -> LoadChecker:
        """Start a load checker, and wait until it watches both."""
        begun = time.time()
        self.checkers.append(LoadChecker(self, self.store, self.heard))

        def are_watched() -> bool:
            known = Reads(self.store).servers().values()
            return len([one for one in known if one.how == WATCH and one.heard >= begun]) == len(SERVERS)

        wait_until(are_watched, "both watched", LONG)
        return self.checkers[-1]

    def how(self, server: Endpoint) -> str:
        """How a server is heard."""
        known = Reads(self.store).servers().get(server.key)
        return "" if known is None else known.how

    def trouble(self, server: Endpoint) -> str:
        """Why a server that is silent is."""
        return Reads(self.store).servers()[server.key].trouble

    def tell(self, server: Endpoint, said: bytes | Exception) -> None:
        """The watched agent says this."""
        self.heard.last[server.key].says.put(said)

    def lists(self, *lines: str, user: str = "anna") -> None:
        """Wait until a list of profiles has these lines about sessions."""
        wait_until(lambda: self.listed(user) == list(lines), f"the list {lines}", LONG)

    def answers(self, user: str = "anna") -> tuple[int, str]:
        """Status and text of the answer to a selection."""
        answer = self.bench.post(task="selectsession", sid="desk", user=user, password=self.password)
        return answer.status_int, answer.text

    password = "p@ss w&rd+é"


@pytest.fixture
def day(broker_with: Make, monkeypatch: pytest.MonkeyPatch) -> Iterator[BadDay]:
    """A broker and two servers, on which nobody is, and no load checker yet. All ports answer."""
    agents = FakeAgents()
    monkeypatch.setattr("x2gobroker.agents.farm._made", lambda _name: agents)
    monkeypatch.setattr("x2gobroker.loadchecker.poller.TICK_SECONDS", 0.1)
    monkeypatch.setattr("x2gobroker.loadchecker.watching.FIRST_PAUSE", 0.2)
    monkeypatch.setattr("x2gobroker.loadchecker.watching.LONGEST_PAUSE", 1.0)
    for room in ("loadchecker.poller", "loadchecker.question", "scheduling.probe"):
        monkeypatch.setattr(f"x2gobroker.{room}.try_all", lambda targets, *_more: set(targets))
    bench = broker_with(CONFIG)
    bench.write("profiles.conf", PROFILES)
    bench.post(task="listsessions", user="nobody-else", password="x")
    made = BadDay(bench, agents)
    made.says()
    yield made
    for checker in made.checkers:
        checker.end()
    for stream in made.heard.streams:
        stream.stop()
    made.store.close()


def test_an_agent_that_is_killed_in_mid_report_takes_no_session_away(day: BadDay) -> None:
    day.says(line())
    day.agents.sessions[TS01.key] = [session_line("ts01")]
    day.begin()
    day.lists("status=S", "suspended=1")
    whole = day.heard.reports[TS01.key]
    day.heard.reports[TS01.key] = whole[: whole.index(b"session:")]  # and nothing more
    day.tell(TS01, b"")
    wait_until(lambda: day.trouble(TS01) != "", "word of it", LONG)
    assert day.listed() == ["status=S", "suspended=1"]
    assert "SESSION_INFO:" in day.selected()
    assert "SESSION_INFO:" not in day.selected("bert")
    day.agents.sessions.clear()
    day.says()
    day.lists()


def test_a_watch_that_goes_silent_without_an_end_is_believed_for_seconds_only(
    day: BadDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a firewall that has forgotten the connection, and lets no other one through for a while."""
    monkeypatch.setattr("x2gobroker.inventory.reads.WATCHED_SECONDS", 4.0)
    day.says(line(state="R"))
    day.begin()
    day.lists("running=1", "status=R")
    day.heard.silent.add(TS01.key)
    day.agents.broken[TS01.key] = TIMEOUT
    day.tell(TS01, AgentError("nothing heard", TIMEOUT))
    wait_until(lambda: day.answers() == (503, f"{TOLD}.\n"), "a word to the user", LONG)
    assert "SERVER:192.0.2.11" in day.selected("bert")
    day.heard.silent.clear()
    day.agents.broken.clear()
    day.agents.sessions[TS01.key] = [session_line("ts01", state="R")]
    wait_until(lambda: "SESSION_INFO:" in day.answers()[1], "the session", LONG)


def test_a_server_that_lies_about_sessions_of_others_sends_nobody_anywhere(
    day: BadDay, caplog: pytest.LogCaptureFixture
) -> None:
    day.heard.reports[TS02.key] = report("ts01.example.org", line(server="ts01"))
    day.begin()
    assert day.listed() == []
    assert "SESSION_INFO:" not in day.selected()
    assert f"X2Go Server {TS02.key}: 1 sessions in its report are of other servers" in caplog.text
    states = [one.session.state for one in Reads(day.store).everywhere("anna")]
    assert states == [EXPECTED], "no more than that she is on the way"


def test_a_server_that_tells_a_million_sessions_is_heard_no_longer_and_others_are(day: BadDay) -> None:
    day.says(line())
    day.begin()
    stream = day.heard.last[TS02.key]
    began = time.monotonic()
    for begin in range(0, 1_000_000, 10_000):
        if stream.closed.is_set():
            break
        stream.says.put(b"".join(line(f"u{begin + number}", server="ts02") for number in range(10_000)))
    wait_until(stream.closed.is_set, "the end of the watch", LONG)
    print(f"{time.monotonic() - began:.1f} s")
    day.lists("status=S", "suspended=1")
    day.tell(TS01, line(state="R"))
    day.lists("running=1", "status=R")
    assert len(Reads(day.store).everywhere(server=TS02.key)) <= MOST_SESSIONS


@pytest.mark.parametrize("name", ["an\x1b]0;na", "anna\x00", "an\x85na", "an\u202ena", "anna|x"])
def test_names_with_control_characters_reach_nobody(day: BadDay, name: str) -> None:
    day.says(line())
    day.begin()
    day.tell(TS02, line("bert", server="ts02").replace(b"bert", name.encode()))
    day.tell(TS01, line(state="R"))
    day.lists("running=1", "status=R")
    everybody = [one.session for one in Reads(day.store).everywhere()]
    assert [one.user for one in everybody] == ["anna"]
    assert all((one.user + one.name + one.client).isprintable() for one in everybody)
    assert "SERVER:" in day.selected("bert")


def test_a_server_whose_times_are_to_come_has_sessions_of_now(day: BadDay) -> None:
    day.says(line(since=4_000_000_000))
    day.begin()
    day.lists("status=S", "suspended=1")
    (one,) = Reads(day.store).everywhere("anna")
    assert one.session.since <= time.time()
    assert one.age(time.time()) < LONG


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
def test_a_server_whose_clock_is_an_hour_off_is_heard_as_others_are(day: BadDay, ahead: float) -> None:
    begun = time.time() - 600
    day.says()
    day.heard.reports[TS01.key] = report("ts01", line(since=begun + ahead), ahead=ahead)
    day.begin()
    day.lists("status=S", "suspended=1")
    (one,) = Reads(day.store).everywhere("anna")
    assert one.session.since == pytest.approx(begun, abs=LONG)
    day.tell(TS01, line(state="R", since=time.time() + ahead))
    day.lists("running=1", "status=R")
    name = line().split(b"|")[0].removeprefix(b"session:")
    day.tell(TS01, b"gone:" + name + b"\n")
    day.lists()


def test_a_session_database_that_cannot_be_read_is_said_to_who_has_a_session_there(day: BadDay) -> None:
    """Locked, missing, or of PostgreSQL, and gone: the agent says trouble, and cannot list either."""
    day.says(line())
    day.agents.sessions[TS01.key] = [session_line("ts01")]
    day.begin()
    day.lists("status=S", "suspended=1")
    day.agents.broken[TS01.key] = REFUSED
    day.tell(TS01, b"trouble:session database: database is locked\n")
    wait_until(lambda: day.answers() == (503, f"{TOLD}.\n"), "a word to the user", LONG)
    assert "SERVER:" in day.selected("bert"), "others get a server"
    day.agents.broken.clear()
    day.tell(TS01, report("ts01", line()))
    wait_until(lambda: day.how(TS01) == WATCH, "the watch heard", LONG)
    assert day.listed() == ["status=S", "suspended=1"]
    assert "SESSION_INFO:" in day.selected()


def test_without_a_load_checker_agents_are_asked_and_with_another_one_they_are_not(
    day: BadDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is killed, and leaves no word; for a while there is none; then there is another one."""
    monkeypatch.setattr("x2gobroker.inventory.reads.WATCHED_SECONDS", 4.0)
    day.says(line())
    day.agents.sessions[TS01.key] = [session_line("ts01")]
    killed = day.begin()
    assert day.listed() == ["status=S", "suspended=1"]
    assert day.asked() == []
    killed.is_dead = True

    def asks() -> bool:
        before = len(day.agents.asked)
        assert day.listed() == ["status=S", "suspended=1"]
        return len(day.agents.asked) > before

    wait_until(asks, "a question to the agents", LONG)
    assert "SESSION_INFO:" in day.selected()
    day.begin()
    wait_until(lambda: not asks(), "lists that ask nobody", LONG)


def test_a_store_that_is_gone_for_a_minute_loses_no_session(day: BadDay, monkeypatch: pytest.MonkeyPatch) -> None:
    day.says(line())
    day.begin()
    day.lists("status=S", "suspended=1")
    begin: Callable[[Store], AbstractContextManager[Connection]] = Store.begin

    def gone(_store: Store) -> AbstractContextManager[Connection]:
        raise StoreError("the state store is gone")

    monkeypatch.setattr(Store, "begin", gone)
    answer = day.bench.post(task="listsessions", user="anna", password=day.password)
    assert answer.status_int == 503, "nobody is let in, and nobody is told that there is no session"
    day.tell(TS01, line(state="R"))
    day.tell(TS02, line("bert", server="ts02"))
    time.sleep(0.5)  # in which the load checker fails to write it
    monkeypatch.setattr(Store, "begin", begin)
    day.lists("running=1", "status=R")
    day.lists("status=S", "suspended=1", user="bert")


def test_of_ten_thousand_sessions_each_user_is_listed_the_own_one(day: BadDay) -> None:
    crowd = [line(f"user{number:05}", "R", display=number % 9000 + 50) for number in range(MOST_SESSIONS - 1)]
    day.says(line(), *crowd)
    day.agents.sessions[TS01.key] = [session_line("ts01")]
    day.begin()
    began = time.monotonic()
    assert day.listed() == ["status=S", "suspended=1"]
    listed = time.monotonic() - began
    assert "SESSION_INFO:" in day.selected()
    print(f"listed in {listed * 1000:.0f} ms, selected in {(time.monotonic() - began - listed) * 1000:.0f} ms")
    assert day.asked() == [TS01.key]
    assert day.listed("bert") == []
    assert len(Reads(day.store).everywhere(server=TS01.key)) == MOST_SESSIONS
