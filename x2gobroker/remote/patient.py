"""A websocket of which the event loop takes little in one turn."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from websockets.asyncio.server import ServerConnection

READ_BYTES = 1 << 12
MOST_WAITING = 400


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

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection begins."""
        read_little(transport)
        super().connection_made(transport)
        self.waiting.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.waiting.leave(self)
        super().connection_lost(exc)

    def is_in(self) -> None:
        """It has been let in: it makes way for nobody any more."""
        self.waiting.leave(self)


def patient_connections(most_waiting: int = MOST_WAITING) -> type[PatientConnection]:
    """The connections of one service."""

    class Connection(PatientConnection):
        waiting = Waiting(most_waiting)

    return Connection


def read_little(transport: asyncio.BaseTransport) -> None:
    """Have the event loop take at most READ_BYTES of this transport in one turn."""
    protocol = getattr(transport, "_ssl_protocol", None)
    if protocol is None:
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]
    else:  # in TLS, the size of the buffer that the socket is read into
        protocol.max_size = READ_BYTES
        protocol._ssl_buffer = bytearray(READ_BYTES)
        protocol._ssl_buffer_view = memoryview(protocol._ssl_buffer)
