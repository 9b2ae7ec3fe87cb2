"""Plain requests as the process of the user has them: a ticket for each, and then the socket that its body goes by."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable, Iterator

from x2gobroker.privilege import read_message, write_message
from x2gobroker.remote.crossing import FROM_FILES, LONGEST_SHOWN, TO_FILES, printable
from x2gobroker.remote.files.refusals import RefusedError, refusal
from x2gobroker.remote.wire import GoneError, Wire

LARGEST_ANSWER = 1 << 12
PART_BYTES = 1 << 19
BEGIN_SECONDS = 45.0  # for the browser to send the request
STALL_SECONDS = 600.0  # without a byte: a user may have stopped a download for a while
TELL_SECONDS = 0.5  # the page hears as often how far it is
WHOLE = b"+"


class PageSpeaks(Exception):  # noqa: N818 - no error: the page has something to say in the midst of a body
    """There is a message of the page's to be received."""


class Bodies:
    """The way to the service: `says` is where the process reports, too. All methods raise RefusedError, GoneError."""

    def __init__(self, says: socket.socket) -> None:
        self._says = says

    def offer(self, way: str, name: str, size: int) -> str:
        """A ticket for a request that carries so many bytes; earlier ones are no longer good."""
        fields = {"way": way, "name": printable(name, LONGEST_SHOWN) or " ", "bytes": size}
        try:
            self._says.send(write_message("offer", fields, FROM_FILES))
            while True:
                kind, ticket, end = self._hear()
                if kind == "ticket":
                    return ticket
                if end is not None:
                    end.close()  # of an earlier ticket
        except OSError as error:
            raise GoneError("the service does not answer") from error

    def _hear(self) -> tuple[str, str, socket.socket | None]:
        """What the service says: the kind of message, the ticket, the socket. Raises OSError."""
        data, descriptors, _, _ = socket.recv_fds(self._says, LARGEST_ANSWER, 1)
        ends = [socket.socket(fileno=number) for number in descriptors]
        if not data:
            raise GoneError("the service is gone")
        found = read_message(data, TO_FILES)
        return found["do"], found.get("ticket", ""), ends[0] if ends else None

    @contextlib.contextmanager
    def body(self, wire: Wire, watch: Watch) -> Iterator[socket.socket]:
        """The socket of the request, once the browser has sent it, for the length of a `with` block.

        Raises PageSpeaks where the page says something first.
        """
        end: socket.socket | None = None
        while end is None:
            if not watch.wait(wire, self._says, select.POLLIN, BEGIN_SECONDS):
                raise RefusedError("silent")
            try:
                _, _, end = self._hear()
            except OSError as error:
                raise GoneError("the service does not answer") from error
        with end:
            end.setblocking(False)
            yield end


class Watch:
    """Waits for one of two sides, and tells the page meanwhile how far it is: `tell` does, `breathe` is called too."""

    def __init__(self, tell: Callable[[], None], breathe: Callable[[], None]) -> None:
        self._tell = tell
        self._breathe = breathe
        self._told = time.monotonic()

    def wait(self, wire: Wire, other: socket.socket, events: int, seconds: float) -> bool:
        """Whether the other one is ready within this time. Raises PageSpeaks, GoneError."""
        end = time.monotonic() + seconds
        while True:
            self._breathe()
            speaks, ready = wire.wait_with(other, events, min(TELL_SECONDS, max(0.0, end - time.monotonic())))
            if speaks:
                raise PageSpeaks
            wire.ask_at_times()
            now = time.monotonic()
            if now - self._told >= TELL_SECONDS:
                self._told = now
                self._tell()
            if ready or now >= end:
                return ready


def receive(end: socket.socket, wire: Wire, watch: Watch, size: int, write: Callable[[bytes], None]) -> None:
    """Take so many bytes of a body. Raises RefusedError where fewer come, PageSpeaks, GoneError."""
    left = size
    while left:
        if not watch.wait(wire, end, select.POLLIN, STALL_SECONDS):
            raise RefusedError("silent")
        try:
            data = end.recv(min(left, PART_BYTES))
        except BlockingIOError:
            continue
        except OSError:
            data = b""
        if not data:
            raise RefusedError("broken")
        write(data)
        left -= len(data)


def send_file(
    end: socket.socket, wire: Wire, watch: Watch, number: int, size: int, sent: Callable[[int], None]
) -> None:
    """Send this much of an open file, from its beginning. `sent` hears how far it is.

    Raises RefusedError where the browser does not take it, or the file has become shorter; PageSpeaks, GoneError.
    """
    at = 0
    while at < size:
        if not watch.wait(wire, end, select.POLLOUT, STALL_SECONDS):
            raise RefusedError("silent")
        try:
            data = os.pread(number, min(size - at, PART_BYTES), at)
        except OSError as error:
            raise refusal(error) from error
        if not data:
            raise RefusedError("changed")  # it is shorter now
        try:
            at += end.send(data)
        except BlockingIOError:
            continue
        except OSError:
            raise RefusedError("broken") from None
        sent(at)
    end.shutdown(socket.SHUT_WR)
    if not watch.wait(wire, end, select.POLLIN, STALL_SECONDS):
        raise RefusedError("silent")
    try:
        whole = end.recv(1) == WHOLE
    except OSError:
        whole = False
    if not whole:
        raise RefusedError("broken")
