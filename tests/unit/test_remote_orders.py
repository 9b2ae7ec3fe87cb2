"""How the service hears what administrators order: who had a desktop stopped, and places that were given back."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import pytest

from tests.support.remote_folders import store_in
from tests.support.remote_types import one_type
from x2gobroker.errors import StoreError
from x2gobroker.remote import slots
from x2gobroker.remote.slots import Desktops
from x2gobroker.remote.told import NO_ANSWER, SERVICE_STOPS, NoDesktopError
from x2gobroker.remote.types import SessionType
from x2gobroker.remote.workers import Answer, WorkerError, Workers
from x2gobroker.store import DesktopEnds, DesktopOrders, RemoteDesktops, SignInTie, Slot, Store, Why
from x2gobroker.store.desktop_orders import by_administrator
from x2gobroker.store.remote_desktops import BROKEN, RUNNING, STARTING, STOPPING

NODE = "here"


class Browser:
    """A connection of the user."""

    share: bytes | None = None
    sign_in: SignInTie | None = None
    last_input = 0.0

    def cut(self, why: str) -> None:
        """Not called here."""


class Listener(Browser):
    """One that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def cut(self, why: str) -> None:
        """A connection keeps the first of these."""
        self.told.append(why)


class FakeWorker:
    """The process of a script whose desktop goes on until `ends`."""

    def __init__(self, farm: FakeWorkers, number: int) -> None:
        self.farm, self.number = farm, number
        self.lost, self.loaded = False, True

    async def ask(self, what: str, _seconds: float, **_values: Any) -> Answer:
        """Answer as a worker does. Raises WorkerError."""
        self.farm.asked.append((what, self.number))
        self.farm.now += 1
        self.farm.most = max(self.farm.most, self.farm.now)
        await asyncio.sleep(0)
        self.farm.now -= 1
        if self.farm.fault:
            raise WorkerError(self.farm.fault)
        if what == "stop" and not self.farm.ends:
            raise WorkerError("something of it still runs")
        is_dead = ("stop", self.number) in self.farm.asked or len(self.farm.asked) >= self.farm.dead_after
        alive = not (self.farm.ends and is_dead)
        values = {"alive": alive, "locked": False, "memory": False, "why": "", "asks": False, "password": ""}
        return Answer(MappingProxyType(values), socket.socket() if what == "connect" else None)

    def close(self, group: bool) -> None:
        """End it."""
        self.lost = True
        self.farm.closed.append((self.number, group))


class FakeWorkers:
    """Makes such workers; `ends`: whether desktops can be stopped, `fault`: why none answers, `most`: how many were
    asked at the same time, `dead_after`: after so many questions they end by themselves.
    """

    def __init__(self) -> None:
        self.ends = False
        self.fault = ""
        self.most = self.now = 0
        self.dead_after = 10_000
        self.asked: list[tuple[str, int]] = []
        self.closed: list[tuple[int, bool]] = []

    def make(self, _type: str, number: int) -> FakeWorker:
        """A worker for a slot."""
        return FakeWorker(self, number)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with store_in(tmp_path) as made:
        yield made


def running(store: Store, user: str = "anna", count: int = 2) -> Slot:
    """A desktop that a service of before has left running."""
    desktops = RemoteDesktops(store)
    slot = desktops.reserve("Test", count, user, {}, "")
    assert slot is not None
    desktops.begin_start(slot.id, NODE)
    desktops.change(slot.id, RUNNING, started=slot.reserved)
    return slot


def state(store: Store, slot: Slot) -> str:
    found = RemoteDesktops(store).find(slot.id)
    return "gone" if found is None else found.state


def end_of(store: Store, slot: Slot) -> tuple[Why, float | None]:
    """Why a desktop has ended, and by which limit."""
    end = DesktopEnds(store).find(slot.id)
    assert end is not None
    return end.why, end.seconds


def served(
    store: Store,
    folder: Path,
    work: Callable[[Desktops, FakeWorkers], Awaitable[None]],
    given: FakeWorkers | None = None,
) -> FakeWorkers:
    """Do something with a service that has found its desktops again."""
    workers = given or FakeWorkers()
    kind = one_type(folder, "tigervnc.py", 2)

    async def run() -> None:
        made = Desktops(cast(Workers, workers), lambda _name: kind, lambda: RemoteDesktops(store), NODE)
        await made.recover()
        try:
            await work(made, workers)
        finally:
            await made.close(stop=False)

    asyncio.run(run())
    return workers


async def tick_until(service: Desktops, done: Callable[[], bool]) -> None:
    """Have the service look, as it does each second, until something is so."""
    for _turn in range(200):
        await service.tick()
        if done():
            return
        await asyncio.sleep(0.01)
    pytest.fail("nothing came of it")


async def break_it(service: Desktops, store: Store, slot: Slot) -> None:
    """Ask for the end of a desktop that cannot be stopped."""
    RemoteDesktops(store).ask_stop(slot)
    await tick_until(service, lambda: state(store, slot) == BROKEN)


def test_the_log_says_which_administrator_has_a_desktop_stopped(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slot = running(store)

    async def work(service: Desktops, workers: FakeWorkers) -> None:
        workers.ends = True
        RemoteDesktops(store).ask_stop(slot, by_administrator("eva weber"))
        await tick_until(service, lambda: state(store, slot) == "gone")

    with caplog.at_level(logging.INFO):
        served(store, tmp_path, work)
    assert f"remote: Test/0 of anna ({slot.id[:8]}) is being stopped: administrator eva\\x20weber" in caplog.messages


def test_a_place_that_was_given_back_is_forgotten_with_its_worker(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slot = running(store)

    async def work(service: Desktops, workers: FakeWorkers) -> None:
        await break_it(service, store, slot)
        found = RemoteDesktops(store).find(slot.id)
        assert found is not None
        assert DesktopOrders(store).free(found, "root")
        workers.closed.clear()
        await tick_until(service, lambda: bool(workers.closed))

    with caplog.at_level(logging.INFO):
        workers = served(store, tmp_path, work)
    assert workers.closed == [(0, True)]
    name = f"Test/0 of anna ({slot.id[:8]})"
    assert f"remote: the place of {name} was given back: administrator root" in caplog.messages
    assert state(store, slot) == "failed"


def test_the_next_desktop_of_that_place_is_left_alone(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service was about to stop the one before once more when the place went to somebody else."""
    slot = running(store)

    async def work(service: Desktops, workers: FakeWorkers) -> None:
        await break_it(service, store, slot)
        monkeypatch.setattr(slots, "RETRY_SECONDS", 0.0)
        found = RemoteDesktops(store).find(slot.id)
        assert found is not None
        desktop = service._known[slot.id]
        assert DesktopOrders(store).free(found, "root")
        after = RemoteDesktops(store).reserve("Test", 2, "bert", {}, "")
        assert after is not None
        assert after.number == slot.number
        workers.asked.clear()
        await service._stop_again(desktop)  # what a turn does that has read the rows before
        assert slot.id not in service._known
        await service.tick()

    assert served(store, tmp_path, work).asked == []


def test_what_nobody_has_given_back_is_tried_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = running(store)

    async def work(service: Desktops, workers: FakeWorkers) -> None:
        await break_it(service, store, slot)
        monkeypatch.setattr(slots, "RETRY_SECONDS", 0.0)
        workers.ends = True
        await tick_until(service, lambda: state(store, slot) == "gone")

    served(store, tmp_path, work)
    assert end_of(store, slot) == (Why.STOP, None)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("stop", Why.STOP),
        ("logout", Why.LOGOUT),
        ("locked", Why.LOCKED),
        ("administrator eva", Why.ADMINISTRATOR),
        ("a word of another release", Why.UNKNOWN),
    ],
)
def test_why_a_desktop_was_stopped_is_kept_and_told(store: Store, tmp_path: Path, wanted: str, why: Why) -> None:
    slot, browser = running(store), Listener()

    async def work(service: Desktops, workers: FakeWorkers) -> None:
        workers.ends = True
        service._known[slot.id].enter(browser)
        RemoteDesktops(store).ask_stop(slot, wanted)
        await tick_until(service, lambda: state(store, slot) == "gone")

    served(store, tmp_path, work)
    assert browser.told[0] == f"this desktop was stopped: {why}"
    assert end_of(store, slot) == (why, None)


@pytest.mark.parametrize("why", [Why.IDLE, Why.ABSOLUTE, Why.GRACE])
def test_a_limit_that_ends_a_desktop_is_kept_with_its_length(store: Store, tmp_path: Path, why: Why) -> None:
    slot = running(store)

    async def work(service: Desktops, workers: FakeWorkers) -> None:
        workers.ends = True
        desktop = service._known[slot.id]
        desktop.kind = replace(one_type(tmp_path, "tigervnc.py", 2), idle_minutes=240, absolute_minutes=480)
        early = time.time() - 250 * 60
        if why is Why.GRACE:
            desktop.last_seen = early
        else:
            desktop.enter(Browser())
            desktop.last_input = early if why is Why.IDLE else time.time()
            desktop.started = early * (why is Why.IDLE)
        await tick_until(service, lambda: state(store, slot) == "gone")

    served(store, tmp_path, work)
    assert end_of(store, slot) == (why, {Why.IDLE: 14400.0, Why.ABSOLUTE: 28800.0, Why.GRACE: 900.0}[why])


def test_what_a_service_was_stopping_when_it_ended_keeps_its_reason(store: Store, tmp_path: Path) -> None:
    stopped, ran = running(store), running(store, "bert")
    RemoteDesktops(store).change(stopped.id, STOPPING, ends=None, ends_why="idle")

    async def work(service: Desktops, workers: FakeWorkers) -> None:
        await tick_until(service, lambda: state(store, stopped) == state(store, ran) == "gone")

    workers = FakeWorkers()
    workers.ends = True
    workers.asked = [("stop", stopped.number), ("stop", ran.number)]  # what ran has ended meanwhile
    served(store, tmp_path, work, workers)
    assert end_of(store, stopped)[0] is Why.IDLE
    assert end_of(store, ran)[0] is Why.INTERRUPTED


@pytest.mark.parametrize("stops", [True, False])
def test_the_end_of_the_service_is_told_in_words_that_pages_know(store: Store, tmp_path: Path, stops: bool) -> None:
    slot, browser = running(store), Listener()

    async def work(service: Desktops, workers: FakeWorkers) -> None:
        workers.ends = True
        service._known[slot.id].enter(browser)
        if stops:  # else that is what comes next
            await service.close(stop=True)

    served(store, tmp_path, work)
    if stops:
        assert browser.told[0] == "this desktop was stopped: service"
        assert end_of(store, slot) == (Why.SERVICE, None)
    else:
        assert browser.told[0] == SERVICE_STOPS
        assert state(store, slot) == RUNNING


@pytest.mark.parametrize("dead_after", [1, 3, 10_000])
def test_who_is_connected_hears_at_once_that_the_session_was_closed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead_after: int
) -> None:
    """Its VNC server closes connections first, and ends a moment later."""
    slot, browser = running(store), Listener()
    monkeypatch.setattr(slots, "CLOSED_SECONDS", 60.0 if dead_after < 100 else 0.3)

    async def work(service: Desktops, workers: FakeWorkers) -> None:
        desktop = service._known[slot.id]
        desktop.started -= 3600
        desktop.enter(browser)
        workers.ends, workers.dead_after = True, len(workers.asked) + dead_after
        await service.look_now(desktop)
        assert browser.told == (["this desktop was stopped: session"] if dead_after < 100 else [])
        assert (desktop.stopping is not None) is (dead_after < 100), "a connection alone may have ended"

    served(store, tmp_path, work)


@pytest.mark.parametrize("left", [RUNNING, STARTING])
def test_a_desktop_that_ends_while_the_store_fails_gives_its_place_back_later(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """Neither that it is being stopped nor that it has ended could be written."""
    slot = running(store)

    def fails() -> RemoteDesktops:
        raise StoreError("the server closed the connection")

    async def work(service: Desktops, workers: FakeWorkers) -> None:
        workers.ends = True
        RemoteDesktops(store).change(slot.id, left)
        with monkeypatch.context() as broken:
            broken.setattr(service, "_desktops", fails)
            await service.stop(service._known[slot.id], Why.SESSION)
        assert state(store, slot) == left
        monkeypatch.setattr(slots, "RETRY_SECONDS", 0.0)
        await tick_until(service, lambda: state(store, slot) == "gone" and slot.id not in service._known)

    served(store, tmp_path, work)
    assert end_of(store, slot) == (Why.SESSION, None), "known all the while"


def test_a_restart_ends_no_desktop_of_which_nobody_can_say_whether_it_runs(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a slip in the file of session types: once it is corrected, all is as before, its limits too."""
    slot, workers = running(store), FakeWorkers()
    kinds: list[SessionType] = []
    monkeypatch.setattr(slots, "POLL_SECONDS", 0.0)

    async def run() -> None:
        workers.fault = "a comma too much"
        service = Desktops(
            cast(Workers, workers), lambda _name: next(iter(kinds), None), lambda: RemoteDesktops(store), NODE
        )
        await service.recover()
        desktop = service._known[slot.id]
        await tick_until(service, lambda: len(workers.asked) > 2)
        with pytest.raises(NoDesktopError, match=NO_ANSWER):
            await service.enter(slot, Browser())
        kinds.append(one_type(tmp_path, "tigervnc.py", 2))
        workers.fault = ""
        await tick_until(service, lambda: desktop.kind is not None)
        assert not desktop.unsure
        assert desktop.end() == (desktop.last_seen + 900, "grace")
        entered, connected = await service.enter(slot, Browser())
        connected.close()
        assert entered is desktop
        await service.close(stop=False)

    asyncio.run(run())
    assert ("stop", 0) not in workers.asked
    assert state(store, slot) == RUNNING


def test_a_user_comes_back_to_a_desktop_before_anybody_knows_whether_it_runs(store: Store, tmp_path: Path) -> None:
    slot = running(store)

    class NoProcess(FakeWorkers):
        def make(self, _type: str, number: int) -> FakeWorker:
            if self.fault:
                raise WorkerError(self.fault)
            return super().make(_type, number)

    async def run() -> None:
        workers = NoProcess()
        workers.fault = "no process for a script"
        kind = one_type(tmp_path, "tigervnc.py", 2)
        service = Desktops(cast(Workers, workers), lambda _name: kind, lambda: RemoteDesktops(store), NODE)
        await service.recover()
        workers.fault = ""
        desktop, connected = await service.enter(slot, Browser())
        connected.close()
        assert desktop.running
        await service.close(stop=False)

    asyncio.run(run())


def test_a_restart_asks_few_desktops_at_a_time_and_does_not_wait_for_all_that_hang(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        running(store, f"user{number}", 9)
    monkeypatch.setattr(slots, "MOST_ASKED", 3)

    async def work(service: Desktops, workers: FakeWorkers) -> None:
        assert len(workers.asked) == 9
        assert workers.most == 3
        assert all(desktop.running and not desktop.unsure for desktop in service._known.values())

    served(store, tmp_path, work)
    monkeypatch.setattr(slots, "RECOVER_SECONDS", 0.1)

    async def hangs(worker: FakeWorker, what: str, _seconds: float, **_values: Any) -> Answer:
        worker.farm.asked.append((what, worker.number))
        await asyncio.sleep(60)
        raise WorkerError("it hangs")

    monkeypatch.setattr(FakeWorker, "ask", hangs)

    async def later(service: Desktops, workers: FakeWorkers) -> None:
        assert len(workers.asked) == 3
        assert all(desktop.running and desktop.unsure for desktop in service._known.values())

    served(store, tmp_path, later)


def test_a_desktop_that_runs_is_stopped_when_its_place_was_given_back(store: Store, tmp_path: Path) -> None:
    """Somebody thought that this host was gone."""
    slot = running(store)

    async def work(service: Desktops, workers: FakeWorkers) -> None:
        workers.ends = True
        found = RemoteDesktops(store).find(slot.id)
        assert found is not None
        assert DesktopOrders(store).free(found, "root")
        await tick_until(service, lambda: state(store, slot) == "gone")

    assert ("stop", 0) in served(store, tmp_path, work).asked
