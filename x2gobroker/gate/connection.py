"""One connection of a client: its socket, what it has sent, and what it is to get."""

from __future__ import annotations

import contextlib
import enum
import selectors
import socket
import ssl
from typing import Any

from x2gobroker.gate.framing import Framing

READ_BYTES = 1 << 16
MOST_RECORDS = 8  # of TLS, in one turn


class Phase(enum.Enum):
    """What a connection is waiting for."""

    HANDSHAKE = "handshake"
    HEAD = "head"
    BODY = "body"
    SERVED = "served"  # a thread has the request: nothing is read, and there is no deadline here
    ANSWER = "answer"
    IDLE = "idle"
    LINGER = "linger"  # the answer is sent; what the client still sends is thrown away, so that it reads the answer


class Connection:
    """`client` is who connects and `server` where, as sockets have them. `block` is what counts as one address."""

    def __init__(self, raw: socket.socket, client: Any, server: Any, block: str) -> None:
        raw.setblocking(False)
        self.socket = raw
        self.client = client
        self.server = server
        self.block = block
        self.phase = Phase.HEAD
        self.since = 0.0
        self.deadline = 0.0
        self.held = bytearray()
        self.framing: Framing | None = None
        self.keep = False
        self.registered = 0
        self.lent_bytes = 0  # of the request that a thread has
        self.counted_bytes = 0
        self._out = memoryview(b"")

    def start_tls(self, context: ssl.SSLContext) -> None:
        """From now on through TLS; the handshake is still to come. Raises OSError."""
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.phase = Phase.HANDSHAKE

    def shake_hands(self) -> int:
        """Go on with the handshake; the event it waits for, 0 at its end. Raises OSError."""
        assert isinstance(self.socket, ssl.SSLSocket)  # noqa: S101 - for the type checker
        try:
            self.socket.do_handshake()
        except ssl.SSLWantReadError:
            return selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            return selectors.EVENT_WRITE
        return 0

    def receive(self) -> tuple[bytes, bool]:
        """What has come, and whether this is the end. Raises OSError."""
        found = b""
        for _ in range(MOST_RECORDS):
            try:
                data = self.socket.recv(READ_BYTES)
            except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return found, False
            found += data
            if not data:
                return found, True
            # what TLS has read already wakes nobody
            if not (isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()):
                break
        return found, False

    def put(self, data: bytes) -> None:
        """This is what the client is to get."""
        self._out = memoryview(data)

    @property
    def waiting_bytes(self) -> int:
        """How much is held for this connection."""
        return len(self.held) + self.lent_bytes + len(self._out)

    def send(self) -> int:
        """Send what the client takes now; the event to wait for, 0 when all is sent. Raises OSError."""
        while self._out:
            try:
                self._out = self._out[self.socket.send(self._out) :]
            except (BlockingIOError, InterruptedError, ssl.SSLWantWriteError):
                return selectors.EVENT_WRITE
            except ssl.SSLWantReadError:
                return selectors.EVENT_READ
        return 0

    def say(self, data: bytes) -> None:
        """Send a few bytes in between, if the client takes them now."""
        with contextlib.suppress(OSError):
            self.socket.send(data)

    def end_sending(self) -> None:
        """Tell the client that nothing more comes."""
        with contextlib.suppress(OSError, ValueError):
            if isinstance(self.socket, ssl.SSLSocket):
                self.socket.unwrap()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the socket."""
        with contextlib.suppress(OSError):
            self.socket.close()
