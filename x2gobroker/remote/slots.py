"""The desktops of one service: started when somebody connects, stopped when it is time, found again after a crash.

What the store says of a slot and what runs are brought together here (what others wish of desktops: `wishes.py`).
Nothing is forgotten: a row goes only when the script says that its session is gone, or when nothing answers there any
more; else the slot is `broken`, nobody gets it, and stopping it is tried again.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from x2gobroker.errors import BrokerError, StoreError
from x2gobroker.logs import broker_log, error_log, field
from x2gobroker.remote.beside import Beside, Opened, open_beside
from x2gobroker.remote.desktop import Connection, Desktop
from x2gobroker.remote.stopping import ASK_SECONDS, LOOK_SECONDS, name_of, reason_of, try_stop, worker_of
from x2gobroker.remote.told import (
    BEING_STOPPED,
    ELSEWHERE,
    ENDED_AT_ONCE,
    GIVEN_BACK,
    INTERRUPTED,
    MORE_MEMORY,
    NO_ANSWER,
    NO_START,
    NO_TYPE,
    NOT_STARTED,
    NOT_STOPPED,
    SERVICE_STOPS,
    STOPPED,
    STORE_FAILS,
    TOO_SLOW,
    NoDesktopError,
)
from x2gobroker.remote.types import SessionType
from x2gobroker.remote.wishes import Wishes
from x2gobroker.remote.workers import Worker, WorkerError, Workers
from x2gobroker.store import DesktopOrders, RemoteDesktops, Slot, Why
from x2gobroker.store.remote_desktops import ADMINISTRATOR, BROKEN, FAILED, RESERVED, RUNNING, STOPPING

POLL_SECONDS = 5.0  # how often a script is asked whether its session runs
RETRY_SECONDS = 60.0
WRITE_SECONDS = 10.0  # how often times are written that nothing depends on
STORE_THREADS = 4
MOST_ASKED = 32  # desktops at a time, after a start of the service: each process of a script costs processor time
RECOVER_SECONDS = 30.0  # then the service begins, whatever it knows; systemd waits 90 seconds for that
LOOK_AGAIN_SECONDS = 5.0  # for the place of one whose script did not answer
EARLY_SECONDS = 10.0  # a session that ends sooner has failed
CLOSED_SECONDS = 2.0  # for which those wait whose VNC server has closed the connection, to be told why

T = TypeVar("T")
FindType = Callable[[str], SessionType | None]


class Desktops:
    """All desktops of this service. To be used in one event loop; the store is asked in threads."""

    def __init__(
        self, workers: Workers, find_type: FindType, desktops: Callable[[], RemoteDesktops], node: str
    ) -> None:
        self._workers = workers
        self._find_type = find_type
        self._desktops = desktops
        self._node = node
        self._threads = ThreadPoolExecutor(STORE_THREADS, "store")
        self._known: dict[str, Desktop] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wishes = Wishes(self._known, self.ask_store, node, self.stop, self._forget)
        self._asking = asyncio.Semaphore(MOST_ASKED)
        self._next_poll = 0.0
        self._store_fails = False

    async def ask_store(self, work: Callable[[RemoteDesktops], T]) -> T:
        """Do something with the store, beside the event loop. Raises StoreError."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(self._desktops()))

    async def enter(self, slot: Slot, connection: Connection) -> tuple[Desktop, socket.socket]:
        """Start the slot's desktop if it does not run, and connect to it. Raises NoDesktopError, StoreError.

        `leave` of the desktop has to be called for it.
        """
        desktop = self._known.get(slot.id)
        if desktop is None:
            if connection.share is not None and slot.state == RESERVED:
                raise NoDesktopError(NOT_STARTED)
            if slot.state != RESERVED:
                node = field(slot.node)
                error_log.error("remote: %s is not on this host: its service is that of %s", name_of(slot), node)
                raise NoDesktopError(ELSEWHERE)
            desktop = self._known[slot.id] = Desktop(slot, self._find_type(slot.type))
            desktop.starting = self._task(self._start(desktop))
        if desktop.stopping is not None:
            raise NoDesktopError(BEING_STOPPED)
        desktop.enter(connection)
        try:
            await desktop.settled.wait()
            if not desktop.running:
                raise NoDesktopError(NO_START + desktop.fault if desktop.fault else BEING_STOPPED)
            return desktop, await self._connect(desktop)
        except BaseException:
            desktop.leave(connection)
            raise

    async def _connect(self, desktop: Desktop) -> socket.socket:
        try:
            worker = worker_of(self._workers, desktop)
            answer = await worker.ask("connect", ASK_SECONDS, token=desktop.slot.id)
        except WorkerError as error:
            error_log.error("remote: no connection to %s: %s", name_of(desktop.slot), error)
            self._next_poll = 0.0
            raise NoDesktopError(NO_ANSWER) from error
        if answer.connection is None:
            raise NoDesktopError(NO_ANSWER)
        desktop.password = answer.values["password"] if answer.values["asks"] else None
        return answer.connection

    async def open_beside(self, slot: Slot, connection: Connection, what: Beside) -> Opened:
        """See `beside.open_beside`."""
        return await open_beside(self._workers, self._known, slot, connection, what)

    async def _start(self, desktop: Desktop) -> None:
        slot = desktop.slot
        try:
            taken = await self.ask_store(lambda store: store.begin_start(slot.id, self._node))
            fault, desktop.fault = "the place was given back, or another service starts it", GIVEN_BACK
        except StoreError as error:
            taken, fault, desktop.fault = False, str(error), STORE_FAILS
        if not taken:
            broker_log.warning("remote: %s is not started: %s", name_of(slot), fault)
            desktop.settled.set()
            self._known.pop(slot.id, None)
            return
        desktop.fault = ""
        broker_log.info("remote: %s is being started", name_of(slot))
        began = time.monotonic()
        try:
            await self._start_script(desktop)
            desktop.running = True
            desktop.starting = None
            desktop.settled.set()
            broker_log.info("remote: %s runs after %.2f s", name_of(slot), time.monotonic() - began)
        except BrokerError as error:
            error_log.error("remote: %s could not be started: %s", name_of(slot), error)
            desktop.fault = error.told if isinstance(error, WorkerError) else STORE_FAILS
            desktop.settled.set()  # those who wait are told
            if desktop.stopping is None:  # else somebody waits to stop it
                desktop.stopping, desktop.why = asyncio.current_task(), Why.FAILED
                await self._end(desktop)

    async def _start_script(self, desktop: Desktop) -> None:
        """Raises WorkerError, StoreError."""
        slot, kind = desktop.slot, desktop.kind
        if kind is None or slot.number >= kind.count:
            raise WorkerError(f"there is no session type {slot.type!r} with so many places any more", NO_TYPE)
        worker = desktop.worker = self._workers.make(slot.type, slot.number)
        end = time.monotonic() + kind.start_seconds
        await worker.ask("load", kind.start_seconds)
        desktop.began = True
        answer = await worker.ask(
            "start",
            max(LOOK_SECONDS, end - time.monotonic()),
            told=partial(self._say, slot),
            token=slot.id,
            milliseconds=int(slot.reserved * 1000),
            username=slot.username,
            size=str(slot.options.get("size", "")),
        )
        values = answer.values
        place = {"host": values["host"], "port": values["port"], "unix_path": values["unix"]}
        desktop.slot = replace(slot, **place, node=self._node)
        await self.ask_store(lambda store: store.change(slot.id, **place))
        await self._wait_for_server(worker, end, kind.start_seconds)
        desktop.started = desktop.last_input = desktop.last_seen = time.time()
        await self.ask_store(lambda store: store.change(slot.id, RUNNING, started=desktop.started, progress=""))

    @staticmethod
    async def _wait_for_server(worker: Worker, end: float, seconds: float) -> None:
        while not (await worker.ask("poll", max(LOOK_SECONDS, end - time.monotonic()))).values["alive"]:
            if time.monotonic() > end:
                raise WorkerError(f"its VNC server did not come up within {seconds:g} seconds", TOO_SLOW)
            await asyncio.sleep(LOOK_SECONDS)

    async def _say(self, slot: Slot, text: str) -> None:
        try:
            await self.ask_store(lambda store: store.say(slot, text))
        except StoreError as error:
            self._tell_store_fails(error)

    def look_soon(self) -> None:
        """Something has ended: see whether desktops still run, at the next turn."""
        self._next_poll = 0.0

    async def look_now(self, desktop: Desktop) -> None:
        """A connection to its VNC server has ended: see whether all of it has, for a moment. If so, it is being stopped
        then, and its browsers have been told why.
        """
        end = time.monotonic() + CLOSED_SECONDS
        while desktop.running and desktop.stopping is None and (left := end - time.monotonic()) > 0:
            if not desktop.looked_after:
                desktop.looked_after = True
                await asyncio.wait([self._task(self._look_after(desktop))], timeout=left)
            if desktop.stopping is None:
                await asyncio.sleep(LOOK_SECONDS)

    def stop(self, desktop: Desktop, why: Why, note: str = "", by: str = "") -> asyncio.Task[None]:
        """Stop a desktop, in the background. `why` and `note` are left for the user, and browsers are told `why` before
        anything else ends their connections. `by`: which administrator wants it.
        """
        if desktop.stopping is None:
            broker_log.info("remote: %s is being stopped: %s", name_of(desktop.slot), reason_of(why, by))
            desktop.why, desktop.fault = why, note or desktop.fault
            desktop.cut(f"{STOPPED}{why}")
            desktop.stopping = self._task(self._end(desktop))
        return desktop.stopping

    async def _stop_again(self, desktop: Desktop) -> None:
        """Try once more to stop it, unless its place was given back, and perhaps to somebody else."""
        try:
            mine = await self.ask_store(lambda store: DesktopOrders(store.store).stop_again(desktop.slot.id))
        except StoreError as error:
            self._tell_store_fails(error)
            return
        if mine:
            desktop.broken_since = None
            broker_log.info("remote: %s is being stopped: %s", name_of(desktop.slot), "once more")
            desktop.stopping = self._task(self._end(desktop))
        else:
            self._forget(desktop)

    def _forget(self, desktop: Desktop, by: str = "") -> None:
        """The place of a desktop that could not be stopped was given back: nothing is done about it any more."""
        if desktop.worker is not None:
            desktop.worker.close(group=True)
        self._known.pop(desktop.slot.id, None)
        who = f"{ADMINISTRATOR} {field(by)}" if by else "its row in the state store is gone"
        broker_log.warning("remote: the place of %s was given back: %s", name_of(desktop.slot), who)

    async def _end(self, desktop: Desktop) -> None:
        """Have it stopped, whatever that takes; then its slot is free, or broken."""
        desktop.running = False
        if desktop.starting is not None and desktop.starting is not asyncio.current_task():
            seconds = desktop.kind.start_seconds if desktop.kind else ASK_SECONDS
            _done, late = await asyncio.wait([desktop.starting], timeout=seconds)
            desktop.began = desktop.began or bool(late)
        await self._write(desktop, STOPPING, ends=None, ends_why=desktop.why.value)
        fault = ""
        for _attempt in range(2):
            fault = await try_stop(self._workers, desktop)
            if not fault:
                break
        if fault:
            error_log.error("remote: %s cannot be stopped: %s", name_of(desktop.slot), fault)
            desktop.broken_since = time.monotonic()
            await self._write(desktop, BROKEN, note=NOT_STOPPED)
            return
        if desktop.worker is not None:
            desktop.worker.close(group=True)
        await self._release(desktop)

    async def _release(self, desktop: Desktop) -> None:
        slot, why = desktop.slot, desktop.why
        try:
            await self.ask_store(lambda store: store.release(slot.id, desktop.fault, why, desktop.limit(why)))
        except StoreError as error:
            self._tell_store_fails(error)
            desktop.broken_since = time.monotonic()  # it is gone, and its row is not: tried again
            return
        self._known.pop(slot.id, None)
        broker_log.info("remote: %s has ended", name_of(slot))

    async def _write(self, desktop: Desktop, state: str | None = None, **values: Any) -> None:
        slot = desktop.slot
        try:
            await self.ask_store(lambda store: store.change(slot.id, state, **values))
        except StoreError as error:
            self._tell_store_fails(error)

    def _tell_store_fails(self, error: StoreError) -> None:
        if not self._store_fails:
            error_log.error("remote: %s; desktops go on, and nobody gets a new one", error)
        self._store_fails = True

    async def recover(self) -> None:
        """Find the desktops again that an earlier process of this service has left, or clean up. Raises StoreError.

        Those of which their scripts cannot say whether they run go on, and are asked about again.
        """
        slots = await self.ask_store(lambda store: store.everything(self._node))
        await asyncio.gather(*(self._recover(slot) for slot in slots if slot.state not in (RESERVED, FAILED)))

    async def _recover(self, slot: Slot) -> None:
        desktop = self._known[slot.id] = Desktop(slot, self._find_type(slot.type), last_input=slot.last_input)
        desktop.began = True  # as far as anybody knows
        desktop.started = slot.started or slot.since
        desktop.settled.set()
        if slot.state == RUNNING:
            try:
                desktop.running = await self._still_runs(desktop)
            except WorkerError as error:
                error_log.error("remote: %s cannot be found again: %s", name_of(slot), error)
                desktop.running = desktop.unsure = error.told == TOO_SLOW or await self._may_run(desktop)
        if not desktop.running:
            note = INTERRUPTED if slot.state not in (STOPPING, BROKEN, RUNNING) else ""
            self.stop(desktop, slot.stopped_why or Why.INTERRUPTED, note)
            return
        if not desktop.unsure:
            broker_log.info("remote: %s was found again", name_of(slot))
        await self._write(desktop, connections=0)

    async def _still_runs(self, desktop: Desktop) -> bool:
        """What the script of a desktop of before says. Raises WorkerError."""
        try:
            async with asyncio.timeout(RECOVER_SECONDS), self._asking:
                worker = worker_of(self._workers, desktop)
                return bool((await worker.ask("poll", ASK_SECONDS)).values["alive"])
        except TimeoutError:
            raise WorkerError("too many others hang", TOO_SLOW) from None

    async def _may_run(self, desktop: Desktop) -> bool:
        """Whether something answers where a desktop was whose script cannot say; also where that cannot be told."""
        try:
            async with asyncio.timeout(LOOK_AGAIN_SECONDS), self._asking:
                worker = worker_of(self._workers, desktop)
                return bool((await worker.ask("look", ASK_SECONDS)).values["alive"])
        except (WorkerError, TimeoutError):  # the log has the reason of before
            return True

    async def tick(self) -> None:
        """What has to be done once a second or so: limits, wishes from the portal, desktops that have died."""
        now = time.time()
        try:
            await self._wishes.hear()
            if self._store_fails:
                self._store_fails = False
                broker_log.warning("remote: the state store works again")
        except StoreError as error:
            self._tell_store_fails(error)
        for desktop in list(self._known.values()):
            if desktop.broken_since is not None:
                if time.monotonic() - desktop.broken_since > RETRY_SECONDS:
                    await self._stop_again(desktop)
                continue
            end = desktop.end() if desktop.running else None
            if end is not None and end[0] <= now:
                self.stop(desktop, end[1])
            elif desktop.running:
                await self._write_times(desktop, end, now)
        if time.monotonic() >= self._next_poll:
            self._next_poll = time.monotonic() + POLL_SECONDS
            for desktop in list(self._known.values()):
                if desktop.running and desktop.stopping is None and not desktop.looked_after:
                    desktop.looked_after = True
                    self._task(self._look_after(desktop))

    async def _write_times(self, desktop: Desktop, end: tuple[float, Why] | None, now: float) -> None:
        """Tell the portal how many are connected, and when it will end."""
        ends, why = (end[0], end[1].value) if end else (None, "")
        count = len(desktop.connections)
        important = (count, why, None if ends is None else round(ends / 5))
        if important == desktop.written and now - desktop.written_at < WRITE_SECONDS:
            return
        desktop.written, desktop.written_at = important, now
        if desktop.watched:
            desktop.last_seen = now
        times: dict[str, Any] = {"last_seen": desktop.last_seen, "last_input": desktop.last_input}
        await self._write(desktop, connections=count, ends=ends, ends_why=why, **times)

    async def _look_after(self, desktop: Desktop) -> None:
        """Ask the script whether its session runs."""
        try:
            worker = worker_of(self._workers, desktop)
            found = (await worker.ask("poll", ASK_SECONDS)).values
            desktop.unsure = False
            if desktop.kind is None:  # there was a slip in the file when the service started
                desktop.kind = self._find_type(desktop.slot.type)
        except WorkerError as error:
            if not desktop.unsure:
                error_log.error("remote: %s: whether it runs is not known: %s", name_of(desktop.slot), error)
            desktop.unsure = True
            return
        finally:
            desktop.looked_after = False
        if desktop.stopping is not None:
            return
        if not found["alive"]:
            early = time.time() - desktop.started < EARLY_SECONDS
            if why := found["why"]:
                error_log.error("remote: %s: %s", name_of(desktop.slot), why)
            if found["memory"]:
                self.stop(desktop, Why.MEMORY, MORE_MEMORY)
            elif early:
                self.stop(desktop, Why.EARLY, ENDED_AT_ONCE)
            else:
                self.stop(desktop, Why.SESSION)
        elif found["locked"]:
            self.stop(desktop, Why.LOCKED)

    async def close(self, stop: bool) -> None:
        """The service ends: end all connections, and with `stop` all desktops; else they go on, to be found again."""
        tasks = [self.stop(desktop, Why.SERVICE) for desktop in list(self._known.values())] if stop else []
        for desktop in list(self._known.values()):
            desktop.cut(SERVICE_STOPS)  # those of desktops that end have been told that already
        if tasks:
            await asyncio.wait(tasks, timeout=3 * max(d.stop_seconds for d in self._known.values()) + ASK_SECONDS)
        for desktop in list(self._known.values()):
            if desktop.running:
                await self._write(desktop, connections=0, last_seen=time.time())
        for task in self._tasks:
            task.cancel()
        self._threads.shutdown(wait=False)

    def _task(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            error_log.error("remote: a task failed: %s", error, exc_info=error)
