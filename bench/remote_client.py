"""A VNC client for measurements, over a plain connection or a websocket: as little work as can be in the client."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from bench.load import WrongAnswerError

PATIENCE = 30.0
BUFFER = 1 << 20
LARGEST_HEAD = 1 << 14
PIXEL_BYTES = 4
RAW = 0
UPDATE, BELL = 0, 2  # of messages
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


class Plain:
    """A connection as it is. Raises WrongAnswerError at its end, TimeoutError after PATIENCE seconds."""

    def __init__(self, connected: socket.socket, buffer: int = BUFFER) -> None:
        connected.settimeout(PATIENCE)
        self.socket = connected
        self._buffer = bytearray(buffer)
        self._view = memoryview(self._buffer)
        self._at = self._end = 0

    def read(self, size: int) -> bytes:
        """Exactly so many bytes."""
        data = b""
        while len(data) < size:
            data += self.some(size - len(data))
        return data

    def skip(self, size: int) -> None:
        """Take so many bytes, and look at none."""
        while size:
            size -= len(self.some(size))

    def some(self, most: int) -> memoryview:
        """What has come, at least one byte. It is good until the next call."""
        if self._at == self._end:
            self._fill()
        begin = self._at
        self._at = min(self._end, begin + most)
        return self._view[begin : self._at]

    def write(self, data: bytes) -> None:
        """Send."""
        self.socket.sendall(data)

    def idle(self) -> None:
        """Take what comes without being asked for; to be called when there is something."""
        raise WrongAnswerError("a VNC server sent something without being asked, or has ended the connection")

    def close(self) -> None:
        """End the connection."""
        self.socket.close()

    def _fill(self) -> None:
        self._at, self._end = 0, self.socket.recv_into(self._buffer)
        if not self._end:
            raise WrongAnswerError("the connection was ended")


class Websocket(Plain):
    """A websocket (RFC 6455) that carries bytes; masks of zeros, which cost nothing."""

    def __init__(self, connected: socket.socket, origin: str, protocols: Sequence[str], buffer: int = BUFFER) -> None:
        super().__init__(connected, buffer)
        self._left = 0  # of the message that comes
        key = base64.b64encode(os.urandom(16))
        lines = ["GET /websockify HTTP/1.1", f"Host: {origin.partition('//')[2]}", f"Origin: {origin}"]
        lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        lines += [f"Sec-WebSocket-Key: {key.decode()}", f"Sec-WebSocket-Protocol: {', '.join(protocols)}"]
        super().write("\r\n".join([*lines, "", ""]).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += super().some(1)
            if len(head) > LARGEST_HEAD:
                raise WrongAnswerError("the answer to a websocket's request has no end")
        accepted = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
        if not head.startswith(b"HTTP/1.1 101 ") or accepted not in head:
            raise WrongAnswerError(f"no websocket: {head.partition(bytes((13,)))[0].decode()}")

    def some(self, most: int) -> memoryview:
        """What has come, at least one byte."""
        while not self._left:
            self._next()
        found = super().some(min(most, self._left))
        self._left -= len(found)
        return found

    def write(self, data: bytes) -> None:
        """Send one message."""
        self._send(BINARY, data)

    def idle(self) -> None:
        """Answer the pings that have come."""
        self._next()
        if self._left:
            super().idle()

    def _send(self, kind: int, data: bytes) -> None:
        size = bytes((0x80 | len(data),)) if len(data) < 126 else struct.pack(">BH", 0xFE, len(data))
        super().write(bytes((0x80 | kind,)) + size + bytes(4) + data)

    def _next(self) -> None:
        """The head of the next message, or a whole message of the protocol itself."""
        first, size = self._raw(2)
        if size == 126:
            (size,) = struct.unpack(">H", self._raw(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self._raw(8))
        kind = first & 0x0F
        if kind == PING:
            self._send(PONG, self._raw(size))
        elif kind in (0, BINARY):
            self._left = size
        elif kind != PONG:
            raise WrongAnswerError(f"the websocket was ended: {self._raw(size)[2:].decode(errors='replace')}")

    def _raw(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += super().some(size - len(data))
        return data


class Viewer:
    """A VNC client (RFC 6143) that asks for raw pixels."""

    def __init__(self, stream: Plain) -> None:
        self.stream = stream
        stream.read(12)
        stream.write(b"RFB 003.008\n")
        kinds = stream.read(stream.read(1)[0])
        if 1 not in kinds:
            raise WrongAnswerError("the VNC server wants a password")
        stream.write(b"\x01")
        if stream.read(4) != bytes(4):
            raise WrongAnswerError("the VNC server refuses")
        stream.write(b"\x01")
        self.size: tuple[int, int] = struct.unpack(">HH", stream.read(4))
        stream.read(16)
        stream.skip(struct.unpack(">I", stream.read(4))[0])
        stream.write(struct.pack(">BxHi", 2, 1, RAW))

    def ask(self, width: int, height: int, changes: bool = False) -> None:
        """Ask for this part of the screen, changed or not; with `changes`, for what will have changed in it."""
        self.stream.write(struct.pack(">BBHHHH", 3, changes, 0, 0, width, height))

    def press(self, keysym: int) -> None:
        """Press a key, and let it go."""
        self.stream.write(b"".join(struct.pack(">BBxxI", 4, down, keysym) for down in (1, 0)))

    def take(self, pixels: int, digest: hashlib._Hash | None = None) -> None:
        """Take updates until so many pixels have come; with `digest`, put them into it."""
        while pixels > 0:
            pixels -= self.update(digest)
        if pixels:
            raise WrongAnswerError("more pixels came than were asked for")

    def update(self, digest: hashlib._Hash | None = None) -> int:
        """Take one update; how many pixels it has. With `digest`, put them into it."""
        while (kind := self.stream.read(1)[0]) == BELL:
            pass
        if kind != UPDATE:
            raise WrongAnswerError(f"the VNC server sends a message of type {kind}")
        (count,) = struct.unpack(">xH", self.stream.read(3))
        pixels = 0
        for _ in range(count):
            _, _, width, height, encoding = struct.unpack(">HHHHi", self.stream.read(12))
            if encoding != RAW:
                raise WrongAnswerError(f"the VNC server sends the encoding {encoding}")
            if digest is None:
                self.stream.skip(width * height * PIXEL_BYTES)
            else:
                digest.update(self.stream.read(width * height * PIXEL_BYTES))
            pixels += width * height
        return pixels

    def whole(self) -> bytes:
        """A sum of all pixels of the screen, the same whatever way they take."""
        digest = hashlib.sha256()
        self.ask(*self.size)
        self.take(self.size[0] * self.size[1], digest)
        return digest.digest()

    def frames(self, seconds: float) -> float:
        """Megabytes of pixels a second, one whole screen after the other."""
        pixels = self.size[0] * self.size[1]
        begin = time.perf_counter()
        count = 0
        while time.perf_counter() < begin + seconds:
            self.ask(*self.size)
            self.take(pixels)
            count += 1
        return count * pixels * PIXEL_BYTES / 1e6 / (time.perf_counter() - begin)

    def round_trips(self, count: int) -> list[float]:
        """Seconds from asking for one pixel until it is there, each time."""
        times = []
        for _ in range(count):
            begin = time.perf_counter()
            self.ask(1, 1)
            self.take(1)
            times.append(time.perf_counter() - begin)
        return times

    def close(self) -> None:
        """End the connection."""
        self.stream.close()


def by_tcp(port: int) -> Plain:
    """A connection to a TCP port of this host."""
    connected = socket.create_connection(("127.0.0.1", port), PATIENCE)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Plain(connected)


def by_unix(path: Path) -> Plain:
    """A connection to a Unix socket."""
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.settimeout(PATIENCE)
    connected.connect(str(path))
    return Plain(connected)


def by_websocket(port: int, token: str = "", buffer: int = BUFFER, origin: str = "") -> Websocket:
    """A websocket at a port of this host; with the token that our service wants, and as a page of this origin."""
    with contextlib.ExitStack() as stack:
        connected = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        protocols = ["binary", f"x2gobroker.{token}"] if token else ["binary"]
        made = Websocket(connected, origin or f"http://127.0.0.1:{port}", protocols, buffer)
        stack.pop_all()
    return made
