"""RFB, the protocol of VNC (RFC 6143): the handshake on both sides, and what a browser sends.

The service does the handshake itself, with the VNC server as its client and with the browser as its server: so the
password of the VNC server never reaches a browser. All after that goes through as it is, but for the input of those
who may only view. Numbers of extensions are those of the community's rfbproto.rst.
"""

from __future__ import annotations

import enum
import re
import struct
from collections.abc import Awaitable, Callable
from typing import Protocol

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from x2gobroker.errors import BrokerError
from x2gobroker.remote.clipboard import is_extended
from x2gobroker.remote.cutting import GIVE, TAKE, Grammar
from x2gobroker.remote.keys import PASSWORD_BYTES
from x2gobroker.remote.told import NO_LOGIN, NO_VNC, VNC_FAILS, VNC_REFUSES, WRONG_LOGIN

VERSION = re.compile(rb"RFB (\d{3})\.(\d{3})\n")
VERSION_BYTES = 12
OUR_VERSION = b"RFB 003.008\n"
NONE, VNC_AUTH = 1, 2
CHALLENGE_BYTES = 16
LONGEST_REASON = 1024
MOST_MESSAGE_BYTES = 1 << 24
SHARED = b"\x01"
SERVER_CLOSED = "the VNC server has closed the connection"


class RfbError(BrokerError):
    """The VNC server or the browser does not speak RFB, or refuses. The text is for the log, `told` for the user."""

    def __init__(self, text: str, told: str = VNC_FAILS) -> None:
        super().__init__(text)
        self.told = told


class Peer(Protocol):
    """One side of a connection."""

    async def read(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises RfbError at the end."""

    async def write(self, data: bytes) -> None:
        """Send all of it."""


def encrypt_challenge(password: str, challenge: bytes) -> bytes:
    """The answer to a challenge of 16 bytes (RFC 6143, 7.2.2).

    The key is the first 8 bytes of the password, in UTF-8 as vncpasswd(1) stores it, with the bits of each byte the
    other way round.
    """
    raw = password.encode("utf-8", "replace")[:PASSWORD_BYTES].ljust(PASSWORD_BYTES, b"\0")
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in raw)
    # three times the same key is plain DES, which is what VNC has
    encryptor = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()  # noqa: S305 - the protocol says so
    return encryptor.update(challenge) + encryptor.finalize()


Answer = Callable[[bytes], Awaitable[bytes]]


async def greet_server(server: Peer) -> tuple[int, frozenset[int]]:
    """Exchange versions with a VNC server; its minor version (3, 7 or 8) and the security types it offers."""
    found = VERSION.fullmatch(await server.read(VERSION_BYTES))
    if not found:
        raise RfbError("what listens there is no VNC server", NO_VNC)
    minor = int(found[2])
    # Apple's 3.889 and RealVNC's 4.x and 5.x speak 3.8 with others
    minor = 8 if int(found[1]) > 3 or minor >= 8 else 7 if minor == 7 else 3
    await server.write(b"RFB 003.%03d\n" % minor)
    if minor == 3:
        kind = struct.unpack(">I", await server.read(4))[0]
        if kind == 0:
            raise RfbError(f"the VNC server refuses: {await _reason(server)}", VNC_REFUSES)
        return minor, frozenset((kind,))
    count = (await server.read(1))[0]
    if count == 0:
        raise RfbError(f"the VNC server refuses: {await _reason(server)}", VNC_REFUSES)
    return minor, frozenset(await server.read(count))


def choose_security(offered: frozenset[int], password: str | None) -> int:
    """NONE or VNC_AUTH. Raises RfbError when the server wants something else."""
    if VNC_AUTH in offered and (password is not None or NONE not in offered):
        return VNC_AUTH
    if NONE in offered:
        return NONE
    raise RfbError(
        "the VNC server wants a login that this service does not know; have it offer None or VncAuth "
        "(Xvnc -SecurityTypes)",
        NO_LOGIN,
    )


async def log_in(server: Peer, minor: int, kind: int, answer: Answer) -> None:
    """Log in to the VNC server; `answer` gives the response to a challenge. Raises RfbError when it is refused."""
    if minor > 3:
        await server.write(bytes((kind,)))
    if kind == VNC_AUTH:
        await server.write(await answer(await server.read(CHALLENGE_BYTES)))
    if kind == VNC_AUTH or minor == 8:
        status = struct.unpack(">I", await server.read(4))[0]
        if status != 0:
            reason = await _reason(server) if minor == 8 else ""
            raise RfbError(f"the VNC server refuses the login: {reason or 'wrong password'}", WRONG_LOGIN)


async def _reason(peer: Peer) -> str:
    """The server's words, as far as they are fit for a line."""
    length = struct.unpack(">I", await peer.read(4))[0]
    if length > LONGEST_REASON:
        return "it gives a reason that is too long"
    text = (await peer.read(length)).decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


class Stage(enum.Enum):
    """How far the handshake with a browser has come: that decides which form a refusal has."""

    BEGIN = "begin"
    GREETED = "greeted"  # versions are known: a refusal is a list of no security types
    CHOSEN = "chosen"  # a way to log in was offered, and taken: a refusal is a failed login
    DONE = "done"  # nothing can be refused any more


class BrowserSide:
    """The handshake with a browser, as its VNC server."""

    def __init__(self, browser: Peer) -> None:
        self.browser = browser
        self.minor = 8
        self._stage = Stage.BEGIN
        self._kind = NONE

    async def greet(self) -> None:
        """Exchange versions. Raises RfbError for what is no VNC client."""
        await self.browser.write(OUR_VERSION)
        found = VERSION.fullmatch(await self.browser.read(VERSION_BYTES))
        if not found or int(found[1]) != 3:
            raise RfbError("the browser does not speak VNC")
        self.minor = 8 if int(found[2]) >= 8 else 7 if int(found[2]) == 7 else 3
        self._stage = Stage.GREETED

    async def offer(self, kind: int) -> None:
        """Say how to log in: NONE, or VNC_AUTH where the user is to be asked for the password."""
        self._stage, self._kind = Stage.CHOSEN, kind
        if self.minor == 3:
            await self.browser.write(struct.pack(">I", kind))
            return
        await self.browser.write(bytes((1, kind)))
        if await self.browser.read(1) != bytes((kind,)):
            raise RfbError("the browser chooses a login that was not offered")

    async def answer(self, challenge: bytes) -> bytes:
        """The user's response to the VNC server's challenge."""
        await self.browser.write(challenge)
        return await self.browser.read(CHALLENGE_BYTES)

    async def accept(self) -> None:
        """The login is done."""
        self._stage = Stage.DONE
        if self._kind == VNC_AUTH or self.minor == 8:
            await self.browser.write(struct.pack(">I", 0))

    async def refuse(self, reason: str) -> None:
        """Say that there is no desktop, and why, in the form that this stage of the handshake has (RFC 6143, 7.1.2 and
        7.1.3). Nothing where none can be said: before versions are known, and after the login.
        """
        text = reason.encode()[:LONGEST_REASON].decode("utf-8", "ignore").encode()
        words = struct.pack(">I", len(text)) + text
        if self._stage is Stage.GREETED:
            await self.browser.write((b"\0\0\0\0" if self.minor == 3 else b"\0") + words)
        elif self._stage is Stage.CHOSEN and self.minor == 8:
            await self.browser.write(b"\0\0\0\1" + words)
        elif self._stage is Stage.CHOSEN and self._kind == VNC_AUTH:
            await self.browser.write(b"\0\0\0\1")
        self._stage = Stage.DONE


class Kind(enum.Enum):
    """What a message of a browser is about."""

    VIEW = "view"  # how and what to show: goes through for everybody
    INPUT = "input"  # keys, pointer, clipboard: what somebody does
    CONTROL = "control"  # size of the screen, power: changes it for all


# fixed lengths by message type, RFC 6143 7.5 and rfbproto.rst
_FIXED = {
    0: (20, Kind.VIEW),  # SetPixelFormat
    3: (10, Kind.VIEW),  # FramebufferUpdateRequest
    4: (8, Kind.INPUT),  # KeyEvent
    5: (6, Kind.INPUT),  # PointerEvent
    150: (10, Kind.VIEW),  # EnableContinuousUpdates
    250: (4, Kind.CONTROL),  # xvp
}
POINTER, SET_ENCODINGS, CLIENT_CUT_TEXT, FENCE, SET_DESKTOP_SIZE, GII, QEMU = 5, 2, 6, 248, 251, 253, 255
POINTER_EXTENDED = 0x80
_LONGER = {
    SET_ENCODINGS: (4, Kind.VIEW),
    CLIENT_CUT_TEXT: (8, Kind.INPUT),
    FENCE: (9, Kind.VIEW),
    SET_DESKTOP_SIZE: (8, Kind.CONTROL),
    GII: (4, Kind.INPUT),
    QEMU: (4, Kind.INPUT),
}


MOST_ENCODINGS = 1024
FLAGS_BYTES = 4  # of the extended clipboard
Decide = Callable[[Kind, bytes, int], tuple[bytes, int]]


def browser_messages(decide: Decide, longest: int = MOST_MESSAGE_BYTES) -> Grammar:
    """The grammar of what a browser sends after the handshake.

    `decide` gets the kind of a message, its first bytes, and how many are to come behind them; it says what of the
    first bytes goes through, and what becomes of the others: PASS or DROP. SetEncodings and messages of a fixed length
    come whole, those of the extended clipboard with their flags. Raises RfbError for a message of unknown type, which
    has no known end, and for one that is longer than `longest`.
    """
    while True:
        head = yield TAKE, 1
        kind = head[0]
        if kind in _FIXED:
            size, what = _FIXED[kind]
            head += yield TAKE, 1
            # the extended pointer message is a byte longer, and marked in its buttons
            longer = kind == POINTER and bool(head[1] & POINTER_EXTENDED)
            head += yield TAKE, size - 2 + longer
            rest = 0
        elif kind in _LONGER:
            size, what = _LONGER[kind]
            head += yield TAKE, size - 1
            rest = _variable_size(kind, head) - size
            if rest > longest or (kind == SET_ENCODINGS and rest > 4 * MOST_ENCODINGS):
                raise RfbError("the browser sends a message that is too long")
            if kind == SET_ENCODINGS and rest:
                head += yield TAKE, rest
                rest = 0
            elif kind == CLIENT_CUT_TEXT and is_extended(head):
                head += yield TAKE, FLAGS_BYTES
                rest -= FLAGS_BYTES
        else:
            raise RfbError(f"the browser sends a message of the unknown type {kind}")
        goes, then = decide(what, head, rest)
        if goes:
            yield GIVE, goes
        if rest:
            yield then, rest


def _variable_size(kind: int, head: bytes) -> int:
    if kind == SET_ENCODINGS:
        return 4 + 4 * int(struct.unpack_from(">H", head, 2)[0])
    if kind == CLIENT_CUT_TEXT:  # negative: an extended clipboard message of that length
        return 8 + abs(int(struct.unpack_from(">i", head, 4)[0]))
    if kind == FENCE:
        return 9 + head[8]
    if kind == SET_DESKTOP_SIZE:
        return 8 + 16 * head[6]
    if kind == GII:
        return 4 + int(struct.unpack_from(">H" if head[1] & 0x80 else "<H", head, 2)[0])
    if head[1] == 0:  # QEMU extended key event
        return 12
    if head[1] == 1:  # QEMU audio: format has six bytes more
        return 10 if int(struct.unpack_from(">H", head, 2)[0]) == 2 else 4
    raise RfbError(f"the browser sends a QEMU message of the unknown type {head[1]}")
