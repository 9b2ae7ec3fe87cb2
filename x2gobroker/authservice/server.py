"""The service: connections, limits and deadlines. What a request holds is for the worker process to read."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import socket
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from x2gobroker.authservice.protocol import (
    BUSY,
    FAIL_LINE,
    FAILED,
    FRAME_JOB,
    HELLO,
    LENGTH,
    LINE_JOB,
    MAX_FRAME,
    MAX_LINE,
    OK,
    OK_LINE,
    PROMPT,
    TIMEOUT,
    ProtocolError,
    encode_frame,
    frame_length,
)
from x2gobroker.authservice.workers import WorkerGoneError, WorkerPool
from x2gobroker.logs import authservice_log, field

CREDENTIALS = struct.Struct("3i")
SO_PEERGROUPS = 59
MOST_GROUP_BYTES = 1024
STOP_SECONDS = 5.0
STEP_SECONDS = 0.02
TELL_SECONDS = 60.0
BACKLOG = 1024
ANSWERED = ("result", "reason", "delay_ms", "wrong_present", "looked", "ticket")
BUFFER_SIZE = max(MAX_LINE, LENGTH.size + MAX_FRAME)


@dataclass(frozen=True)
class Limits:
    """What the service puts up with. Seconds and numbers; `services` are the PAM services that may be asked.

    `per_user` is for all processes of one user ID together: whoever has taken one of them over can start more.
    """

    workers: int = 32
    queue: int = 256
    per_user: int = 256
    connections: int = 1024
    login_seconds: float = 30.0
    idle_seconds: float = 15.0
    services: frozenset[str] = frozenset({"x2gobroker"})


@dataclass(frozen=True)
class Allowed:
    """Which local users may ask: these, and the members of these groups."""

    users: frozenset[int]
    groups: frozenset[int]

    def admits(self, peer: socket.socket) -> tuple[bool, int, int]:
        """Whether the process at the other end may ask; its process and user ID."""
        data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        pid, user, group = CREDENTIALS.unpack(data)
        if user in self.users or group in self.groups:
            return True, pid, user
        try:
            raw = peer.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, MOST_GROUP_BYTES)
        except OSError:  # in more groups than that: not known is not allowed
            return False, pid, user
        groups = set(struct.unpack(f"{len(raw) // 4}I", raw))
        return bool(groups & self.groups), pid, user


class Service:
    """Counts what is under way, and passes requests on to worker processes."""

    def __init__(self, pool: WorkerPool, allowed: Allowed, limits: Limits) -> None:
        self.pool = pool
        self.allowed = allowed
        self.limits = limits
        self.connections: set[Connection] = set()
        self.under_way: Counter[int] = Counter()
        self._ended: Counter[int] = Counter()
        self._next_word = 0.0

    def has_room_for(self, user: int) -> bool:
        """Whether one more login may be begun or queued for processes of this user ID."""
        room = self.limits.workers + self.limits.queue
        return self.under_way.total() < room and self.under_way[user] < self.limits.per_user

    def enter(self, connection: Connection) -> bool:
        """Take a new connection; whether there is room for it, for which another one may have had to make way."""
        if len(self.connections) >= self.limits.connections:
            going = self._who_makes_way()
            self._count(connection.peer if going is None else going.peer)
            if going is None:
                return False
            self.connections.discard(going)
            going.close()
        self.connections.add(connection)
        return True

    def _who_makes_way(self) -> Connection | None:
        """Of those that have no request under way, who has waited longest.

        It is one of the user who has most, and of that user's process which has most: nobody takes places from those
        who have fewer.
        """
        waiting = [known for known in self.connections if known.busy is None or known.busy.done()]
        users = Counter(known.user for known in waiting)
        peers = Counter((known.user, known.peer) for known in waiting)
        return min(
            waiting, key=lambda one: (-users[one.user], -peers[one.user, one.peer], one.waits_since), default=None
        )

    def _count(self, peer: int) -> None:
        """One line a minute: a line for each would be a way to fill the log."""
        self._ended[peer] += 1
        now = asyncio.get_running_loop().time()
        if now < self._next_word:
            return
        self._next_word = now + TELL_SECONDS
        most, count = self._ended.most_common(1)[0]
        authservice_log.warning(
            "too many connections: %d were ended, %d of them of process %d", self._ended.total(), count, most
        )
        self._ended.clear()

    async def perform(self, connection: Connection, kind: bytes, job: bytearray) -> Mapping[str, Any]:
        """Have one request done; what came of it. `job` is wiped as soon as it is handed on."""
        user = connection.user
        if not self.has_room_for(user):
            wipe(job)
            return {"result": BUSY, "reason": "too many logins at the same time"}
        self.under_way[user] += 1
        whom: dict[str, Any] = {}
        try:
            async with asyncio.timeout(self.limits.login_seconds), self.pool.worker() as worker:
                try:
                    await worker.send(kind, LENGTH.pack(len(job)), job)
                finally:
                    wipe(job)
                while True:
                    reply: dict[str, Any] = await worker.receive()
                    if "result" not in reply:
                        whom = reply
                        continue
                    if reply["result"] != PROMPT:
                        return reply
                    answer = await connection.ask(reply)
                    try:
                        await worker.send(LENGTH.pack(len(answer)), answer)
                    finally:
                        wipe(answer)
        except TimeoutError:
            return {**whom, "result": TIMEOUT, "reason": f"PAM did not answer within {self.limits.login_seconds:g} s"}
        except WorkerGoneError:
            reason = "the worker process ended; a PAM module may have crashed"
            return {**whom, "result": FAILED, "reason": reason, "looked": True}
        except OSError as error:
            return {"result": FAILED, "reason": f"no worker process could be started: {error.strerror}"}
        finally:
            wipe(job)
            self.under_way[user] -= 1
            if not self.under_way[user]:
                del self.under_way[user]

    async def stop(self) -> None:
        """Answer who has come already, within STOP_SECONDS, and close all connections."""
        loop = asyncio.get_running_loop()
        end = loop.time() + STOP_SECONDS
        await asyncio.sleep(STEP_SECONDS)  # connections that were just accepted are made meanwhile
        while any(connection.is_owed for connection in self.connections) and loop.time() < end:
            await asyncio.sleep(STEP_SECONDS)
        for connection in list(self.connections):
            connection.close()


def wipe(data: bytearray) -> None:
    """Overwrite what may hold a password."""
    data[:] = bytes(len(data))


class Connection(asyncio.BufferedProtocol):
    """One client: collects requests in a buffer that is wiped behind each, and serves them one after the other."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.peer = 0
        self.user = -1
        self.waits_since = 0.0
        self._buffer = bytearray(BUFFER_SIZE)
        self._filled = 0
        self._framed = False
        self._greeted = False
        self._ended = False
        self._answered = False
        self.busy: asyncio.Task[None] | None = None
        self._question: asyncio.Future[bytearray] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Look who it is, and refuse whom we do not know."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport
        try:
            admitted, pid, user = self.service.allowed.admits(transport.get_extra_info("socket"))
        except (OSError, struct.error):
            admitted, pid, user = False, 0, -1
        self.peer, self.user = pid, user
        if not admitted:
            authservice_log.warning("connection of process %d, user ID %d, refused: not allowed to ask", pid, user)
            transport.abort()
            return
        if self.service.enter(self):
            self._wait_for_more()
        else:
            transport.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget everything; a login under way is given up."""
        self.service.connections.discard(self)
        wipe(self._buffer)
        for pending in (self._idle, self.busy, self._question):
            if pending is not None:
                pending.cancel()

    @property
    def is_owed(self) -> bool:
        """Whether an answer is still to come: to a request that is under way, or to the first one, which may be."""
        return self.busy is not None or not self._answered

    def get_buffer(self, _size: int) -> memoryview:
        """Where the next bytes go."""
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, count: int) -> None:
        """More bytes are there. Only a connection that was admitted is ever listened to."""
        self._filled += count
        if self in self.service.connections:
            self._take_requests()

    def eof_received(self) -> bool:
        """No more requests; what is under way is still answered, unless nobody is there to read it."""
        self._ended = True
        if self._question is not None and not self._question.done():
            return False
        return self.busy is not None and not self.busy.done() and not self._is_peer_gone()

    def _is_peer_gone(self) -> bool:
        """Whether the other end is closed, rather than only done with sending."""
        if self._transport is None:
            return True
        poller = select.poll()
        poller.register(self._transport.get_extra_info("socket").fileno(), 0)  # POLLHUP is always reported
        return bool(poller.poll(0))

    def _wait_for_more(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        loop = asyncio.get_running_loop()
        self.waits_since = loop.time()
        self._idle = loop.call_later(self.service.limits.idle_seconds, self.close)

    def close(self) -> None:
        """End the connection, whatever the other side does."""
        if self._transport is not None:
            self._transport.abort()

    def _take_requests(self) -> None:
        """Serve the next whole request of the buffer, unless one is under way."""
        try:
            if self._question is not None and not self._question.done():
                answer = self._next_frame()
                if answer is not None:
                    self._question.set_result(answer)
                return
            if self.busy is not None and not self.busy.done():
                self._pause(self._filled >= len(self._buffer))
                return
            job = self._next_frame() if self._framed else self._next_line()
        except ProtocolError as error:
            authservice_log.warning("process %d sends what is no request: %s", self.peer, error)
            self.close()
            return
        if job is not None:
            if self._idle is not None:
                self._idle.cancel()
            kind = FRAME_JOB if self._framed else LINE_JOB
            self.busy = asyncio.get_running_loop().create_task(self._serve(kind, job))

    def _pause(self, full: bool) -> None:
        if self._transport is not None and full:
            self._transport.pause_reading()

    def _next_line(self) -> bytearray | None:
        """The next line of the buffer, without its end; None when it is not whole yet."""
        end = self._buffer.find(b"\n", 0, self._filled)
        if end < 0:
            if self._filled >= MAX_LINE:
                raise ProtocolError(f"a line of more than {MAX_LINE} bytes")
            return None
        if not self._greeted and end + 1 == len(HELLO) and self._buffer.startswith(HELLO):
            self._greeted = self._framed = True
            self._cut(0, end + 1)
            self._write(HELLO)
            return self._next_frame()
        self._greeted = True
        return self._cut(end, end + 1)

    def _next_frame(self) -> bytearray | None:
        """The body of the next frame of the buffer; None when it is not whole yet."""
        if self._filled < LENGTH.size:
            return None
        whole = LENGTH.size + frame_length(self._buffer[: LENGTH.size])
        if self._filled < whole:
            return None
        body = self._cut(whole, whole)
        del body[: LENGTH.size]
        return body

    def _cut(self, count: int, consumed: int) -> bytearray:
        """Take the first `count` bytes out of the buffer, drop `consumed`, and wipe what they leave behind."""
        taken = self._buffer[:count]
        left = self._filled - consumed
        self._buffer[:left] = self._buffer[consumed : self._filled]
        self._buffer[left : self._filled] = bytes(consumed)
        self._filled = left
        return taken

    async def ask(self, prompt: Mapping[str, Any]) -> bytearray:
        """Put a question of PAM's to the client; the body of its answer."""
        self._question = asyncio.get_running_loop().create_future()
        self._write(encode_frame({key: prompt.get(key) for key in ("result", "text", "echo")}))
        if self._transport is not None:
            self._transport.resume_reading()
        try:
            self._take_requests()
            if self._ended and not self._question.done():
                self.close()
            return await self._question
        finally:
            self._question = None

    async def _serve(self, kind: bytes, job: bytearray) -> None:
        """One request from beginning to end."""
        reply = await self.service.perform(self, kind, job)
        result, whom = str(reply.get("result")), field(str(reply.get("user", "")))
        authservice_log.log(
            logging.INFO if result == OK else logging.WARNING,
            "login user=%s process=%d outcome=%s reason=%s",
            whom,
            self.peer,
            result,
            field(str(reply.get("reason", "")), 200),
        )
        if fault := str(reply.get("ticket_fault") or ""):
            authservice_log.warning("no Kerberos ticket for user=%s: %s", whom, field(fault, 200))
        if kind == FRAME_JOB:
            self._write(encode_frame({key: reply[key] for key in ANSWERED if key in reply}))
        else:
            delay = reply.get("delay_ms", 0)
            if isinstance(delay, int) and delay > 0:
                await asyncio.sleep(delay / 1000)  # the old form has no way to say how long PAM wants to wait
            self._write(OK_LINE if result == OK else FAIL_LINE)
        self.busy = None
        self._answered = True
        self._wait_for_more()
        if self._transport is not None:
            self._transport.resume_reading()
        self._take_requests()
        if self._ended and self.busy is None and self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        """Send; a client that never reads is cut off rather than remembered."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(data)
        if transport.get_write_buffer_size() > MAX_FRAME:
            authservice_log.warning("process %d does not read its answers; connection ended", self.peer)
            transport.abort()


async def serve(listener: socket.socket, pool: WorkerPool, allowed: Allowed, limits: Limits) -> None:
    """Serve until cancelled; then who has come already is still answered."""
    service = Service(pool, allowed, limits)
    pool.fill()
    # not create_unix_server: from Python 3.13 on, that one removes the socket's file at its end, and the next service,
    # or systemd, whose socket this is, would listen where nobody finds it
    server = await asyncio.get_running_loop().create_server(lambda: Connection(service), sock=listener, backlog=BACKLOG)
    authservice_log.info("authentication service: process %d is ready", os.getpid())
    try:
        await asyncio.get_running_loop().create_future()  # serve_forever() would wait for who says nothing
    finally:
        server.close()
        await service.stop()
        pool.close()
