"""The service's side of the processes in which scripts run: questions with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from x2gobroker.errors import BrokerError
from x2gobroker.remote.runner import LARGEST_MESSAGE
from x2gobroker.remote.told import SCRIPT_FAILED, TOO_SLOW

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
    """What a worker answered; `connection` is the connected socket, where one was asked for."""

    values: Mapping[str, Any]
    connection: socket.socket | None = None


class Worker:
    """One worker process. Questions wait for each other."""

    def __init__(self, channel: socket.socket, end: Callable[[bool], None], known: Mapping[str, Any]) -> None:
        self._channel = channel
        self._end = end
        self._known = known
        self._turn = asyncio.Lock()
        self.lost = False
        self.loaded = False  # whether its script has been loaded

    async def ask(self, what: str, seconds: float, told: Told | None = None, **values: Any) -> Answer:
        """Ask for one thing: `load`, `start`, `poll`, `stop` or `connect`. `told` hears of progress.

        Only `look` (does anything answer where the desktop was?) does not load the script.
        Raises WorkerError; after one for want of time or of the process, `lost` is true, and this worker is of no
        more use.
        """
        try:
            async with asyncio.timeout(seconds), self._turn:
                if self.lost:
                    raise WorkerError("the script's process is gone")
                message = json.dumps({"do": what, "known": self._known, **values}).encode()
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
            answer = json.loads(data)
            if "progress" in answer:
                if told is not None:
                    await told(str(answer["progress"]))
                continue
            if not answer["ok"]:
                raise WorkerError(str(answer["reason"]))
            return Answer(answer, socket.socket(fileno=descriptors[0]) if descriptors else None)

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
                data, descriptors, _, _ = socket.recv_fds(self._channel, LARGEST_MESSAGE, 1)
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
    """Has workers made by the spawner, to which `control` leads."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._numbers = itertools.count(1)

    def make(self, type_name: str, index: int, known: Mapping[str, Any] | None = None) -> Worker:
        """A new worker for a slot; `known` is where its desktop is, if it has been started. Raises WorkerError."""
        number = next(self._numbers)
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mine.setblocking(False)
        message = {"do": "worker", "id": number, "type": type_name, "number": index}
        try:
            with theirs:
                socket.send_fds(self._control, [json.dumps(message).encode()], [theirs.fileno()])
        except OSError as error:
            mine.close()
            raise WorkerError(f"no process for a script: {error.strerror}") from error
        return Worker(mine, lambda group: self._end(number, group), known or {})

    def _end(self, number: int, group: bool) -> None:
        with contextlib.suppress(OSError):  # without a spawner there are no workers either
            self._control.send(json.dumps({"do": "end", "id": number, "group": group}).encode())

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
        self._control.close()


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def wait_for(pid: int) -> None:
    """Wait for the spawner's end."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
