"""Those who may not have all: what of a browser goes through to the VNC server, and what of the server to them.

Of those who may only view, nothing that does something goes in, and the clipboard of the desktop does not come out to
them: what somebody copies there, a password perhaps, is not theirs. The same goes for those who work where the session
type lets no clipboard out. To find the clipboard in the server's stream one must know where each message ends.
So the browser may only ask for encodings whose end can be told, and the form of pixels is chosen here, once, before
the browser can ask for anything: nothing that a browser sends changes how the server's stream is read.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Collection
from typing import Protocol

from x2gobroker.remote.clipboard import EXTENDED_CLIPBOARD, NO_CLIPBOARD, Clipboard, is_extended
from x2gobroker.remote.cutting import DROP, GIVE, PASS, TAKE, Cutter, Grammar
from x2gobroker.remote.rfb import (
    CLIENT_CUT_TEXT,
    FENCE,
    FLAGS_BYTES,
    MOST_MESSAGE_BYTES,
    SERVER_CLOSED,
    SET_ENCODINGS,
    Kind,
    RfbError,
    browser_messages,
)

RAW, COPY_RECT, ZRLE = 0, 1, 16
DESKTOP_SIZE, LAST_RECT, CURSOR, EXTENDED_DESKTOP_SIZE = -223, -224, -239, -308
FENCES, CONTINUOUS_UPDATES = -312, -313
LEVELS = (range(-256, -246), range(-32, -22))  # of compression and quality: they change no form
QEMU_KEYS, MORE_BUTTONS = -258, -316
ENCODINGS = {RAW, COPY_RECT, ZRLE, DESKTOP_SIZE, LAST_RECT, CURSOR, EXTENDED_DESKTOP_SIZE, FENCES, CONTINUOUS_UPDATES}
FOR_INPUT = {QEMU_KEYS, MORE_BUTTONS}
WITHOUT_CONTENT = {DESKTOP_SIZE, QEMU_KEYS, MORE_BUTTONS}
SET_PIXEL_FORMAT = 0
UPDATE, COLOURS, BELL, CUT_TEXT, END_OF_CONTINUOUS, XVP = 0, 1, 2, 3, 150, 250
CHUNK_BYTES = 1 << 15
LONGEST_MESSAGE = 1 << 16  # of a browser that may only view; what such ones do send is short
INIT_SECONDS = 15.0
PIXEL_BYTES = 4
# 32 bits, 24 of them colour, little-endian, 8 bits each from red on: the form that noVNC wants
PIXEL_FORMAT = struct.pack(">BBBBHHHBBBxxx", 8 * PIXEL_BYTES, 24, 0, 1, 255, 255, 255, 0, 8, 16)


class Source(Protocol):
    """The VNC server."""

    async def read(self, size: int) -> bytes:
        """Exactly `size` bytes, few. Raises RfbError at the end."""

    async def receive(self, size: int) -> bytes:
        """At most `size` bytes; nothing at the end."""

    async def write(self, data: bytes) -> None:
        """Send all of it."""


class Target(Protocol):
    """The browser."""

    async def receive(self) -> bytes:
        """What has come, at least one byte."""

    async def write(self, data: bytes) -> None:
        """Send one message."""


class Rights:
    """What somebody may do: `let_in` says what of a browser's message goes through to the VNC server."""

    clipboard = NO_CLIPBOARD
    encodings = frozenset(ENCODINGS)
    longest = LONGEST_MESSAGE

    def let_in(self, kind: Kind, head: bytes, _rest: int) -> tuple[bytes, int]:
        """The part of the head that goes, and PASS or DROP for what comes behind it: only what is for looking."""
        if kind is not Kind.VIEW or head[0] == SET_PIXEL_FORMAT:
            return b"", DROP
        if head[0] == SET_ENCODINGS:
            return plain_encodings(head, self.encodings), DROP
        return head, PASS


class RightsToWork(Rights):
    """Those of the desktop's user, where the clipboard has bounds. `touched` hears when the user does something.

    A guest does what keyboard and pointer do, and changes nothing for all, such as the size.
    """

    encodings = frozenset(ENCODINGS | FOR_INPUT | {EXTENDED_CLIPBOARD})
    longest = MOST_MESSAGE_BYTES

    def __init__(self, clipboard: Clipboard, touched: Callable[[], None], *, is_guest: bool) -> None:
        self.clipboard = clipboard
        self._touched = touched
        self._is_guest = is_guest

    def let_in(self, kind: Kind, head: bytes, rest: int) -> tuple[bytes, int]:
        """All but what would change the form of pixels, and what the clipboard does not take."""
        if kind is Kind.VIEW:
            return super().let_in(kind, head, rest)
        if kind is Kind.CONTROL and self._is_guest:
            return b"", DROP
        self._touched()
        if head[0] == CLIENT_CUT_TEXT and not self.clipboard.lets_in(head):
            return b"", DROP
        return head, PASS


class Viewer:
    """One who sees a desktop as `name`, whatever the VNC server calls it; by default, a guest who may only view."""

    def __init__(self, server: Source, browser: Target, name: str, rights: Rights | None = None) -> None:
        rights = rights or Rights()
        self._server = server
        self._browser = browser
        self._name = name.encode()[:LONGEST_MESSAGE]
        self._shown = Cutter(server_messages(rights.clipboard))
        self._asked = Cutter(browser_messages(rights.let_in, rights.longest))

    async def begin(self) -> None:
        """Choose the form of pixels, and tell the browser; to be awaited before anything else. Raises RfbError."""
        try:
            async with asyncio.timeout(INIT_SECONDS):
                head = await self._server.read(24)
                await self._skip(struct.unpack(">I", head[20:])[0])
                await self._server.write(struct.pack(">Bxxx", SET_PIXEL_FORMAT) + PIXEL_FORMAT)
        except TimeoutError:
            raise RfbError("the VNC server took too long") from None
        await self._browser.write(head[:4] + PIXEL_FORMAT + struct.pack(">I", len(self._name)) + self._name)

    async def show(self) -> str:
        """Carry what the VNC server sends until its end; why it ended. Raises RfbError."""
        while data := await self._server.receive(CHUNK_BYTES):
            for part in self._shown.feed(data):
                if part:
                    await self._browser.write(part)
                await asyncio.sleep(0)
        return SERVER_CLOSED

    async def ask(self) -> str:
        """Carry what the browser may ask, without end. Raises RfbError, ConnectionClosed at the browser's end."""
        while True:
            for part in self._asked.feed(await self._browser.receive()):
                if part:
                    await self._server.write(part)
                await asyncio.sleep(0)

    async def _skip(self, size: int) -> None:
        while size:
            data = await self._server.receive(min(size, CHUNK_BYTES))
            if not data:
                raise RfbError(SERVER_CLOSED)
            size -= len(data)


def plain_encodings(message: bytes, known: Collection[int] = frozenset(ENCODINGS)) -> bytes:
    """A SetEncodings message without those whose end is not known here."""
    numbers = struct.unpack_from(f">{(len(message) - 4) // 4}i", message, 4)
    kept = [number for number in numbers if number in known or any(number in levels for levels in LEVELS)]
    return struct.pack(f">BxH{len(kept)}i", SET_ENCODINGS, len(kept), *kept)


def server_messages(clipboard: Clipboard = NO_CLIPBOARD) -> Grammar:
    """The grammar of what a VNC server sends, after its ServerInit. Raises RfbError for what has no end."""
    while True:
        kind = (yield TAKE, 1)[0]
        if kind == CUT_TEXT:  # negative: an extended clipboard message of that length
            head = bytes((kind,)) + (yield TAKE, 7)
            rest = abs(struct.unpack_from(">i", head, 4)[0])
            if is_extended(head):
                head += yield TAKE, FLAGS_BYTES
                rest -= FLAGS_BYTES
            if clipboard.lets_out(head):
                yield GIVE, head
                yield PASS, rest
            else:
                yield DROP, rest
            continue
        yield GIVE, bytes((kind,))
        if kind == UPDATE:
            (count,) = struct.unpack(">xH", (head := (yield TAKE, 3)))
            yield GIVE, head
            yield from _rectangles(count)
        elif kind == COLOURS:
            yield GIVE, (head := (yield TAKE, 5))
            yield PASS, 6 * struct.unpack(">xHH", head)[1]
        elif kind == FENCE:
            yield GIVE, (head := (yield TAKE, 8))
            yield PASS, head[7]
        elif kind == XVP:
            yield PASS, 3
        elif kind not in (BELL, END_OF_CONTINUOUS):
            raise RfbError(f"the VNC server sends a message of the unknown type {kind}")


def _rectangles(count: int) -> Grammar:
    for _ in range(count):
        head = yield TAKE, 12
        _, _, width, height, encoding = struct.unpack(">HHHHi", head)
        if encoding not in ENCODINGS | FOR_INPUT:
            raise RfbError(f"the VNC server sends the encoding {encoding}, which was not asked for")
        yield GIVE, head
        if encoding == LAST_RECT:
            return
        if encoding == RAW:
            yield PASS, width * height * PIXEL_BYTES
        elif encoding == COPY_RECT:
            yield PASS, 4
        elif encoding == ZRLE:
            yield GIVE, (size := (yield TAKE, 4))
            yield PASS, struct.unpack(">I", size)[0]
        elif encoding == CURSOR:
            yield PASS, width * height * PIXEL_BYTES + (width + 7) // 8 * height
        elif encoding == EXTENDED_DESKTOP_SIZE:
            yield GIVE, (head := (yield TAKE, 4))
            yield PASS, 16 * head[0]
        elif encoding not in WITHOUT_CONTENT:
            raise RfbError(f"the VNC server sends {encoding} as if it were a rectangle")
