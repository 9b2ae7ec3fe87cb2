"""What a paramiko transport reads and writes: a socket with limits that paramiko does not have."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
import termios
import threading
import time
import weakref
from collections.abc import Iterator

import paramiko

BEFORE_LOGIN_BYTES = 1 << 20
LONGEST_READ = 300 * 1024  # OpenSSH's packets have 256 KiB at most
STALL_SECONDS = 5.0
OUTAGE_SECONDS = 60.0  # a line may be gone for a moment; keepalives and TCP_USER_TIMEOUT find who is gone for good
CLOSING_SECONDS = 0.2
LATE_SECONDS = 1.0
# How long reading waits on an idle connection. paramiko asks for a tenth: 2000 wake-ups a second with 200 servers that
# are watched. Who closes a connection wakes it at once, and what else paramiko looks after (keepalives) has as long.
IDLE_SECONDS = 5.0

_SOCKETS: weakref.WeakSet[Wire] = weakref.WeakSet()


class Wire:
    """A connected socket, or a channel of another connection, with limits.

    Before the login, the other side may send BEFORE_LOGIN_BYTES in all; afterwards, one packet may have LONGEST_READ
    bytes. Writing that makes no progress ends the connection: after OUTAGE_SECONDS; before the login, or in a thread
    with a deadline, after STALL_SECONDS, or at that deadline. Writing that holds up another thread, past the deadline
    of that, ends it after STALL_SECONDS as well. `failure` is why writing ended it, which paramiko tells nobody.
    """

    def __init__(self, inner: socket.socket | paramiko.Channel) -> None:
        self.inner = inner
        # the reader alone counts, the login alone lifts the limit: what both wrote would be lost now and then
        self._received = 0
        self._is_limited = True
        self._ends: dict[int, float] = {}  # by thread
        self.failure: OSError | None = None
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
        thread = threading.get_ident()
        self._ends[thread] = end
        try:
            yield
        finally:
            self._ends.pop(thread, None)

    def patience(self) -> float:
        """For how many seconds this thread may wait until it can write at all."""
        end = self._ends.get(threading.get_ident())
        if end is None:
            return STALL_SECONDS if self._is_limited else OUTAGE_SECONDS
        return min(OUTAGE_SECONDS, max(CLOSING_SECONDS, end - time.monotonic()))

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
        begun = moved = time.monotonic()
        end = self._ends.get(threading.get_ident())
        limit = begun + self.patience()
        stall = OUTAGE_SECONDS if end is None and not self._is_limited else STALL_SECONDS
        queued = self._queued()
        while True:
            try:
                return self.inner.send(data)
            except TimeoutError as error:
                if error.errno == errno.ETIMEDOUT:  # the kernel has given up, not the socket's timeout
                    raise self._failed(error) from None
                now = time.monotonic()
                # Linux says that a socket takes more when a third of its buffer is free: on a slow line, much later
                before, queued = queued, self._queued()
                if queued < before:
                    moved = now
                is_over = end is not None and now > limit
                if self._closed or is_over or now > moved + stall or self._holds_up_others(begun, now):
                    raise self._failed(ConnectionAbortedError(0, "the other side does not read")) from None
            except OSError as error:
                raise self._failed(error) from None

    def _holds_up_others(self, begun: float, now: float) -> bool:
        """Whether a thread waits past its deadline: for this one, that has not been able to write since `begun`."""
        return now > begun + STALL_SECONDS and any(now > end + LATE_SECONDS for end in list(self._ends.values()))

    def _queued(self) -> int:
        """How many bytes the kernel holds that the other side has not taken; 0 where nobody knows."""
        if not isinstance(self.inner, socket.socket):
            return 0
        try:
            size: int = struct.unpack("i", fcntl.ioctl(self.inner, termios.TIOCOUTQ, bytes(4)))[0]
        except (OSError, ValueError):  # closed meanwhile
            return 0
        return size

    def _failed(self, error: OSError) -> OSError:
        """Note why writing fails, unless one side has closed the connection; half a packet may be out, so close it."""
        if self.failure is None and not self._closed and not isinstance(error, BrokenPipeError):
            self.failure = error
        if isinstance(self.inner, socket.socket):
            with contextlib.suppress(OSError):  # it is closed
                self.inner.shutdown(socket.SHUT_RDWR)
        return error

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
