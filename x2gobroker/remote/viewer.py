"""Those who may only look on: what of a browser goes through to the VNC server, and what of the server to them.

Nothing that does something goes in, and the clipboard of the desktop does not come out: what somebody copies there, a
password perhaps, is not theirs. To find the clipboard in the server's stream one must know where each message ends, so
the browser may only ask for encodings whose end can be told.
"""

from __future__ import annotations

import struct
from typing import Protocol

from x2gobroker.remote.rfb import FENCE, SET_ENCODINGS, Kind, RfbError

RAW, COPY_RECT, ZRLE = 0, 1, 16
DESKTOP_SIZE, LAST_RECT, CURSOR, EXTENDED_DESKTOP_SIZE = -223, -224, -239, -308
FENCES, CONTINUOUS_UPDATES = -312, -313
LEVELS = (range(-256, -246), range(-32, -22))  # of compression and quality: they change no form
ENCODINGS = {RAW, COPY_RECT, ZRLE, DESKTOP_SIZE, LAST_RECT, CURSOR, EXTENDED_DESKTOP_SIZE, FENCES, CONTINUOUS_UPDATES}
SET_PIXEL_FORMAT = 0
UPDATE, COLOURS, BELL, CUT_TEXT, END_OF_CONTINUOUS, XVP = 0, 1, 2, 3, 150, 250
CHUNK_BYTES = 1 << 17


class Source(Protocol):
    """The VNC server."""

    async def read(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises RfbError at the end."""

    async def receive(self, size: int) -> bytes:
        """At most `size` bytes; nothing at the end."""


class Target(Protocol):
    """The browser."""

    async def write(self, data: bytes) -> None:
        """Send one message."""


class Viewer:
    """One who looks on. `pixel_bytes` follows what the browser has asked for."""

    def __init__(self, server: Source, browser: Target) -> None:
        self._server = server
        self._browser = browser
        self._waiting = bytearray()
        self.pixel_bytes = 4

    def let_in(self, messages: list[tuple[Kind, bytes]]) -> bytes:
        """What goes through to the VNC server."""
        kept = []
        for kind, message in messages:
            if kind is not Kind.VIEW:
                continue
            if message[0] == SET_PIXEL_FORMAT:
                self.pixel_bytes = max(1, message[4] // 8)
            kept.append(plain_encodings(message) if message[0] == SET_ENCODINGS else message)
        return b"".join(kept)

    async def run(self) -> str:
        """Carry what the VNC server sends, from its ServerInit on, without end. Raises RfbError at the end."""
        head = await self._copy(24)
        self.pixel_bytes = max(1, head[4] // 8)
        await self._copy(struct.unpack(">I", head[20:])[0])
        while True:
            await self._flush()
            kind = (await self._server.read(1))[0]
            if kind == CUT_TEXT:
                await self._skip(abs(struct.unpack(">3xi", await self._server.read(7))[0]))
                continue
            self._waiting.append(kind)
            if kind == UPDATE:
                await self._update()
            elif kind == COLOURS:
                await self._copy(6 * struct.unpack(">xHH", await self._copy(5))[1])
            elif kind == FENCE:
                await self._copy((await self._copy(8))[7])
            elif kind == XVP:
                await self._copy(3)
            elif kind not in (BELL, END_OF_CONTINUOUS):
                raise RfbError(f"the VNC server sends a message of the unknown type {kind}")

    async def _update(self) -> None:
        (count,) = struct.unpack(">xH", await self._copy(3))
        for _ in range(count):
            _, _, width, height, encoding = struct.unpack(">HHHHi", await self._copy(12))
            if encoding == LAST_RECT:
                return
            if encoding == RAW:
                await self._copy(width * height * self.pixel_bytes)
            elif encoding == COPY_RECT:
                await self._copy(4)
            elif encoding == ZRLE:
                await self._copy(struct.unpack(">I", await self._copy(4))[0])
            elif encoding == CURSOR:
                await self._copy(width * height * self.pixel_bytes + (width + 7) // 8 * height)
            elif encoding == EXTENDED_DESKTOP_SIZE:
                await self._copy(16 * (await self._copy(4))[0])
            elif encoding != DESKTOP_SIZE:
                raise RfbError(f"the VNC server sends the encoding {encoding}, which was not asked for")

    async def _copy(self, size: int) -> bytes:
        """Let so many bytes through. They are given back, where they are few."""
        if size <= CHUNK_BYTES:
            data = await self._server.read(size) if size else b""
            self._waiting += data
            if len(self._waiting) >= CHUNK_BYTES:
                await self._flush()
            return data
        while size:
            await self._copy(part := min(size, CHUNK_BYTES))
            size -= part
        return b""

    async def _skip(self, size: int) -> None:
        while size:
            data = await self._server.receive(min(size, CHUNK_BYTES))
            if not data:
                raise RfbError("the VNC server has closed the connection")
            size -= len(data)

    async def _flush(self) -> None:
        if self._waiting:
            data, self._waiting = bytes(self._waiting), bytearray()
            await self._browser.write(data)


def plain_encodings(message: bytes) -> bytes:
    """A SetEncodings message without what a viewer may not have."""
    numbers = struct.unpack_from(f">{(len(message) - 4) // 4}i", message, 4)
    kept = [number for number in numbers if number in ENCODINGS or any(number in levels for levels in LEVELS)]
    return struct.pack(f">BxH{len(kept)}i", SET_ENCODINGS, len(kept), *kept)
