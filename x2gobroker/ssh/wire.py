"""What a paramiko transport reads and writes: a socket with limits that paramiko does not have."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
import weakref
from collections.abc import Iterator

import paramiko

BEFORE_LOGIN_BYTES = 1 << 20
LONGEST_READ = 300 * 1024  # OpenSSH's packets have 256 KiB at most
STALL_SECONDS = 5.0
CLOSING_SECONDS = 0.2
# How long reading waits on an idle connection. paramiko asks for a tenth: 2000 wake-ups a second with 200 servers that
# are watched. Who closes a connection wakes it at once, and what else paramiko looks after (keepalives) has as long.
IDLE_SECONDS = 5.0

_SOCKETS: weakref.WeakSet[Wire] = weakref.WeakSet()


class Wire:
    """A connected socket, or a channel of another connection, with limits.

    Before the login, the other side may send BEFORE_LOGIN_BYTES in all; afterwards, one packet may have LONGEST_READ
    bytes. Writing that makes no progress ends the connection: after STALL_SECONDS, or at the thread's own deadline.
    """

    def __init__(self, inner: socket.socket | paramiko.Channel) -> None:
        self.inner = inner
        # the reader alone counts, the login alone lifts the limit: what both wrote would be lost now and then
        self._received = 0
        self._is_limited = True
        self._thread = threading.local()
        self._idle: select.poll | None = None
        if isinstance(inner, socket.socket):
            _SOCKETS.add(self)

    def logged_in(self) -> None:
        """From now on any amount may come, and reading waits for IDLE_SECONDS whatever timeout is set."""
        self._is_limited = False
        if isinstance(self.inner, socket.socket):
            self._idle = select.poll()
            self._idle.register(self.inner, select.POLLIN)

    @contextlib.contextmanager
    def deadline(self, end: float) -> Iterator[None]:
        """Writing in this thread gives up at `end` (monotonic), if it makes no progress."""
        self._thread.end = end
        try:
            yield
        finally:
            self._thread.end = None

    def recv(self, count: int) -> bytes:
        """As a socket does it. Raises ConnectionAbortedError at the limits."""
        if count > LONGEST_READ:
            raise ConnectionAbortedError(0, "a packet that is too long")
        if self._idle is not None and not self._idle.poll(IDLE_SECONDS * 1000):
            raise TimeoutError
        data = self.inner.recv(count)
        if self._is_limited:
            self._received += len(data)
            if self._received > BEFORE_LOGIN_BYTES and self._is_limited:
                raise ConnectionAbortedError(0, f"more than {BEFORE_LOGIN_BYTES} bytes before the login")
        return data

    def send(self, data: bytes) -> int:
        """As a socket does it; one that never takes anything raises ConnectionAbortedError."""
        begun = time.monotonic()
        end = getattr(self._thread, "end", None)
        limit = begun + STALL_SECONDS if end is None else min(begun + STALL_SECONDS, max(end, begun + CLOSING_SECONDS))
        while True:
            try:
                return self.inner.send(data)
            except TimeoutError:
                if self._closed or time.monotonic() > limit:
                    raise ConnectionAbortedError(0, "the other side does not read") from None

    def settimeout(self, seconds: float | None) -> None:
        """As a socket does it."""
        self.inner.settimeout(seconds)

    def close(self) -> None:
        """As a socket does it. Whoever reads is told at once."""
        if isinstance(self.inner, socket.socket):
            with contextlib.suppress(OSError):  # the other side was quicker
                self.inner.shutdown(socket.SHUT_RDWR)
        self.inner.close()

    @property
    def _closed(self) -> bool:
        """What paramiko looks at when it closes a transport."""
        return bool(getattr(self.inner, "_closed", False))

    def fileno(self) -> int:
        """As a socket does it."""
        return self.inner.fileno()

    def getpeername(self) -> object:
        """As a socket does it."""
        return self.inner.getpeername()


def _leave_sockets_to_the_parent() -> None:
    """In a forked child: its copies of the parent's sockets lead nowhere.

    Otherwise a late destructor could write into the parent's encrypted stream, and connections would stay open as long
    as the child lives.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for wire in list(_SOCKETS):
        number = wire.inner.fileno()
        if number >= 0:
            os.dup2(nowhere, number, inheritable=False)
    os.close(nowhere)


os.register_at_fork(after_in_child=_leave_sockets_to_the_parent)
