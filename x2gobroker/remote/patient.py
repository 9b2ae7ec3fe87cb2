"""A websocket of which the event loop takes little in one turn."""

from __future__ import annotations

import asyncio

from websockets.asyncio.server import ServerConnection

READ_BYTES = 1 << 12


class PatientConnection(ServerConnection):
    """The library goes through all frames of what it is given before anybody else has a turn, and a quarter of a
    megabyte of empty frames takes it a second. So it is given less.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection begins."""
        read_little(transport)
        super().connection_made(transport)


def read_little(transport: asyncio.BaseTransport) -> None:
    """Have the event loop take at most READ_BYTES of this transport in one turn."""
    protocol = getattr(transport, "_ssl_protocol", None)
    if protocol is None:
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]
    else:  # in TLS, the size of the buffer that the socket is read into
        protocol.max_size = READ_BYTES
        protocol._ssl_buffer = bytearray(READ_BYTES)
        protocol._ssl_buffer_view = memoryview(protocol._ssl_buffer)
