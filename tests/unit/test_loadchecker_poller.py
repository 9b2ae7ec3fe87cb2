"""The poller, with a real store and servers that are functions: rounds, dead servers, a store that fails, company."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy.engine import URL

from tests.support.processes import wait_until
from tests.unit.inventory_values import seen
from x2gobroker.agents.base import NONSENSE, TIMEOUT, UNREACHABLE
from x2gobroker.agents.rules import AgentRules
from x2gobroker.errors import AgentError, StoreError
from x2gobroker.inventory.reads import Reads
from x2gobroker.inventory.record import Inventory, News
from x2gobroker.loadchecker.poller import Poller
from x2gobroker.loadchecker.schedule import Schedule
from x2gobroker.loadchecker.slots import Slots
from x2gobroker.loadchecker.targets import Target, Watched
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.load import LoadReport
from x2gobroker.model.server_report import ServerReport
from x2gobroker.store import Store
from x2gobroker.store.loads import Loads, ServerLoad

RULES = AgentRules("SSH", "x2gobroker", "/agent", Path("/nonexistent"), "RejectPolicy", "", 5.0)
REPORT = LoadReport(100, 16000, 4, 2500, 3)


def watched(*names: str, interval: float = 300.0) -> Watched:
    targets = {f"{name}:22": Target(Endpoint(name, name), RULES) for name in names}
    return Watched(targets, {("inifile", "p"): tuple((name, f"{name}:22") for name in names)}, (), (), interval)


class Servers:
    """Servers that answer, or do what `behaviour` says, and a count of the questions."""

    def __init__(self) -> None:
        self.behaviour: dict[str, Callable[[], LoadReport | ServerReport]] = {}
        self.asked: list[str] = []
        self.lock = threading.Lock()

    def ask(self, target: Target) -> LoadReport | ServerReport:
        with self.lock:
            self.asked.append(target.endpoint.key)
        return self.behaviour.get(target.endpoint.name, lambda: REPORT)()


def dead() -> LoadReport:
    raise AgentError("nobody answers", UNREACHABLE)


class Running:
    """A poller in a thread, on a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.servers = Servers()
        self.loads = Loads(Store(URL.create("sqlite", database=str(folder / "state" / "store.sqlite"))))
        self.now = watched("ts1", "ts2")
        self.broken = ""
        self.off: set[str] = set()
        self.rounds = 0
        self.stop = threading.Event()
        self.inventory = Inventory(self.loads.store)
        self.poller = Poller(lambda: self.now, self.servers.ask, self.keep, self.inventory.take)
        self.thread = threading.Thread(target=self.poller.run, args=(self.stop,), daemon=True)

    def keep(self) -> Loads:
        if self.broken:
            raise StoreError(self.broken)
        return self.loads

    def ports_that_answer(self, targets: Iterable[Endpoint], _deadline: float, *_more: object) -> set[Endpoint]:
        """Those of servers that are switched on."""
        found = list(targets)
        self.rounds += len(found) > 1
        return {server for server in found if server.name not in self.off}

    def states(self) -> dict[str, str]:
        return {load.key: load.state for load in self.loads.all()}

    def heard(self) -> dict[str, tuple[str, str]]:
        """How each server is heard, and why not."""
        return {key: (server.how, server.trouble) for key, server in Reads(self.loads.store).servers().items()}

    def sessions(self) -> list[tuple[str, str, str]]:
        """Server, account and state of all sessions that are known."""
        found = Reads(self.loads.store).everywhere()
        return [(one.server.name, one.session.user, one.session.state) for one in found]

    def end(self) -> None:
        self.stop.set()
        self.poller.wake()
        self.thread.join(5)
        assert not self.thread.is_alive()


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A poller that is not started yet."""
    monkeypatch.setattr("x2gobroker.loadchecker.poller.TICK_SECONDS", 0.1)
    made = Running(tmp_path)
    monkeypatch.setattr("x2gobroker.loadchecker.poller.try_all", made.ports_that_answer)
    monkeypatch.setattr("x2gobroker.loadchecker.question.try_all", made.ports_that_answer)
    yield made
    if made.thread.ident is not None:
        made.end()
    made.loads.store.close()


def test_the_first_round_is_at_once(running: Running) -> None:
    began = time.time()
    running.thread.start()
    wait_until(lambda: running.states() == {"ts1:22": "ok", "ts2:22": "ok"}, "both servers asked", 5)
    load = running.loads.of(["ts1:22"])["ts1:22"]
    assert (load.name, load.report) == ("ts1", REPORT)
    assert began <= load.asked <= load.answered <= time.time()
    assert 0 <= load.took < 2
    assert sorted(running.servers.asked) == ["ts1:22", "ts2:22"]


def test_each_server_is_asked_again_in_every_interval(running: Running) -> None:
    running.now = watched("ts1", interval=1.0)
    running.thread.start()
    wait_until(lambda: len(running.servers.asked) >= 4, "four rounds", 8)


def test_the_last_good_report_of_a_server_that_died_stays(running: Running) -> None:
    running.now = watched("ts1", interval=1.0)
    running.thread.start()
    wait_until(lambda: running.states() == {"ts1:22": "ok"}, "an answer", 5)
    running.servers.behaviour["ts1"] = dead
    wait_until(lambda: running.states() == {"ts1:22": UNREACHABLE}, "the failure noticed", 5)
    load = running.loads.of(["ts1:22"])["ts1:22"]
    assert load.report == REPORT
    assert 0 < load.answered < load.asked
    del running.servers.behaviour["ts1"]
    wait_until(lambda: running.states() == {"ts1:22": "ok"}, "the recovery noticed", 5)


def test_changes_are_said_once(running: Running, said: pytest.LogCaptureFixture) -> None:
    running.now = watched("ts1", interval=1.0)
    running.servers.behaviour["ts1"] = dead
    running.thread.start()
    wait_until(lambda: len(running.servers.asked) >= 3, "three rounds", 8)
    assert said.text.count("X2Go Server ts1:22: no load report: unreachable: nobody answers") == 1
    del running.servers.behaviour["ts1"]
    wait_until(lambda: "X2Go Server ts1:22: load reports again" in said.text, "the recovery said", 5)


def test_an_agent_plug_in_with_a_bug_ends_nothing(running: Running) -> None:
    def bug() -> LoadReport:
        raise ZeroDivisionError("a bug")

    running.servers.behaviour["ts1"] = bug
    running.thread.start()
    wait_until(lambda: running.states() == {"ts1:22": "nonsense", "ts2:22": "ok"}, "both servers asked", 5)


@pytest.mark.parametrize("count", [2, 20])
def test_servers_for_which_no_thread_can_be_begun_are_asked_later(
    running: Running, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    names = [f"h{number}" for number in range(count)]
    running.now = watched(*names)
    running.thread.start()
    wait_until(lambda: len(running.states()) == count, "all asked", 30)
    start = threading.Thread.start

    def limited(thread: threading.Thread) -> None:
        if thread.name == "ports" or thread.name.startswith("load of"):
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", limited)
        running.poller.ask_all_now()
        wait_until(lambda: set(running.states().values()) == {NONSENSE}, "the failures noted", 30)
    running.poller.ask_all_now()
    wait_until(lambda: set(running.states().values()) == {"ok"}, "all asked again", 30)
    assert set(running.heard().values()) == {("checkload", "")}


def test_how_servers_are_heard_is_known(running: Running) -> None:
    running.now = watched("ts1", "ts2", interval=1.0)
    running.servers.behaviour["ts2"] = dead
    running.thread.start()
    wanted = {"ts1:22": ("checkload", ""), "ts2:22": ("", UNREACHABLE)}
    wait_until(lambda: running.heard() == wanted, "both servers heard", 30)
    del running.servers.behaviour["ts2"]
    running.servers.behaviour["ts1"] = dead
    wanted = {"ts1:22": ("checkload", UNREACHABLE), "ts2:22": ("checkload", "")}
    wait_until(lambda: running.heard() == wanted, "the change noticed", 30)


def test_sessions_that_servers_tell_are_known_and_stay_when_they_fall_silent(running: Running) -> None:
    running.now = watched("ts1", "ts2", interval=1.0)
    report = ServerReport(REPORT, (seen(server="ts1"), seen("bert", state="S", server="ts1")), 0, "ts1")
    running.servers.behaviour["ts1"] = lambda: report
    running.thread.start()
    wanted = [("ts1", "anna", "R"), ("ts1", "bert", "S")]
    wait_until(lambda: running.sessions() == wanted, "the report taken", 30)
    assert running.heard()["ts1:22"] == ("report", "")
    assert running.loads.of(["ts1:22"])["ts1:22"].report == REPORT
    running.servers.behaviour["ts1"] = dead
    wait_until(lambda: running.heard()["ts1:22"] == ("report", UNREACHABLE), "the silence noticed", 30)
    assert running.sessions() == wanted
    running.servers.behaviour["ts1"] = lambda: ServerReport(REPORT, report.sessions[:1], 0, "ts1")
    wait_until(lambda: running.sessions() == wanted[:1], "the end of a session noticed", 30)


def test_a_server_that_lies_about_others_is_said_once_and_not_believed(
    running: Running, said: pytest.LogCaptureFixture
) -> None:
    running.now = watched("ts1", "ts2", interval=1.0)
    lie = ServerReport(REPORT, (seen(server="ts1"), seen("bert", server="ts2")), 0, "ts1")
    running.servers.behaviour["ts1"] = lambda: lie
    running.thread.start()
    wait_until(lambda: running.servers.asked.count("ts1:22") >= 4, "four rounds", 30)
    assert running.sessions() == [("ts1", "anna", "R")]
    assert said.text.count("X2Go Server ts1:22: 1 sessions in its report are of other servers, and 0 can be none") == 1


def test_what_an_agent_leaves_out_has_not_ended(running: Running) -> None:
    running.now = watched("ts1", interval=1.0)
    running.servers.behaviour["ts1"] = lambda: ServerReport(REPORT, (seen(server="ts1"),), 0, "ts1")
    running.thread.start()
    wait_until(lambda: running.sessions() == [("ts1", "anna", "R")], "the report taken", 30)
    running.servers.behaviour["ts1"] = lambda: ServerReport(REPORT, (seen("bert", server="ts1"),), 1, "ts1")
    wait_until(lambda: ("ts1", "bert", "R") in running.sessions(), "the next report taken", 30)
    assert ("ts1", "anna", "R") in running.sessions()


def test_an_inventory_that_cannot_be_written_loses_nothing(
    running: Running, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("x2gobroker.loadchecker.outbox.RETRY_SECONDS", 0.2)
    broken = threading.Event()

    def note(news: list[News]) -> frozenset[str]:
        if not broken.is_set():
            raise StoreError("it is full")
        return running.inventory.take(news)

    running.poller = Poller(lambda: running.now, running.servers.ask, running.keep, note)
    running.thread = threading.Thread(target=running.poller.run, args=(running.stop,), daemon=True)
    running.thread.start()
    wait_until(lambda: "kept in memory: it is full" in said.text, "the failure said", 30)
    broken.set()
    wait_until(lambda: len(running.heard()) == 2, "the results written", 30)
    assert len(running.servers.asked) == 2, "nobody was asked again for it"


def test_vanished_servers_are_forgotten_and_new_ones_asked_at_once(running: Running) -> None:
    running.thread.start()
    wait_until(lambda: len(running.states()) == 2, "both servers asked", 5)
    running.now = watched("ts2", "ts3")
    wait_until(lambda: "ts3:22" in running.states(), "the new server asked", 5)
    assert running.servers.asked.count("ts1:22") == running.servers.asked.count("ts2:22") == 1
    assert running.poller.watched is running.now


def test_a_late_answer_of_a_vanished_server_is_dropped(running: Running) -> None:
    go_on = threading.Event()

    def slow() -> LoadReport:
        go_on.wait(10)
        return REPORT

    running.servers.behaviour["ts1"] = slow
    running.thread.start()
    wait_until(lambda: "ts2:22" in running.states(), "the other server asked", 5)
    running.now = watched("ts2")
    wait_until(lambda: running.poller.watched is running.now, "the change noticed", 5)
    go_on.set()
    running.now = watched("ts2", "ts3")
    wait_until(lambda: "ts3:22" in running.states(), "the new server asked", 5)
    assert "ts1:22" not in running.states()


def test_dead_servers_hold_up_nobody(running: Running) -> None:
    """200 servers, a third of which never answers, half of those not even at its port: nobody waits for them."""
    release = threading.Event()

    def hangs() -> LoadReport:
        release.wait(60)
        raise AgentError("no answer", TIMEOUT)

    names = [f"h{number}" for number in range(200)]
    running.now = watched(*names)
    running.servers.behaviour.update((name, hangs) for name in names[::3])
    running.off.update(names[::6])
    running.thread.start()
    up = {f"{name}:22" for name in names} - {f"{name}:22" for name in names[::3]}
    wait_until(lambda: up <= running.states().keys(), "all that are up answered", 30)
    release.set()
    wait_until(lambda: len(running.states()) == 200, "all asked", 30)
    assert sorted(running.states().values()) == ["ok"] * 133 + [TIMEOUT] * 67


def test_servers_that_are_off_take_no_fast_slot(running: Running) -> None:
    """All that are up are asked while the ones that are off, which come first, take their time."""
    release = threading.Event()

    def hangs() -> LoadReport:
        release.wait(60)
        return dead()

    names = [f"h{number:02}" for number in range(60)]
    running.now = watched(*names)
    running.servers.behaviour.update(dict.fromkeys(names[:40], hangs))
    running.off.update(names[:40])
    running.thread.start()
    wait_until(lambda: running.states() == {f"{name}:22": "ok" for name in names[40:]}, "those that are up", 30)
    assert running.rounds == 1
    release.set()
    wait_until(lambda: list(running.states().values()).count(UNREACHABLE) == 40, "the others", 5)


def test_a_server_that_answers_on_a_kept_connection_only_is_down(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """Its sshd was stopped: choosing calls it down, and so must the load."""
    running.off = {"ts1"}
    running.thread.start()
    wait_until(lambda: running.states() == {"ts1:22": UNREACHABLE, "ts2:22": "ok"}, "the round", 5)
    assert running.loads.of(["ts1:22"])["ts1:22"].answered == 0
    assert "takes no new one" in caplog.text


def test_ports_that_take_too_long_to_try_are_waited_for_no_longer(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("x2gobroker.loadchecker.poller.PROBE_PATIENCE", 0.3)
    release = threading.Event()

    def stuck(targets: set[Endpoint], _deadline: float) -> set[Endpoint]:
        if len(targets) > 1:
            release.wait(20)
        return targets

    monkeypatch.setattr("x2gobroker.loadchecker.poller.try_all", stuck)
    running.now = watched(*(f"h{number}" for number in range(20)))
    running.thread.start()
    wait_until(lambda: len(running.states()) == 20, "all asked", 5)
    release.set()


def test_no_more_than_the_slots_at_the_same_time(running: Running) -> None:
    at_once: list[int] = []
    count = 0
    lock = threading.Lock()

    def counted() -> LoadReport:
        nonlocal count
        with lock:
            count += 1
            at_once.append(count)
        time.sleep(0.02)
        with lock:
            count -= 1
        return REPORT

    names = [f"h{number}" for number in range(30)]
    running.now = watched(*names)
    running.servers.behaviour.update(dict.fromkeys(names, counted))
    slots, nothing = Slots(fast=4, slow=2), frozenset[str]()
    running.poller = Poller(lambda: running.now, running.servers.ask, running.keep, lambda _: nothing, slots=slots)
    running.thread = threading.Thread(target=running.poller.run, args=(running.stop,), daemon=True)
    running.thread.start()
    wait_until(lambda: len(running.states()) == 30, "all asked", 10)
    assert max(at_once) <= 6


def test_a_store_that_fails_for_a_while_loses_nothing(
    running: Running, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("x2gobroker.loadchecker.outbox.RETRY_SECONDS", 0.2)
    running.broken = "it is full"
    running.thread.start()
    wait_until(lambda: len(running.servers.asked) == 2, "both servers asked", 5)
    wait_until(lambda: "kept in memory: it is full" in said.text, "the failure said", 5)
    wait_until(lambda: running.thread.is_alive(), "the poller going on", 1)
    running.broken = ""
    wait_until(lambda: running.states() == {"ts1:22": "ok", "ts2:22": "ok"}, "the results written", 8)
    assert said.text.count("kept in memory") == 1
    wait_until(lambda: "the state store works again" in said.text, "the recovery said", 5)


def test_two_load_checkers_with_one_store_share_the_work(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is the test's own: both look at it every second, one after the other, for ten intervals."""
    begin = time.time()
    clock = SimpleNamespace(time=lambda: begin, monotonic=time.monotonic)
    monkeypatch.setattr("x2gobroker.loadchecker.poller.time", clock)
    monkeypatch.setattr("x2gobroker.loadchecker.question.time", clock)
    names = [f"h{number}" for number in range(20)]
    running.now = watched(*names, interval=60.0)
    seconds = 0.0
    asked: dict[int, list[tuple[str, float]]] = {0: [], 1: []}

    def one(which: int) -> Poller:
        def ask(target: Target) -> LoadReport:
            asked[which].append((target.endpoint.key, seconds))
            return REPORT

        schedule, slots = Schedule(random.Random(which)), Slots(fast=100)
        return Poller(lambda: running.now, ask, running.keep, lambda _: frozenset(), schedule=schedule, slots=slots)

    pollers = [one(0), one(1)]
    for number in range(600):
        seconds = float(number)
        clock.time = partial(float, begin + seconds)
        for poller in pollers:
            poller.step()
            while poller._held:
                poller._collect(1.0)
            poller.step()
            while len(poller._slots):
                poller._collect(1.0)
            poller._outbox.write()
    assert sorted(key for key, moment in asked[0] if moment == 0) == sorted(f"{name}:22" for name in names)
    later = sorted(moment for which in asked for key, moment in asked[which] if key == "h7:22")[2:]
    gaps = [after - before for before, after in itertools.pairwise(later)]
    assert all(27 < gap <= 60 * 1.2 for gap in gaps), gaps
    total = sum(len(questions) for questions in asked.values())
    # each for itself they would ask 2 * 20 * 10 times or a few more; together half of that, and the first round twice
    assert 200 <= total <= 250
    assert min(len(questions) for questions in asked.values()) > 60  # neither does it all


def test_a_signal_makes_it_ask_all_at_once(running: Running) -> None:
    running.thread.start()
    wait_until(lambda: len(running.states()) == 2, "both servers asked", 5)
    running.poller.ask_all_now()
    wait_until(lambda: len(running.servers.asked) == 4, "both servers asked again", 5)


def test_it_ends_at_once_whatever_is_being_asked(running: Running) -> None:
    release = threading.Event()

    def hangs() -> LoadReport:
        release.wait(20)
        return REPORT

    running.servers.behaviour["ts1"] = hangs
    running.thread.start()
    wait_until(lambda: "ts1:22" in running.servers.asked, "the question", 5)
    wait_until(lambda: "ts2:22" in running.states(), "the other answer", 5)
    began = time.monotonic()
    running.end()
    assert time.monotonic() - began < 5
    release.set()


def test_what_came_in_last_is_written_at_the_end(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("x2gobroker.loadchecker.outbox.BATCH_SECONDS", 60.0)
    release = threading.Event()

    def hangs() -> LoadReport:
        release.wait(20)
        return REPORT

    running.servers.behaviour["ts1"] = hangs  # the batch waits for it
    running.thread.start()
    wait_until(lambda: len(running.servers.asked) == 2, "the questions", 5)
    wait_until(lambda: bool(running.poller._outbox), "the first answer", 5)
    assert running.states() == {}
    running.end()
    assert running.states() == {"ts2:22": "ok"}
    release.set()


def test_servers_that_nobody_asks_any_more_leave_the_store(running: Running) -> None:
    long_ago = time.time() - 4 * 86400
    running.loads.put([ServerLoad("old:22", "old", "ok", REPORT, long_ago, long_ago, 0.1)])
    running.thread.start()
    wait_until(lambda: sorted(running.states()) == ["ts1:22", "ts2:22"], "the old row gone", 5)
