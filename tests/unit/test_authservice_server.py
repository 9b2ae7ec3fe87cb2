"""The service's limits, and who has their turn when, with a pool of workers that are none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from x2gobroker.authservice import server
from x2gobroker.authservice.protocol import HELLO, MAX_LINE, decode_body, encode_frame
from x2gobroker.authservice.server import STOP_SECONDS, Allowed, Limits, serve
from x2gobroker.authservice.workers import LOOK_SECONDS, MOST_LOOKS, Turnstile, WorkerGoneError

EVERYBODY = Allowed(frozenset({os.geteuid()}), frozenset())
DEADLINE = 10.0
Reply = Callable[[], Awaitable[dict[str, Any]]]


async def granted() -> dict[str, Any]:
    return {"result": "ok", "user": "anna"}


async def never() -> dict[str, Any]:
    await asyncio.sleep(3600)
    raise AssertionError


async def crashes() -> dict[str, Any]:
    raise WorkerGoneError


class StandIn:
    """In place of worker processes: answers each request with `reply`, and keeps what it was sent."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.sent: list[bytes] = []

    @contextlib.asynccontextmanager
    async def worker(self) -> AsyncIterator[StandIn]:
        yield self

    async def send(self, *pieces: bytes | bytearray) -> None:
        self.sent.append(b"".join(bytes(piece) for piece in pieces))

    async def receive(self) -> dict[str, Any]:
        return await self.reply()

    def fill(self) -> None:
        """Nothing is kept in stock."""

    def close(self) -> None:
        """There is nothing to end."""


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def line(self) -> bytes:
        return await asyncio.wait_for(self.reader.readline(), DEADLINE)

    async def ended(self) -> bool:
        with contextlib.suppress(ConnectionResetError):
            return await asyncio.wait_for(self.reader.read(1), DEADLINE) == b""
        return True

    async def frame(self) -> dict[str, Any]:
        head = await asyncio.wait_for(self.reader.readexactly(4), DEADLINE)
        return decode_body(await asyncio.wait_for(self.reader.readexactly(int.from_bytes(head)), DEADLINE))


Connect = Callable[[], Awaitable[Client]]


def with_service(
    path: Path,
    reply: Reply,
    body: Callable[[Connect, StandIn], Awaitable[None]],
    allowed: Allowed = EVERYBODY,
    **limits: Any,
) -> None:
    """Run the service over `reply`, and `body` beside it."""

    async def run() -> None:
        pool = StandIn(reply)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path / "s"))
            listener.listen()
            serving = asyncio.ensure_future(serve(listener, pool, allowed, Limits(**limits)))  # type: ignore[arg-type]
            clients: list[Client] = []

            async def connect() -> Client:
                clients.append(Client(*await asyncio.open_unix_connection(path / "s")))
                return clients[-1]

            try:
                async with asyncio.timeout(DEADLINE):
                    await body(connect, pool)
            finally:
                for client in clients:
                    client.writer.close()
                serving.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await serving

    asyncio.run(run())


def test_lines_are_passed_on_whole_and_answered(tmp_path: Path) -> None:
    async def body(connect: Connect, pool: StandIn) -> None:
        client = await connect()
        for piece in (b"anna\rsec", b"ret\rx2gobroker\nbert", b"\r\r\n"):
            client.send(piece)
            await client.writer.drain()
        assert [await client.line(), await client.line()] == [b"ok\n", b"ok\n"]
        assert pool.sent == [b"L\0\0\0\x16anna\rsecret\rx2gobroker", b"L\0\0\0\x06bert\r\r"]

    with_service(tmp_path, granted, body)


def test_a_full_queue_answers_at_once_and_has_room_again_later(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def waits() -> dict[str, Any]:
        await gate.wait()
        return await granted()

    async def body(connect: Connect, _pool: StandIn) -> None:
        first, second, third = [await connect() for _ in range(3)]
        for client in (first, second):
            client.send(HELLO + encode_frame({}))
            assert await client.line() == HELLO
        await asyncio.sleep(0.05)
        third.send(HELLO + encode_frame({}))
        assert await third.line() == HELLO
        assert (await third.frame())["result"] == "busy"
        gate.set()
        assert [(await client.frame())["result"] for client in (first, second)] == ["ok", "ok"]
        third.send(encode_frame({}))
        assert (await third.frame())["result"] == "ok"

    with_service(tmp_path, waits, body, workers=1, queue=1)


@dataclass(frozen=True)
class Processes(Allowed):
    """Admits everybody, and takes connections for those of these processes, one after the other: ID and user ID."""

    who: Iterator[tuple[int, int]] = field(default_factory=lambda: iter(()))

    def admits(self, peer: socket.socket) -> tuple[bool, int, int]:
        return True, *next(self.who)


def processes(*who: tuple[int, int]) -> Processes:
    return Processes(frozenset(), frozenset(), iter(who))


def test_one_account_has_no_more_than_its_share(tmp_path: Path) -> None:
    """However many processes it has: whoever has taken one over can start more."""

    async def body(connect: Connect, pool: StandIn) -> None:
        first, second, other = [await connect() for _ in range(3)]
        first.send(b"a\rb\rc\n")
        await asyncio.sleep(0.05)
        second.send(b"a\rb\rc\n")
        assert await second.line() == b"fail\n"
        other.send(b"a\rb\rc\n")
        await asyncio.sleep(0.05)
        assert not other.reader.at_eof()
        assert len(pool.sent) == 2

    with_service(tmp_path, never, body, processes((11, 1), (12, 1), (13, 2)), per_user=1)


def test_one_process_has_no_more_than_the_share_of_its_account(tmp_path: Path) -> None:
    async def body(connect: Connect, _pool: StandIn) -> None:
        first, second = await connect(), await connect()
        first.send(b"a\rb\rc\n")
        await asyncio.sleep(0.05)
        second.send(b"a\rb\rc\n")
        assert await second.line() == b"fail\n"

    with_service(tmp_path, never, body, per_user=1)


def test_a_login_that_takes_too_long_is_answered(tmp_path: Path) -> None:
    async def body(connect: Connect, _pool: StandIn) -> None:
        client = await connect()
        client.send(HELLO + encode_frame({}))
        assert await client.line() == HELLO
        assert await client.frame() == {"result": "timeout", "reason": "PAM did not answer within 0.2 s"}

    with_service(tmp_path, never, body, login_seconds=0.2)


def test_a_worker_that_ends_is_answered_for(tmp_path: Path) -> None:
    async def body(connect: Connect, _pool: StandIn) -> None:
        client = await connect()
        client.send(HELLO + encode_frame({}))
        assert await client.line() == HELLO
        assert (await client.frame())["result"] == "failed"

    with_service(tmp_path, crashes, body)


@pytest.mark.parametrize("data", [b"", b"half a line", HELLO, HELLO + b"\0\0\0\x05{"])
def test_a_connection_that_says_nothing_more_is_ended(tmp_path: Path, data: bytes) -> None:
    async def body(connect: Connect, _pool: StandIn) -> None:
        client = await connect()
        client.send(data)
        if data.startswith(HELLO):
            assert await client.line() == HELLO
        assert await client.ended()

    with_service(tmp_path, granted, body, idle_seconds=0.2)


async def works(client: Client) -> bool:
    """Whether a login is answered on this connection."""
    client.send(b"a\rb\rc\n")
    with contextlib.suppress(ConnectionError):
        return await client.line() == b"ok\n"
    return False


def test_for_a_connection_beyond_the_limit_the_longest_waiting_one_makes_way(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    async def body(connect: Connect, _pool: StandIn) -> None:
        first, second = await connect(), await connect()
        assert await works(first)  # so that the second one has waited longer
        third = await connect()
        assert await second.ended()
        assert await works(third)
        fourth = await connect()
        assert await first.ended()
        assert [await works(client) for client in (third, fourth)] == [True, True]

    with_service(tmp_path, granted, body, connections=2)
    own = os.getpid()
    assert said.messages.count(f"too many connections: 1 were ended, 1 of them of process {own}") == 1
    assert sum("too many connections" in message for message in said.messages) == 1, "one line a minute"


def test_silent_connections_take_no_place_from_others(tmp_path: Path) -> None:
    """Whoever opens many, from one process or from one after the other, loses those; others keep what they have."""
    many = [(100, 7)] * 6 + [(100 + number, 7) for number in range(20)]

    async def body(connect: Connect, _pool: StandIn) -> None:
        early = await connect()
        silent = [await connect() for _ in many]
        late = await connect()
        assert [await works(client) for client in (early, late)] == [True, True]
        assert await silent[0].ended()

    with_service(tmp_path, granted, body, processes((1, 5), *many, (2, 6)), connections=8)


def test_of_one_account_the_process_that_has_most_makes_way(tmp_path: Path) -> None:
    async def body(connect: Connect, _pool: StandIn) -> None:
        oldest, first, second, new = [await connect() for _ in range(4)]
        assert await first.ended()
        assert [await works(client) for client in (oldest, second, new)] == [True] * 3

    with_service(tmp_path, granted, body, processes((1, 5), (2, 5), (2, 5), (3, 5)), connections=3)


def test_nobody_whose_request_is_under_way_makes_way(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def waits() -> dict[str, Any]:
        await gate.wait()
        return await granted()

    async def body(connect: Connect, _pool: StandIn) -> None:
        asking, silent = await connect(), await connect()
        asking.send(b"a\rb\rc\n")
        await asyncio.sleep(0.05)
        new = await connect()
        assert await silent.ended()
        new.send(b"a\rb\rc\n")
        await asyncio.sleep(0.05)
        assert await (await connect()).ended(), "nobody can make way"
        gate.set()
        assert [await client.line() for client in (asking, new)] == [b"ok\n"] * 2
        assert await works(await connect())

    with_service(tmp_path, waits, body, connections=2)


def test_whom_nobody_allowed_gets_no_answer(tmp_path: Path) -> None:
    async def body(connect: Connect, pool: StandIn) -> None:
        client = await connect()
        client.send(b"a\rb\rc\n")
        assert await client.ended()
        assert pool.sent == []

    with_service(tmp_path, granted, body, Allowed(frozenset({os.geteuid() + 1}), frozenset({os.getegid() + 12345})))


def test_members_of_an_allowed_group_are_admitted() -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        group = os.getgroups()[-1] if os.getgroups() else os.getegid()
        assert Allowed(frozenset(), frozenset({group})).admits(mine)[0]
        assert Allowed(frozenset(), frozenset({os.getegid()})).admits(mine) == (True, os.getpid(), os.geteuid())
        assert not Allowed(frozenset(), frozenset()).admits(mine)[0]


@pytest.mark.parametrize("count", [MAX_LINE - 1, MAX_LINE])
def test_the_longest_line_and_one_more(tmp_path: Path, count: int) -> None:
    async def body(connect: Connect, pool: StandIn) -> None:
        client = await connect()
        client.send(b"x" * count)
        await asyncio.sleep(0.1)
        if count < MAX_LINE:
            client.send(b"\n")
            assert await client.line() == b"ok\n"
        else:
            assert await client.ended()
            assert pool.sent == []

    with_service(tmp_path, granted, body)


def test_the_latest_has_the_next_turn_and_the_oldest_the_one_behind() -> None:
    order: list[str] = []

    async def run() -> None:
        turnstile = Turnstile(1)
        first = asyncio.Event()

        async def login(name: str, until: asyncio.Event | None = None) -> None:
            async with turnstile.turn():
                order.append(name)
                if until is not None:
                    await until.wait()

        tasks = [asyncio.create_task(login("first", first))]
        for name in ("guess 1", "guess 2", "right"):
            await asyncio.sleep(0)
            tasks.append(asyncio.create_task(login(name)))
        await asyncio.sleep(0.01)
        first.set()
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*tasks)

    asyncio.run(run())
    assert order == ["first", "right", "guess 1", "guess 2"]


def test_nobody_waits_for_ever_while_others_keep_coming() -> None:
    """As many clients as can never all be served at once, each of which comes again as soon as it has its answer."""
    served: Counter[int] = Counter()

    async def run() -> None:
        turnstile = Turnstile(2)

        async def client(number: int) -> None:
            for _ in range(50):
                async with turnstile.turn():
                    await asyncio.sleep(0.001)
                served[number] += 1
                if min(served[other] for other in range(16)) == 0:
                    assert sum(served.values()) < 48, served

        async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
            for number in range(16):
                group.create_task(client(number))

    asyncio.run(run())


class AtWork:
    """In place of a worker process that computes, or waits for somebody."""

    def __init__(self, computes: bool) -> None:
        self.computes = lambda: computes


def test_a_login_that_waits_for_something_keeps_nobody_from_beginning() -> None:
    async def run() -> None:
        turnstile = Turnstile(1)
        async with asyncio.timeout(MOST_LOOKS * LOOK_SECONDS), turnstile.turn() as first:
            first.watch(AtWork(False))  # type: ignore[arg-type]
            async with turnstile.turn() as second:
                second.watch(AtWork(False))  # type: ignore[arg-type]
                async with turnstile.turn():
                    pass
        # the one slot has come back exactly once
        async with asyncio.timeout(DEADLINE), turnstile.turn():
            waiting = asyncio.create_task(turnstile.turn().__aenter__())
            await asyncio.sleep(0.01)
            assert not waiting.done()
            waiting.cancel()

    asyncio.run(run())


def test_a_login_that_computes_keeps_others_from_beginning_for_a_while() -> None:
    async def run() -> None:
        turnstile = Turnstile(1)
        async with asyncio.timeout(DEADLINE), turnstile.turn() as first:
            first.watch(AtWork(True))  # type: ignore[arg-type]
            began = asyncio.get_running_loop().time()
            async with turnstile.turn():
                assert asyncio.get_running_loop().time() - began > (MOST_LOOKS - 1) * LOOK_SECONDS / 2

    asyncio.run(run())


def test_who_gives_up_waiting_takes_no_slot_with_them() -> None:
    async def run() -> None:
        turnstile = Turnstile(1)
        async with turnstile.turn():
            waiting = [asyncio.create_task(turnstile.turn().__aenter__()) for _ in range(3)]
            await asyncio.sleep(0.01)
            for task in waiting:
                task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        async with asyncio.timeout(DEADLINE), turnstile.turn():
            pass

    asyncio.run(run())


def stopping(path: Path, reply: Reply, before: Callable[[Client], Awaitable[None]], then: bytes) -> list[bytes]:
    """A client that has done `before` when the service is told to stop, and says `then` behind that: its answers."""
    said: list[bytes] = []

    async def run() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path / "s"))
            listener.listen()
            pool = StandIn(reply)
            serving = asyncio.ensure_future(serve(listener, pool, EVERYBODY, Limits()))  # type: ignore[arg-type]
            client = Client(*await asyncio.open_unix_connection(path / "s"))
            await before(client)
            serving.cancel()
            await asyncio.sleep(0.2)
            client.send(then)
            async with asyncio.timeout(DEADLINE):
                with contextlib.suppress(ConnectionError):  # it has been ended
                    while line := await client.line():
                        said.append(line)
                        client.writer.write_eof()
                with contextlib.suppress(asyncio.CancelledError):
                    await serving
            client.writer.close()

    asyncio.run(run())
    return said


async def only_connect(client: Client) -> None:
    """Nothing has been said yet."""
    await asyncio.sleep(0.1)


async def say_a_part(client: Client) -> None:
    client.send(b"anna\rsec")
    await client.writer.drain()
    await asyncio.sleep(0.1)


@pytest.mark.parametrize(("before", "then"), [(only_connect, b"anna\rsecret\rs\n"), (say_a_part, b"ret\rs\n")])
def test_who_has_come_before_the_end_still_gets_an_answer(
    tmp_path: Path, before: Callable[[Client], Awaitable[None]], then: bytes
) -> None:
    assert stopping(tmp_path, granted, before, then) == [b"ok\n"]


def test_who_has_had_an_answer_holds_up_no_end(tmp_path: Path) -> None:
    async def ask(client: Client) -> None:
        client.send(b"anna\rsecret\rs\n")
        assert await client.line() == b"ok\n"

    before = time.monotonic()
    assert stopping(tmp_path, granted, ask, b"bert\rsecret\rs\n") == []
    assert time.monotonic() - before < STOP_SECONDS


def test_who_says_nothing_holds_up_the_end_for_a_moment_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STOP_SECONDS", 0.5)
    assert stopping(tmp_path, granted, only_connect, b"") == []


def test_the_end_of_a_service_leaves_its_socket_to_whoever_made_it(tmp_path: Path) -> None:
    """From Python 3.13 on, asyncio would remove it: systemd listened on, and no broker found the way any more."""
    stopping(tmp_path, granted, only_connect, b"anna\rsecret\rs\n")
    assert (tmp_path / "s").is_socket()
