"""The loop around all connections of a worker process."""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import select
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from x2gobroker.gate.connection import Connection, Phase
from x2gobroker.gate.credentials import unfolded
from x2gobroker.gate.framing import Framing
from x2gobroker.gate.limits import Limits
from x2gobroker.gate.tls import Tls
from x2gobroker.logs import broker_log, field
from x2gobroker.model.penalty import address_block

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
MOST_ACCEPTS = 64  # in one turn
PATIENCE_SECONDS = 1.0  # for which nobody has to make way for others
LOOK_SECONDS = 0.25
PAUSE_SECONDS = 0.2
TELL_SECONDS = 60.0
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
REASONS = {400: "Bad Request", 408: "Request Timeout", 413: "Content Too Large", 431: "Request Header Fields Too Large"}
FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def refusal(status: int) -> bytes:
    """A whole answer with nothing but its status."""
    return f"HTTP/1.1 {status} {REASONS[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode("ascii")


def _somebody_waits(listener: socket.socket) -> bool:
    found = select.poll()  # which needs no file of its own
    found.register(listener, select.POLLIN)
    return bool(found.poll(0))


class Door:
    """Takes connections, and calls `serve` with each request that is whole; the answer comes by `answered`.

    `serve` gets the connection, the bytes of the request, and whether it is the last one there; it must not wait.
    `is_exempt` says of an address whether it may have as many connections as it likes. All but `answered` and `wake`
    belong to one thread.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        limits: Limits,
        serve: Callable[[Connection, bytes, bool], None],
        is_exempt: Callable[[str], bool],
        tls: Tls | None = None,
    ) -> None:
        self._listeners = listeners
        self._limits = limits
        self._serve = serve
        self._is_exempt = is_exempt
        self._tls = tls
        self._selector = selectors.DefaultSelector()
        self._waking, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake: int | None = wake
        self._pipe = threading.RLock()  # a signal may come while this thread has it
        self._selector.register(self._waking, READ)
        self._answers: queue.SimpleQueue[tuple[Connection, bytes, bool]] = queue.SimpleQueue()
        self._all: dict[Connection, None] = {}  # the oldest first
        self._blocks: dict[str, dict[Connection, None]] = {}
        self._held_bytes = 0
        self._listening = False
        self._open = True
        self._paused_until = 0.0
        self._next_look = 0.0
        self._ended: Counter[str] = Counter()
        self._next_word = 0.0

    def __len__(self) -> int:
        """How many connections there are."""
        return len(self._all)

    def answered(self, connection: Connection, answer: bytes, keep: bool) -> None:
        """The whole answer to the request of this connection; `keep`: another one may follow. From any thread."""
        self._answers.put((connection, answer, keep))
        self.wake()

    def wake(self) -> None:
        """Have `turn` come back soon. From any thread, and from signal handlers."""
        with self._pipe, contextlib.suppress(BlockingIOError):  # full: it will wake up anyway
            if self._wake is not None:
                os.write(self._wake, b"\0")

    def turn(self, seconds: float) -> None:
        """Do what there is to do; wait for it so long at most."""
        self._listen(self._open and time.monotonic() >= self._paused_until and self._has_room())
        for key, _ in self._selector.select(min(seconds, LOOK_SECONDS) if self._all else seconds):
            if key.fileobj == self._waking:
                with contextlib.suppress(OSError):
                    os.read(self._waking, 4096)
            elif isinstance(key.data, Connection):
                self._guarded(key.data, self._ready)
            else:
                self._accept(key.data)
        self._take_answers()
        self._end_late()

    def shut(self) -> None:
        """Take no more connections, and soon end those that are between two requests."""
        self._open = False
        self._listen(False)
        now = time.monotonic()
        for connection in self._all:
            wait = 2.5 * self._limits.linger_seconds if connection.phase is Phase.BODY else self._limits.linger_seconds
            if connection.phase not in (Phase.SERVED, Phase.ANSWER):
                connection.deadline = min(connection.deadline, now + wait)

    def close(self) -> None:
        """End everything. Answers that still come go nowhere."""
        for connection in list(self._all):
            self._drop(connection)
        self._selector.close()
        with self._pipe:  # the number may soon be another file's
            wake, self._wake = self._wake, None
        for end in (self._waking, wake):
            if end is not None:
                os.close(end)

    # --- new connections

    def _listen(self, wanted: bool) -> None:
        if wanted == self._listening:
            return
        self._listening = wanted
        for listener in self._listeners:
            if wanted:
                listener.setblocking(False)
                self._selector.register(listener, READ, listener)
            else:
                self._selector.unregister(listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(MOST_ACCEPTS):
            is_full = len(self._all) >= self._limits.connections
            going = self._who_makes_way() if is_full else None
            if is_full and going is None:
                return
            try:
                raw, client = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in FULL:
                    if not _somebody_waits(listener):  # it is said all the same
                        return
                    if not self._make_room():
                        self._paused_until = time.monotonic() + PAUSE_SECONDS
                        return
                continue  # a client that is gone again
            self._enter(raw, client, listener.getsockname(), going)

    def _enter(self, raw: socket.socket, client: object, server: object, going: Connection | None) -> None:
        """Take a new connection; `going` makes way for it, unless one of its own address has to."""
        address = str(client[0]) if isinstance(client, tuple) else ""
        block = address_block(address) if address else ""
        mine = self._blocks.get(block, {})
        if len(mine) >= self._limits.per_address and not self._is_exempt(address):
            going = self._longest_waiting(mine, 0.0)
            self._count(block)
            if going is None:
                raw.close()
                return
        elif going is not None:
            self._count(going.block)
        if going is not None:
            self._drop(going)
        connection = Connection(raw, client, server, block)
        self._all[connection] = None
        self._blocks.setdefault(block, {})[connection] = None
        self._guarded(connection, self._greet)

    def _greet(self, connection: Connection) -> None:
        if self._tls is None:
            self._expect(connection)
        else:
            connection.start_tls(self._tls.current())
            self._enter_phase(connection, Phase.HANDSHAKE, self._limits.handshake_seconds)
            self._want(connection, READ)

    # --- room for new ones

    def _has_room(self) -> bool:
        return len(self._all) < self._limits.connections or self._who_makes_way() is not None

    def _make_room(self) -> bool:
        found = self._who_makes_way()
        if found is None:
            return False
        self._count(found.block)
        self._drop(found)
        return True

    def _who_makes_way(self) -> Connection | None:
        idle = [known for known in self._all if known.phase in (Phase.IDLE, Phase.LINGER)]
        return self._longest_waiting(idle, 0.0) or self._longest_waiting(self._all, PATIENCE_SECONDS)

    @staticmethod
    def _longest_waiting(connections: Iterable[Connection], patience: float) -> Connection | None:
        before = time.monotonic() - patience
        waiting = (known for known in connections if known.phase is not Phase.SERVED and known.since <= before)
        return min(waiting, key=lambda known: known.since, default=None)

    # --- what a connection goes through

    def _guarded(self, connection: Connection, step: Callable[[Connection], None]) -> None:
        """A step, which ends the connection where the connection itself is broken."""
        try:
            step(connection)
        except (OSError, ValueError):
            self._drop(connection)
        if connection in self._all:
            self._held_bytes += connection.waiting_bytes - connection.counted_bytes
            connection.counted_bytes = connection.waiting_bytes
        while self._held_bytes > self._limits.held_bytes:
            going = self._longest_waiting((known for known in self._all if known.counted_bytes), 0.0)
            if going is None:
                return
            self._count(going.block)
            self._drop(going)

    def _ready(self, connection: Connection) -> None:
        if connection.phase is Phase.HANDSHAKE:
            wanted = connection.shake_hands()
            if wanted:
                self._want(connection, wanted)
            else:
                self._expect(connection)
                self._read(connection)  # TLS may have read more than the handshake
        elif connection.phase is Phase.ANSWER:
            self._send(connection)
        elif connection.phase is Phase.LINGER:
            if connection.receive()[1]:
                self._drop(connection)
        else:
            self._read(connection)

    def _expect(self, connection: Connection) -> None:
        """From now on, the header of the first or next request is due."""
        connection.framing = Framing(self._limits)
        self._enter_phase(connection, Phase.HEAD, self._limits.head_seconds)
        self._want(connection, READ)

    def _read(self, connection: Connection) -> None:
        data, ended = connection.receive()
        if data:
            connection.held += data
            if connection.phase is Phase.IDLE:
                self._enter_phase(connection, Phase.HEAD, self._limits.head_seconds)
            self._look(connection)
        if ended and connection.phase is not Phase.SERVED:
            self._drop(connection)

    def _look(self, connection: Connection) -> None:
        framing = connection.framing
        assert framing is not None  # noqa: S101 - set before anything is read
        if framing.look(connection.held):
            if framing.refusal:
                self._refuse(connection, framing.refusal)
            else:
                self._hand_over(connection, framing)
        elif framing.has_head and connection.phase is Phase.HEAD:
            self._enter_phase(connection, Phase.BODY, self._limits.body_seconds)
            if framing.waits:
                connection.say(GO_ON)

    def _hand_over(self, connection: Connection, framing: Framing) -> None:
        request = unfolded(bytes(connection.held[: framing.end]))
        del connection.held[: framing.end]
        connection.lent_bytes = len(request)
        self._want(connection, 0)
        self._enter_phase(connection, Phase.SERVED, float("inf"))
        self._serve(connection, request, framing.is_last or not self._open)

    def _take_answers(self) -> None:
        while True:
            try:
                connection, answer, keep = self._answers.get_nowait()
            except queue.Empty:
                return
            if connection in self._all:
                self._guarded(connection, lambda one, data=answer, more=keep: self._answer(one, data, more))  # type: ignore[misc]

    def _answer(self, connection: Connection, answer: bytes, keep: bool) -> None:
        connection.keep = keep and self._open and connection.framing is not None and not connection.framing.is_last
        connection.lent_bytes = 0
        connection.put(answer)
        self._enter_phase(connection, Phase.ANSWER, self._limits.answer_seconds)
        self._send(connection)

    def _send(self, connection: Connection) -> None:
        wanted = connection.send()
        if wanted:
            self._want(connection, wanted)
        elif connection.keep and self._open:
            self._expect(connection)
            if connection.held:
                self._look(connection)
            else:
                self._enter_phase(connection, Phase.IDLE, self._limits.idle_seconds)
        else:
            connection.held.clear()
            connection.end_sending()
            self._enter_phase(connection, Phase.LINGER, self._limits.linger_seconds)
            self._want(connection, READ)

    def _refuse(self, connection: Connection, status: int) -> None:
        connection.held.clear()
        connection.keep = False
        connection.put(refusal(status))
        self._enter_phase(connection, Phase.ANSWER, self._limits.linger_seconds)
        self._send(connection)

    @staticmethod
    def _enter_phase(connection: Connection, phase: Phase, seconds: float) -> None:
        connection.phase = phase
        connection.since = time.monotonic()
        connection.deadline = connection.since + seconds

    def _want(self, connection: Connection, events: int) -> None:
        if events == connection.registered:
            return
        if not connection.registered:
            self._selector.register(connection.socket, events, connection)
        elif events:
            self._selector.modify(connection.socket, events, connection)
        else:
            self._selector.unregister(connection.socket)
        connection.registered = events

    # --- the end

    def _end_late(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        for connection in [known for known in self._all if known.deadline < now]:
            quiet = connection.phase in (Phase.IDLE, Phase.LINGER) or not (connection.held or self._tls)
            if not quiet:
                self._count(connection.block)
            if connection.phase in (Phase.HEAD, Phase.BODY) and connection.held:
                self._guarded(connection, lambda one: self._refuse(one, 408))
            else:
                self._drop(connection)
        self._tell(now)

    def _drop(self, connection: Connection) -> None:
        if connection not in self._all:
            return
        del self._all[connection]
        mine = self._blocks[connection.block]
        del mine[connection]
        if not mine:
            del self._blocks[connection.block]
        self._held_bytes -= connection.counted_bytes
        with contextlib.suppress(OSError, ValueError, KeyError):
            self._want(connection, 0)
        connection.close()

    def _count(self, block: str) -> None:
        self._ended[block] += 1

    def _tell(self, now: float) -> None:
        """One line a minute: a line for each would be a way to fill the log."""
        if self._ended and now >= self._next_word:
            self._next_word = now + TELL_SECONDS
            block, most = self._ended.most_common(1)[0]
            broker_log.warning(
                "daemon: %d connections were ended, which took too long or were too many; %d of them from %s",
                self._ended.total(),
                most,
                field(block),
            )
            self._ended.clear()
