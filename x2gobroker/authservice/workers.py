"""The service's view of its worker processes: how many, ready ones in stock, a deadline for each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from x2gobroker.authservice.protocol import LENGTH, ProtocolError, decode_body, frame_length
from x2gobroker.authservice.spawner import Spawner

READY_WORKERS = 2
START_SECONDS = 10.0
LOOK_SECONDS = 0.05
MOST_LOOKS = 60


class WorkerGoneError(Exception):
    """A worker process ended before it answered: a PAM module has crashed it, most likely."""


class WorkerHandle:
    """One worker process, from the service's side."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._pidfd = -1
        self._pid = 0

    async def wait_until_ready(self) -> None:
        """Wait for the process to report itself. Raises WorkerGoneError."""
        async with asyncio.timeout(START_SECONDS):
            pid = (await self.receive()).get("pid")
        if not isinstance(pid, int):
            raise WorkerGoneError
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            raise WorkerGoneError from None
        self._pid = pid

    def computes(self) -> bool:
        """Whether the process uses a processor, or would if one were free: it does not wait for anything."""
        try:
            with open(f"/proc/{self._pid}/stat", "rb") as status:
                return status.read().rpartition(b")")[2].split()[0] == b"R"
        except (OSError, IndexError):  # gone
            return False

    def is_alive(self) -> bool:
        """Whether the process still runs: one that waits in stock may have been killed."""
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return not poller.poll(0)

    async def send(self, *pieces: bytes | bytearray) -> None:
        """Send to the process. Raises WorkerGoneError."""
        loop = asyncio.get_running_loop()
        try:
            for piece in pieces:
                await loop.sock_sendall(self._channel, piece)
        except OSError:
            raise WorkerGoneError from None

    async def receive(self) -> dict[str, Any]:
        """The next message of the process. Raises WorkerGoneError."""
        try:
            length = frame_length(await self._receive_exactly(LENGTH.size))
            return decode_body(await self._receive_exactly(length))
        except (OSError, ProtocolError):
            raise WorkerGoneError from None

    async def _receive_exactly(self, count: int) -> bytearray:
        loop = asyncio.get_running_loop()
        data = bytearray()
        while len(data) < count:
            piece = await loop.sock_recv(self._channel, count - len(data))
            if not piece:
                raise WorkerGoneError
            data += piece
        return data

    def end(self) -> None:
        """Make sure that the process is gone; one that has answered has ended by itself already."""
        self._channel.close()
        if self._pidfd >= 0:
            if self.is_alive():  # and so is its group, which nobody else can have got meanwhile
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.close(self._pidfd)
            self._pidfd = -1


class Turn:
    """The turn of one login. It ends with the login, or before when a look at the worker finds it waiting."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release
        self._looks = MOST_LOOKS
        self._worker: WorkerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._look_later()

    def watch(self, worker: WorkerHandle) -> None:
        """From now on, look at this worker."""
        self._worker = worker

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._looks -= 1
        if self._looks and (self._worker is None or self._worker.computes()):
            self._look_later()
        else:
            self.end()

    def end(self) -> None:
        """Let the next one begin."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._release()


class Turnstile:
    """Lets few begin at the same time: by turns the one who came last, and the one who has waited longest.

    Hashing a password keeps a processor busy for some 50 ms. If all of many guesses began at once, a right password
    that comes behind them would wait for all. If the latest always came first, then on a host with more logins than it
    can check some would wait until their time is over. A login that waits for something else, such as a directory
    server, no longer keeps others from beginning; one that computes does, for a while, also on a machine that is busy.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._oldest_is_next = False

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Wait for one's turn; the block is what one does with it."""
        await self._acquire()
        turn = Turn(self._release)
        try:
            yield turn
        finally:
            turn.end()

    async def _acquire(self) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft() if self._oldest_is_next else self._waiting.pop()
            if not turn.done():
                self._oldest_is_next = not self._oldest_is_next
                turn.set_result(None)
                return
        self._free += 1


class WorkerPool:
    """Hands out fresh worker processes, at most `most` at the same time, and keeps some ready beforehand."""

    def __init__(self, spawner: Spawner, most: int) -> None:
        self._spawner = spawner
        self._places = asyncio.Semaphore(most)
        self._turnstile = Turnstile(os.cpu_count() or 1)
        self._ready: deque[WorkerHandle] = deque()
        self._filling: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def worker(self) -> AsyncIterator[WorkerHandle]:
        """A worker process of one's own for the length of the block; it is gone afterwards."""
        async with self._turnstile.turn() as turn, self._places:
            handle = self._take_ready() or await self._start()
            turn.watch(handle)
            self.fill()
            try:
                yield handle
            finally:
                handle.end()

    def _take_ready(self) -> WorkerHandle | None:
        while self._ready:
            handle = self._ready.popleft()
            if handle.is_alive():
                return handle
            handle.end()
        return None

    async def _start(self) -> WorkerHandle:
        handle = WorkerHandle(self._spawner.new_worker())
        try:
            await handle.wait_until_ready()
        except BaseException:
            handle.end()
            raise
        return handle

    def fill(self) -> None:
        """Start processes in stock, in the background."""
        if self._filling is None or self._filling.done():
            self._filling = asyncio.get_running_loop().create_task(self._fill())

    async def _fill(self) -> None:
        with contextlib.suppress(WorkerGoneError, TimeoutError, OSError):  # the next login tries again, and reports it
            while len(self._ready) < READY_WORKERS:
                self._ready.append(await self._start())

    def close(self) -> None:
        """End the processes in stock."""
        if self._filling is not None:
            self._filling.cancel()
        while self._ready:
            self._ready.popleft().end()
