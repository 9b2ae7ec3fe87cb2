"""The service's side of the processes of scripts, with a spawner that takes nothing for a while, or is gone."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from x2gobroker.privilege import write_message
from x2gobroker.remote.crossing import FROM_WORKER
from x2gobroker.remote.worker import LARGEST_MESSAGE
from x2gobroker.remote.workers import WorkerError, Workers

MANY = 400  # the socket to the spawner holds fewer messages


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The service's end of the socket to the spawner, and the spawner's."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine.setblocking(False)
    theirs.settimeout(10)
    with mine, theirs:
        yield mine, theirs


def taken(spawner: socket.socket) -> tuple[dict[str, Any], socket.socket | None]:
    """The next message, and the channel that came with it."""
    data, descriptors, _, _ = socket.recv_fds(spawner, LARGEST_MESSAGE, 1)
    return json.loads(data), socket.socket(fileno=descriptors[0]) if descriptors else None


def answer(spawner: socket.socket, most: int) -> list[int]:
    """Answer the first question to each of so many workers. Returns the numbers of those that are to end."""
    ended = []
    for _ in range(most):
        message, channel = taken(spawner)
        if channel is None:
            ended.append(message["id"])
            continue
        with channel:
            channel.recv(LARGEST_MESSAGE)
            channel.send(write_message("done", {}, FROM_WORKER))
    return ended


def test_messages_wait_for_a_spawner_that_does_not_keep_up(ends: tuple[socket.socket, socket.socket]) -> None:
    """None gets lost, neither for new workers nor of those that are to end."""
    control, spawner = ends

    async def run() -> None:
        workers = Workers(control)
        made = [workers.make("Desk", index) for index in range(MANY)]
        asked = asyncio.gather(*(worker.ask("load", 10) for worker in made))
        assert await asyncio.to_thread(answer, spawner, MANY) == []
        await asked
        for worker in made:
            worker.close(group=True)
        assert await asyncio.to_thread(answer, spawner, MANY) == list(range(1, MANY + 1))
        workers.close()

    asyncio.run(run())


def test_a_worker_that_is_given_up_before_the_spawner_hears_of_it_is_not_made(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """A spawner that hangs costs no more descriptors than there are workers."""
    control, spawner = ends

    async def run() -> None:
        workers = Workers(control)
        made = [workers.make("Desk", index) for index in range(MANY)]
        last = made.pop()
        with pytest.raises(WorkerError, match="did not load"):
            await last.ask("load", 0.01)
        last.close(group=True)
        made[0].close(group=False)
        assert await asyncio.to_thread(answer_none, spawner, MANY) == [*range(1, MANY), 1]
        for worker in made:
            worker.close(group=False)
        workers.close()

    asyncio.run(run())


def answer_none(spawner: socket.socket, most: int) -> list[int]:
    """The numbers in so many messages, whose workers end at once."""
    numbers = []
    for _ in range(most):
        message, channel = taken(spawner)
        numbers.append(message["id"])
        if channel is not None:
            channel.close()
    return numbers


def test_without_a_spawner_there_are_no_workers(ends: tuple[socket.socket, socket.socket]) -> None:
    """Those that it had not heard of do not come either, and nothing waits for them."""
    control, spawner = ends

    async def run() -> None:
        workers = Workers(control)
        made = [workers.make("Desk", index) for index in range(MANY)]
        spawner.close()
        answers = await asyncio.gather(*(worker.ask("load", 10) for worker in made), return_exceptions=True)
        assert {str(error) for error in answers} == {"the script's process has ended"}
        with pytest.raises(WorkerError, match="no process for a script: Broken pipe"):
            workers.make("Desk", 0)
        for worker in made:
            worker.close(group=True)
        workers.close()

    asyncio.run(run())


def test_without_descriptors_there_are_no_workers_for_a_moment(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as whatever else goes wrong with workers: it is tried again, and no place is forgotten."""

    def fails(*_arguments: int) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socketpair", fails)
    with pytest.raises(WorkerError, match="no process for a script: Too many open files"):
        Workers(ends[0]).make("Desk", 0)


def test_what_still_waits_is_given_up_with_the_service(ends: tuple[socket.socket, socket.socket]) -> None:
    control, _spawner = ends

    async def run() -> None:
        workers = Workers(control)
        made = [workers.make("Desk", index) for index in range(MANY)]
        workers.close()
        made[0].close(group=False)
        with pytest.raises(WorkerError, match="the script's process has ended"):
            await made[-1].ask("load", 10)

    asyncio.run(run())
