"""A websocket whose handshake is over, at one end of a socket: messages in and out, for one thread that waits."""

from __future__ import annotations

import contextlib
import json
import logging
import select
import socket
import time
from collections import deque
from collections.abc import Mapping
from typing import Protocol as Shape

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol

from x2gobroker.errors import BrokerError
from x2gobroker.privilege import Form, write_message

READ_BYTES = 1 << 18
PING_SECONDS = 10.0
CLOSE_SECONDS = 2.0
SILENCE_SECONDS = 30.0  # without a byte, though it was asked for one
GOING_AWAY, NORMAL, BAD_DATA, TOO_BIG = 1001, 1000, 1007, 1009

Message = str | bytes


class GoneError(BrokerError):
    """The page is gone, or says what is no message."""


class Readable(Shape):
    """What poll(2) can wait for."""

    def fileno(self) -> int:
        """Its descriptor."""


class Wire:
    """The user's end. A text is a `str`, data are `bytes`, in parts as they come. All methods raise GoneError.

    `words`: the messages that it sends. The page sends texts of `largest_text` and data of `largest_data` bytes.
    """

    def __init__(self, channel: socket.socket, words: Mapping[str, Form], largest_text: int, largest_data: int) -> None:
        self._channel = channel
        self._words = words
        self._largest_text = largest_text
        channel.settimeout(SILENCE_SECONDS)
        silent = logging.Logger("websockets of x2gobroker", logging.CRITICAL + 1)
        self._protocol = Protocol(SERVER, state=OPEN, max_size=max(largest_data, largest_text), logger=silent)
        self._ready: deque[Message] = deque()
        self._text: bytearray | None = None  # of a text that has come in part
        self._last = time.monotonic()  # when it said something, or was asked
        self._unanswered: float | None = None  # since when it has been asked in vain

    def receive(self, seconds: float) -> Message | None:
        """The next message; None where there is none within this time, 0: where none has come."""
        end = time.monotonic() + seconds
        while not self._ready:
            left = end - time.monotonic()
            if not self._wait(max(0.0, min(left, PING_SECONDS))):
                if left <= 0:
                    return None
                self.ask()
        return self._ready.popleft()

    def wait_with(self, other: Readable, events: int, seconds: float) -> tuple[bool, bool]:
        """Wait for the page, or for `events` of poll(2) on something else.

        Whether there is a message to receive, and whether the other one is ready; both may be False.
        """
        if self._ready:
            return True, False
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(other, events)
        ready = {number for number, _ in poll.poll(seconds * 1000)}
        if self._channel.fileno() in ready:
            self._wait(0.0)
        return bool(self._ready), other.fileno() in ready

    @property
    def takes(self) -> bool:
        """Whether something short would go at once."""
        poll = select.poll()
        poll.register(self._channel, select.POLLOUT)
        return bool(poll.poll(0))

    def send(self, kind: str, **fields: object) -> None:
        """Send one of the messages that it has words for."""
        self._send_text(write_message(kind, fields, self._words))

    def send_entries(self, entries: list[Mapping[str, object]]) -> None:
        """Send a part of what is in a folder."""
        self._send_text(json.dumps({"do": "entries", "entries": entries}).encode())

    def send_data(self, data: bytes) -> None:
        """Send a part of a file."""
        self._protocol.send_binary(data)
        self._flush()

    def close(self, code: int = NORMAL) -> None:
        """Say good-bye, where somebody may still hear it, and let the page say so, too."""
        with contextlib.suppress(GoneError, OSError):
            if self._protocol.state is OPEN:
                self._protocol.send_close(code)
            self._flush()
            self._channel.settimeout(CLOSE_SECONDS)
            end = time.monotonic() + CLOSE_SECONDS
            while self._protocol.close_rcvd is None and time.monotonic() < end:
                data = self._channel.recv(READ_BYTES)  # with something unread, the end would be an abrupt one
                if not data:
                    break
                self._protocol.receive_data(data)
        self._channel.close()

    def _send_text(self, data: bytes) -> None:
        self._protocol.send_text(data)
        self._flush()

    def ask(self) -> None:
        """Nothing has come for a while: is there still somebody? What counts is since when it has been asked in vain:
        before that, this process may have waited for a disk.
        """
        self._last = time.monotonic()
        if self._unanswered is None:
            self._unanswered = self._last
        elif self._last - self._unanswered >= SILENCE_SECONDS - PING_SECONDS:
            raise GoneError("the page is silent")
        self._protocol.send_ping(b"")
        self._flush()

    def ask_at_times(self) -> None:
        """The same every PING_SECONDS, for those who do not `receive`; they call it more often than that."""
        if time.monotonic() - self._last >= PING_SECONDS:
            self.ask()

    def _wait(self, seconds: float) -> bool:
        """Wait for bytes, and take them; whether some have come."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        if not poll.poll(seconds * 1000):
            return False
        try:
            data = self._channel.recv(READ_BYTES)
        except OSError as error:
            raise GoneError("the connection is lost") from error
        if not data:
            raise GoneError("the connection has ended")
        self._last, self._unanswered = time.monotonic(), None
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            if isinstance(frame, Frame):
                self._take(frame)
        self._flush()
        if self._protocol.state is not OPEN and not self._ready:
            raise GoneError("the page has closed the connection")
        return True

    def _take(self, frame: Frame) -> None:
        data = bytes(frame.data)
        if frame.opcode is Opcode.BINARY or (frame.opcode is Opcode.CONT and self._text is None):
            if data:
                self._ready.append(data)
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._text = (self._text or bytearray()) + data
            if len(self._text) > self._largest_text:
                self.close(TOO_BIG)
                raise GoneError("a text that is too long")
            if frame.fin:
                self._ready.append(self._decoded(bytes(self._text)))
                self._text = None

    def _decoded(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            self.close(BAD_DATA)
            raise GoneError("a text that is no UTF-8") from error

    def _flush(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if not data:
            return
        try:
            self._channel.sendall(data)
        except OSError as error:
            raise GoneError("the connection is lost") from error
