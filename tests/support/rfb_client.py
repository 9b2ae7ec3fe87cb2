"""A browser as far as x2gobroker-remote is concerned: websockets, and just enough of VNC to see and to type."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Sequence

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from x2gobroker.remote.rfb import encrypt_challenge

DEADLINE = 30.0
RAW = 0
EXTENDED_DESKTOP_SIZE = -308


class RfbClient:
    """One connection; `size` and `name` are those of the desktop. Raises AssertionError when it is refused."""

    def __init__(
        self,
        port: int,
        token: str,
        origin: str | None = None,
        path: str = "/websockify",
        password: str | None = None,
        headers: dict[str, str] | None = None,
        protocols: Sequence[str] | None = None,
    ) -> None:
        offered = ["binary", f"x2gobroker.{token}"] if protocols is None else protocols
        self._stack = contextlib.ExitStack()
        self.websocket: ClientConnection = self._stack.enter_context(
            connect(
                f"ws://127.0.0.1:{port}{path}",
                subprotocols=[Subprotocol(name) for name in offered],
                origin=Origin(f"http://127.0.0.1:{port}" if origin is None else origin),
                additional_headers=headers,
                compression=None,
                open_timeout=DEADLINE,
                max_size=None,
                proxy=None,
            )
        )
        self._held = bytearray()
        self.security = 0
        self.clipboard = b""
        try:
            self._shake_hands(password)
        except BaseException:
            self._stack.close()
            raise

    def read(self, size: int) -> bytes:
        """Exactly so many bytes; fails after DEADLINE."""
        end = time.monotonic() + DEADLINE
        while len(self._held) < size:
            message = self.websocket.recv(timeout=max(0.1, end - time.monotonic()))
            assert isinstance(message, bytes)
            self._held += message
        data = bytes(self._held[:size])
        del self._held[:size]
        return data

    def write(self, data: bytes) -> None:
        """Send one message."""
        self.websocket.send(data)

    def _shake_hands(self, password: str | None) -> None:
        assert self.read(12) == b"RFB 003.008\n"
        self.write(b"RFB 003.008\n")
        if self.read(1)[0] == 0:  # no way to log in: then why
            raise AssertionError(self._reason())
        self.security = self.read(1)[0]
        self.write(bytes((self.security,)))
        if self.security == 2:
            self.write(encrypt_challenge(password or "", self.read(16)))
        (status,) = struct.unpack(">I", self.read(4))
        if status:
            raise AssertionError(self._reason())
        self.write(b"\x00")  # not shared: the service is to say otherwise
        width, height = struct.unpack(">HH", self.read(4))
        self.size = width, height
        self.read(16)
        (length,) = struct.unpack(">I", self.read(4))
        self.name = self.read(length).decode()

    def _reason(self) -> str:
        (length,) = struct.unpack(">I", self.read(4))
        return self.read(length).decode()

    def picture(self) -> bytes:
        """The pixels of the whole desktop now, four bytes each; `size` follows where it has changed."""
        self.write(struct.pack(">BxHii", 2, 2, RAW, EXTENDED_DESKTOP_SIZE))
        end = time.monotonic() + DEADLINE
        canvas, seen, size = bytearray(), 0, (0, 0)
        while time.monotonic() < end:
            again = self.size == size  # a whole update comes in parts: what the size is, and what is new since then
            if not again:
                size, seen = self.size, 0
                canvas = bytearray(4 * size[0] * size[1])
            self.write(struct.pack(">BBHHHH", 3, again, 0, 0, *size))
            pixels: int | None = None
            while pixels is None:
                pixels = self._message(canvas)
            seen += pixels
            if self.size == size and seen >= size[0] * size[1]:
                return bytes(canvas)
        raise AssertionError("no whole picture came")

    def _message(self, canvas: bytearray) -> int | None:
        """Take one message of the server; how many pixels it brings, None if it is no update."""
        kind = self.read(1)[0]
        if kind == 3:  # its clipboard
            (length,) = struct.unpack(">3xI", self.read(7))
            self.clipboard = self.read(length)
        if kind != 0:
            assert kind in (2, 3), kind  # a bell has nothing more
            return None
        (count,) = struct.unpack(">xH", self.read(3))
        return sum(self._rectangle(canvas) for _ in range(count))

    def _rectangle(self, canvas: bytearray) -> int:
        x, y, width, height, encoding = struct.unpack(">HHHHi", self.read(12))
        if encoding == EXTENDED_DESKTOP_SIZE:
            self.read(3 + 16 * self.read(1)[0])
            if y == 0:  # no error
                self.size = width, height
            return 0
        assert encoding == RAW
        data = self.read(4 * width * height)
        for row in range(height):
            start = 4 * ((y + row) * self.size[0] + x)
            canvas[start : start + 4 * width] = data[4 * width * row : 4 * width * (row + 1)]
        return int(width * height)

    def type(self, text: str) -> None:
        """Press and release the keys of an ASCII text; a newline is Return."""
        for letter in text:
            key = 0xFF0D if letter == "\n" else ord(letter)
            for down in (1, 0):
                self.write(struct.pack(">BBxxI", 4, down, key))

    def wait_closed(self, deadline: float = DEADLINE) -> str:
        """Wait until the service ends the connection; the reason that it gives."""
        end = time.monotonic() + deadline
        while self.websocket.close_code is None:
            try:
                self.websocket.recv(timeout=max(0.05, min(0.5, end - time.monotonic())))
            except TimeoutError:
                assert time.monotonic() < end, "the connection is still open"
            except Exception as error:  # noqa: BLE001 - closed, in whatever way
                assert self.websocket.close_code is not None or "close" in str(error), error
                break
        return self.websocket.close_reason or ""

    def close(self) -> None:
        """End the connection."""
        self._stack.close()
