"""The service's side of the processes in which scripts run: questions with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from x2gobroker.errors import BrokerError
from x2gobroker.privilege import MessageError, read_message, write_message
from x2gobroker.remote.crossing import FROM_WORKER, TO_SPAWNER, TO_WORKER
from x2gobroker.remote.told import SCRIPT_FAILED, TOO_SLOW
from x2gobroker.remote.worker import LARGEST_MESSAGE

Told = Callable[[str], Awaitable[None]]


class WorkerError(BrokerError):
    """A script did not do what it was asked: it failed, took too long, or its process is gone.

    The text is for the log, and may hold whatever the script says; `told` is for the user.
    """

    def __init__(self, text: str, told: str = SCRIPT_FAILED) -> None:
        super().__init__(text)
        self.told = told


@dataclass(frozen=True)
class Answer:
    """What a worker answered; `connection` is the connected socket, where one was asked for, `reports` a second one."""

    values: Mapping[str, Any]
    connection: socket.socket | None = None
    reports: socket.socket | None = None


class Worker:
    """One worker process. Questions wait for each other."""

    def __init__(self, channel: socket.socket, end: Callable[[bool], None]) -> None:
        self._channel = channel
        self._end = end
        self._turn = asyncio.Lock()
        self.lost = False
        self.loaded = False  # whether its script has been loaded

    async def ask(self, what: str, seconds: float, told: Told | None = None, **values: Any) -> Answer:
        """Ask for one thing: `load`, `start`, `poll`, `stop`, `connect` or `files`. `told` hears of progress.

        Only `look` (does anything answer where the desktop was?) does not load the script.
        Raises WorkerError; after one for want of time or of the process, `lost` is true, and this worker is of no
        more use.
        """
        try:
            async with asyncio.timeout(seconds), self._turn:
                if self.lost:
                    raise WorkerError("the script's process is gone")
                try:
                    message = write_message(what, values, TO_WORKER)
                except MessageError as error:
                    raise WorkerError(f"this cannot be asked of a script: {error}") from error
                try:
                    await asyncio.get_running_loop().sock_sendall(self._channel, message)
                    answer = await self._answer(told)
                    self.loaded = self.loaded or what != "look"
                    return answer
                except OSError as error:
                    raise self._lose("the script's process has ended") from error
                except asyncio.CancelledError:
                    self.lost = True  # an answer may still come, and would be taken for that of the next question
                    raise
        except TimeoutError:
            fault = f"the script did not {what} within {math.ceil(seconds)} seconds"
            raise WorkerError(fault, TOO_SLOW) from None

    async def _answer(self, told: Told | None) -> Answer:
        while True:
            data, descriptors = await self._receive()
            if not data:
                raise self._lose("the script's process has ended")
            connection, reports, *_ = [*(socket.socket(fileno=number) for number in descriptors), None, None]
            try:
                answer = read_message(data, FROM_WORKER)
            except MessageError as error:
                raise self._lose(f"the script's process answered with {error}") from error
            if answer["do"] == "progress":
                if told is not None:
                    await told(answer["text"])
                continue
            if answer["do"] == "refused":
                raise WorkerError(answer["reason"], answer["told"] or SCRIPT_FAILED)
            return Answer(answer, connection, reports)

    async def _receive(self) -> tuple[bytes, list[int]]:
        loop = asyncio.get_running_loop()
        while True:
            readable: asyncio.Future[None] = loop.create_future()
            loop.add_reader(self._channel, _wake, readable)
            try:
                await readable
            finally:
                loop.remove_reader(self._channel)
            with contextlib.suppress(BlockingIOError):
                data, descriptors, _, _ = socket.recv_fds(self._channel, LARGEST_MESSAGE, 2)
                for descriptor in descriptors:
                    os.set_inheritable(descriptor, False)
                return data, descriptors

    def _lose(self, why: str) -> WorkerError:
        self.lost = True
        return WorkerError(why)

    def close(self, group: bool) -> None:
        """End the process; with `group` also what its script has left in its process group."""
        self.lost = True
        if self._channel.fileno() >= 0:
            self._channel.close()
            self._end(group)


class Workers:
    """Has workers made by the spawner, to which `control` leads.

    Messages that the socket has no room for wait, so that none is lost. Questions to a worker have deadlines, even
    while the spawner has not heard of it.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[bytes, socket.socket | None]] = {}  # by worker, in their order

    def make(self, type_name: str, index: int) -> Worker:
        """A new worker for a slot. Raises WorkerError."""
        number = next(self._numbers)
        try:
            mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            raise WorkerError(f"no process for a script: {error.strerror}") from error
        mine.setblocking(False)
        try:
            message = write_message("worker", {"id": number, "type": type_name, "number": index}, TO_SPAWNER)
            self._send(number, message, theirs)
        except (OSError, MessageError) as error:
            mine.close()
            theirs.close()
            reason = error.strerror if isinstance(error, OSError) else error
            raise WorkerError(f"no process for a script: {reason}") from error
        return Worker(mine, lambda group: self._end(number, group))

    def _end(self, number: int, group: bool) -> None:
        _message, channel = self._waiting.pop(number, (b"", None))
        if channel is not None:  # the spawner has not heard of it yet
            channel.close()
            return
        with contextlib.suppress(OSError):  # without a spawner there are no workers either
            self._send(number, write_message("end", {"id": number, "group": group}, TO_SPAWNER))

    def _send(self, number: int, message: bytes, channel: socket.socket | None = None) -> None:
        """Tell the spawner something of a worker, now or when there is room, and close `channel`. Raises OSError."""
        if not self._waiting:
            try:
                self._send_now(message, channel)
                return
            except BlockingIOError:
                asyncio.get_running_loop().add_writer(self._control, self._send_waiting)
        self._waiting[number] = message, channel

    def _send_now(self, message: bytes, channel: socket.socket | None) -> None:
        socket.send_fds(self._control, [message], [] if channel is None else [channel.fileno()])
        if channel is not None:
            channel.close()

    def _send_waiting(self) -> None:
        try:
            while self._waiting:
                number, (message, channel) = next(iter(self._waiting.items()))
                self._send_now(message, channel)
                del self._waiting[number]
        except BlockingIOError:
            return
        except OSError:  # the spawner is gone: `watch` tells, and whoever waits for a worker sees its channel close
            self._drop_waiting()
        asyncio.get_running_loop().remove_writer(self._control)

    def _drop_waiting(self) -> None:
        for _message, channel in self._waiting.values():
            if channel is not None:
                channel.close()
        self._waiting.clear()

    def watch(self, lost: Callable[[], None]) -> None:
        """Call `lost` when the spawner ends."""
        asyncio.get_running_loop().add_reader(self._control, lambda: self._spawner_ended(lost))

    def _spawner_ended(self, lost: Callable[[], None]) -> None:
        asyncio.get_running_loop().remove_reader(self._control)
        lost()

    def close(self) -> None:
        """Let the spawner end, and all workers with it; desktops stay."""
        with contextlib.suppress(RuntimeError, ValueError):
            asyncio.get_running_loop().remove_reader(self._control)
            asyncio.get_running_loop().remove_writer(self._control)
        self._drop_waiting()
        self._control.close()


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def wait_for(pid: int) -> None:
    """Wait for the spawner's end."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
