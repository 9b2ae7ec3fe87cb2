"""A websocket of which the event loop takes little in one turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar, Protocol

from websockets.asyncio.server import ServerConnection

READ_BYTES = 1 << 12
CARRIED_BYTES = 1 << 17  # where nobody goes through what is read
MOST_WAITING = 400
END = b"\r\n\r\n"  # of a request
POST = b"POST "  # what no websocket begins with
FIRST_SECONDS = 10.0  # for a client to say anything


class Other(Protocol):
    """Who gets what a browser sends, where the library does not."""

    def take(self, data: bytes) -> None:
        """It has sent this."""

    def pause(self, wait: bool) -> None:
        """It is slow to take, or takes again."""

    def browser_lost(self) -> None:
        """It is gone."""


class Posts(Protocol):
    """Who takes plain requests."""

    def take(self, transport: asyncio.Transport, data: bytes, settled: Callable[[], None]) -> None:
        """This one has begun with POST, and with `data` in all; `settled` is called when it waits no longer."""


class Waiting:
    """The connections that have not been let in yet: of too many, the one that has waited longest makes way."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._all: dict[PatientConnection, None] = {}  # the oldest first

    def enter(self, connection: PatientConnection) -> None:
        """It has just connected."""
        if len(self._all) >= self._most:
            oldest = next(iter(self._all))
            del self._all[oldest]
            oldest.transport.abort()
        self._all[connection] = None

    def leave(self, connection: PatientConnection) -> None:
        """It is let in, or gone."""
        self._all.pop(connection, None)


class PatientConnection(ServerConnection):
    """The library goes through all frames of what it is given before anybody else has a turn, and a quarter of a
    megabyte of empty frames takes it a second. So it is given less.
    """

    waiting: ClassVar[Waiting] = Waiting()
    posts: ClassVar[Posts | None] = None
    _other: Other | None = None
    _last = _first = b""
    _late: asyncio.TimerHandle | None = None  # as long as it may still be a plain request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection begins. Where plain requests are taken, the library hears of it when it is none."""
        read_little(transport)
        if self.posts is not None and isinstance(transport, asyncio.Transport):
            self.transport = transport
            self._late = asyncio.get_running_loop().call_later(FIRST_SECONDS, transport.abort)
        else:
            super().connection_made(transport)
        self.waiting.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.waiting.leave(self)
        if self._late is not None:
            self._late.cancel()
            return
        if self._other is not None:
            self._other.browser_lost()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """The browser has sent something."""
        if self._late is not None:
            self._decide(self._first + data, self._late)
            return
        if self._other is not None:
            self._other.take(data)
            return
        self._last = (self._last + data[-len(END) :])[-len(END) :]
        super().data_received(data)

    def _decide(self, data: bytes, late: asyncio.TimerHandle) -> None:
        """What has come first says whether it is a plain request, which somebody else takes."""
        self._first = data
        if POST.startswith(data):
            return
        late.cancel()
        if data.startswith(POST) and self.posts is not None:
            self.posts.take(self.transport, data, lambda: self.waiting.leave(self))
            return
        self._late, self._first = None, b""
        super().connection_made(self.transport)
        self.data_received(data)

    @property
    def sent_more(self) -> bool:
        """Whether more has come than a request, as long as there is no answer. The library goes on into it."""
        return self._last != END

    def eof_received(self) -> None:
        """The browser sends nothing more. To whom it was handed over hears of that as it closes."""
        if self._other is None and self._late is None:
            super().eof_received()

    def pause_writing(self) -> None:
        """The browser is slow to take."""
        if self._other is None:
            super().pause_writing()
        else:
            self._other.pause(True)

    def resume_writing(self) -> None:
        """It takes again."""
        if self._other is None:
            super().resume_writing()
        else:
            self._other.pause(False)

    def is_to_be_handed_over(self) -> None:
        """From now on the library reads and sends nothing more but the answer to the handshake."""
        self.ping_interval = None
        self.transport.pause_reading()

    def hand_over(self, other: Other) -> None:
        """All that the browser sends from now on goes to this one, as it comes."""
        self._other = other
        read_much(self.transport)
        if not self.transport.is_closing():
            self.transport.resume_reading()
        else:
            other.browser_lost()

    def is_in(self) -> None:
        """It has been let in: it makes way for nobody any more."""
        self.waiting.leave(self)


def patient_connections(most_waiting: int = MOST_WAITING, plain: Posts | None = None) -> type[PatientConnection]:
    """The connections of one service. `plain` gets those that begin with a plain request."""

    class Connection(PatientConnection):
        waiting = Waiting(most_waiting)
        posts = plain

    return Connection


def read_little(transport: asyncio.BaseTransport) -> None:
    """Have the event loop take at most READ_BYTES of this transport in one turn."""
    _read(transport, READ_BYTES)


def read_much(transport: asyncio.BaseTransport) -> None:
    """The same with CARRIED_BYTES."""
    _read(transport, CARRIED_BYTES)


def _read(transport: asyncio.BaseTransport, size: int) -> None:
    protocol = getattr(transport, "_ssl_protocol", None)
    if protocol is None:
        transport.max_size = size  # type: ignore[attr-defined]
    else:  # in TLS, the size of the buffer that the socket is read into
        protocol.max_size = size
        protocol._ssl_buffer = bytearray(size)
        protocol._ssl_buffer_view = memoryview(protocol._ssl_buffer)
