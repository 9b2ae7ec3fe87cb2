"""VNC's protocol: the answer to a challenge, and what a browser sends."""

from __future__ import annotations

import asyncio
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.remote.cutting import PASS, Cutter
from x2gobroker.remote.rfb import (
    NONE,
    VNC_AUTH,
    Kind,
    RfbError,
    browser_messages,
    choose_security,
    encrypt_challenge,
)
from x2gobroker.remote.viewer import PIXEL_FORMAT as FIXED
from x2gobroker.remote.viewer import Viewer

PIXEL_FORMAT = bytes((0, 0, 0, 0)) + bytes(16)
ENCODINGS = struct.pack(">BxHiii", 2, 3, 0, -316, 0xC0A1E5CE - (1 << 32))
REQUEST = struct.pack(">BBHHHH", 3, 1, 0, 0, 10, 10)
KEY = struct.pack(">BBxxI", 4, 1, 0x61)
POINTER = struct.pack(">BBHH", 5, 1, 3, 4)
LONG_POINTER = struct.pack(">BBHHB", 5, 0x81, 3, 4, 1)
CUT_TEXT = struct.pack(">BxxxI", 6, 5) + b"hello"
EXTENDED_CUT = struct.pack(">Bxxxi", 6, -4) + bytes(4)
CONTINUOUS = struct.pack(">BBHHHH", 150, 1, 0, 0, 10, 10)
FENCE = struct.pack(">BxxxIB", 248, 1, 3) + b"abc"
POWER = bytes((250, 0, 1, 2))
RESIZE = struct.pack(">BxHHBx", 251, 10, 10, 1) + bytes(16)
GII = struct.pack(">BBH", 253, 0x81, 4) + bytes(4)
QEMU_KEY = struct.pack(">BBHII", 255, 0, 1, 0x61, 30)
QEMU_SOUND = struct.pack(">BBH", 255, 1, 0)
QEMU_FORMAT = struct.pack(">BBHBBI", 255, 1, 2, 0, 2, 44100)
VIEWED = (PIXEL_FORMAT, ENCODINGS, REQUEST, CONTINUOUS, FENCE)
DONE = (
    KEY, POINTER, LONG_POINTER, CUT_TEXT, EXTENDED_CUT, POWER, RESIZE, GII, QEMU_KEY, QEMU_SOUND, QEMU_FORMAT
)  # fmt: skip


def test_the_answer_to_a_challenge() -> None:
    challenge = bytes(range(16))
    assert encrypt_challenge("12345678", challenge) == encrypt_challenge("123456789", challenge)
    assert encrypt_challenge("12345678", challenge) != encrypt_challenge("1234567", challenge)
    # a zero key on zeros is the known answer of DES itself
    assert encrypt_challenge("", bytes(16)).hex() == "8ca64de9c1b123a7" * 2


@pytest.mark.parametrize(
    ("offered", "password", "chosen"),
    [({1}, None, NONE), ({1, 2}, None, NONE), ({1, 2}, "x", VNC_AUTH), ({2}, None, VNC_AUTH), ({1}, "x", NONE)],
)
def test_how_to_log_in(offered: set[int], password: str | None, chosen: int) -> None:
    assert choose_security(frozenset(offered), password) == chosen


def test_logins_that_are_not_known() -> None:
    with pytest.raises(RfbError, match="SecurityTypes"):
        choose_security(frozenset({19, 5}), "x")


def cut(data: st.DataObject, stream: bytes) -> list[bytes]:
    """The stream in pieces of any size."""
    pieces = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        pieces.append(stream[:size])
        stream = stream[size:]
    return pieces


def messages_of(pieces: list[bytes]) -> list[tuple[Kind, int]]:
    """Kind and length of each message that is found in these."""
    found: list[tuple[Kind, int]] = []

    def decide(kind: Kind, head: bytes, rest: int) -> tuple[bytes, int]:
        found.append((kind, len(head) + rest))
        return head, PASS

    cutter = Cutter(browser_messages(decide))
    through = b"".join(part for piece in pieces for part in cutter.feed(piece))
    assert b"".join(pieces).startswith(through)
    return found


@given(st.lists(st.sampled_from(VIEWED + DONE), max_size=30), st.data())
def test_messages_are_found_however_they_are_cut(sent: list[bytes], data: st.DataObject) -> None:
    found = messages_of(cut(data, b"".join(sent)))
    assert [size for _, size in found] == [len(message) for message in sent]
    assert [kind is Kind.VIEW for kind, _ in found] == [message in VIEWED for message in sent]


class Server:
    """A VNC server that sends this in these pieces, and has gone; it keeps what it is sent."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = [piece for piece in pieces if piece]
        self.got = b""

    async def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = await self.receive(size - len(data))
            if not more:
                raise RfbError("gone")
            data += more
        return data

    async def receive(self, size: int) -> bytes:
        if not self.pieces:
            return b""
        data = self.pieces[0][:size]
        self.pieces[0] = self.pieces[0][size:]
        if not self.pieces[0]:
            del self.pieces[0]
        return data

    async def write(self, data: bytes) -> None:
        self.got += data


class Browser:
    """Sends these pieces; keeps what it is sent."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.got = b""

    async def receive(self) -> bytes:
        if not self.pieces:
            raise RfbError("the browser has gone")
        return self.pieces.pop(0)

    async def write(self, data: bytes) -> None:
        self.got += data


async def asked(*pieces: bytes) -> bytes:
    """What of these pieces of a viewer gets through to the VNC server."""
    server = Server()
    with pytest.raises(RfbError, match="gone"):
        await Viewer(server, Browser(*pieces), "desk").ask()
    return server.got


async def shown(*pieces: bytes, name: str = "desk") -> bytes:
    """What a viewer gets of a server that sends these pieces; always begun as the service does."""
    browser = Browser()
    viewer = Viewer(Server(*pieces), browser, name)
    await viewer.begin()
    await viewer.show()
    return browser.got


@given(st.lists(st.sampled_from(VIEWED + DONE), max_size=30), st.data())
def test_nothing_that_does_something_goes_through_for_viewers(sent: list[bytes], data: st.DataObject) -> None:
    plain = struct.pack(">BxHi", 2, 1, 0)
    kept = [message for message in sent if message in VIEWED and message != PIXEL_FORMAT]
    expected = b"".join(plain if message == ENCODINGS else message for message in kept)
    assert asyncio.run(asked(*cut(data, b"".join(sent)))) == expected


OTHERS_FORM = bytes((16, 16, 1, 0)) + bytes(12)
INIT = struct.pack(">HH", 8, 4) + OTHERS_FORM + struct.pack(">I", 11) + b"anna's desk"
SHOWN_INIT = struct.pack(">HH", 8, 4) + FIXED + struct.pack(">I", 4) + b"desk"
RECTANGLES = (
    struct.pack(">HHHHi", 0, 0, 8, 4, 0) + bytes(8 * 4 * 4),
    struct.pack(">HHHHi", 0, 0, 100, 90, 0) + bytes(100 * 90 * 4),  # more than one part
    struct.pack(">HHHHi", 0, 0, 8, 4, 1) + bytes(4),
    struct.pack(">HHHHi", 0, 0, 8, 4, 16) + struct.pack(">I", 5) + b"zlib.",
    struct.pack(">HHHHi", 0, 0, 8, 4, 16) + struct.pack(">I", 0),
    struct.pack(">HHHHi", 0, 0, 9, 2, -239) + bytes(9 * 2 * 4 + 4),
    struct.pack(">HHHHi", 0, 0, 0, 0, -239),
    struct.pack(">HHHHi", 0, 0, 8, 4, -223),
    struct.pack(">HHHHi", 0, 0, 8, 4, -308) + bytes((1, 0, 0, 0)) + bytes(16),
)
SEEN = (
    *(struct.pack(">BxH", 0, 1) + rectangle for rectangle in RECTANGLES),
    struct.pack(">BxH", 0, len(RECTANGLES)) + b"".join(RECTANGLES),
    struct.pack(">BxH", 0, 0),
    struct.pack(">BxH", 0, 65535) + RECTANGLES[0] + struct.pack(">HHHHi", 0, 0, 0, 0, -224),
    struct.pack(">BxHH", 1, 0, 2) + bytes(12),
    b"\x02",
    bytes((150,)),
    FENCE,
    POWER,
)
CLIPBOARD = (
    struct.pack(">BxxxI", 3, 6) + b"secret",
    struct.pack(">Bxxxi", 3, -6) + b"secret",
    struct.pack(">BxxxI", 3, 0),
)


@given(st.lists(st.sampled_from(SEEN + CLIPBOARD), max_size=12), st.data())
def test_viewers_see_everything_but_the_clipboard(sent: list[bytes], data: st.DataObject) -> None:
    got = asyncio.run(shown(*cut(data, INIT + b"".join(sent))))
    assert got == SHOWN_INIT + b"".join(message for message in sent if message not in CLIPBOARD)


@given(st.lists(st.sampled_from(VIEWED + DONE), max_size=20), st.data())
def test_nothing_that_a_viewer_sends_changes_how_the_server_is_read(sent: list[bytes], data: st.DataObject) -> None:
    """The form of pixels least of all: an update may be on its way in the old one."""
    secret = struct.pack(">BxH", 0, 1) + RECTANGLES[0] + CLIPBOARD[0] + SEEN[0]

    async def run() -> bytes:
        server = Server(*cut(data, INIT + secret))
        browser = Browser(*cut(data, b"".join(sent)))
        viewer = Viewer(server, browser, "desk")
        await viewer.begin()
        assert server.got == struct.pack(">Bxxx", 0) + FIXED
        with pytest.raises(RfbError, match="gone"):
            await viewer.ask()
        await viewer.show()
        assert server.got.count(FIXED) == 1
        return browser.got

    assert asyncio.run(run()) == SHOWN_INIT + secret.replace(CLIPBOARD[0], b"")


def test_viewers_learn_no_name_but_that_of_the_session_type() -> None:
    assert asyncio.run(shown(INIT, name="Büro")).endswith(struct.pack(">I", 5) + "Büro".encode())
    assert b"anna" not in asyncio.run(shown(INIT))


@pytest.mark.parametrize("sent", [b"\x63", struct.pack(">BxH", 0, 1) + struct.pack(">HHHHi", 0, 0, 1, 1, 7)])
def test_viewers_get_nothing_whose_end_is_not_known(sent: bytes) -> None:
    browser = Browser()
    viewer = Viewer(Server(INIT + sent + b"secret"), browser, "desk")
    asyncio.run(viewer.begin())
    with pytest.raises(RfbError, match="the VNC server sends"):
        asyncio.run(viewer.show())
    assert b"secret" not in browser.got


@given(st.binary(max_size=200), st.data())
def test_nonsense_is_held_back_or_refused(sent: bytes, data: st.DataObject) -> None:
    try:
        messages_of(cut(data, sent))
    except RfbError:
        return


@pytest.mark.parametrize("sent", [b"\x07", bytes((255, 9, 0, 0)), struct.pack(">BxxxI", 6, 1 << 30)])
def test_what_has_no_known_end_is_refused(sent: bytes) -> None:
    with pytest.raises(RfbError):
        messages_of([sent])


def test_viewers_may_send_short_messages_only() -> None:
    with pytest.raises(RfbError, match="too long"):
        asyncio.run(Viewer(Server(), Browser(struct.pack(">BxxxI", 6, 1 << 17)), "desk").ask())


LONG = (
    struct.pack(">BxxxI", 6, 1 << 24) + bytes(1 << 12),
    struct.pack(">BxxxI", 6, 1 << 24),
    struct.pack(">BxHi", 2, 1000, 0),
    struct.pack(">BxHHBx", 251, 9, 9, 255),
)


@pytest.mark.parametrize("begin", LONG)
def test_of_a_message_that_is_passed_on_or_dropped_nothing_is_kept(begin: bytes) -> None:
    """Fragment after fragment costs the same: what is held does not grow with the message."""
    cutter = Cutter(browser_messages(lambda _kind, head, _rest: (head, PASS)))
    list(cutter.feed(begin))
    began = time.process_time()
    for _ in range(3000):
        list(cutter.feed(b"x"))
        assert cutter.held_bytes <= 4 * 1024
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("sent", [POWER * 200_000, struct.pack(">BBH", 253, 0x80, 0) * 200_000])
def test_many_small_messages_leave_turns_for_others(sent: bytes) -> None:
    """No step of a cutter takes long, however many messages are in one piece."""
    cutter = Cutter(browser_messages(lambda _kind, _head, _rest: (b"", PASS)))
    parts = cutter.feed(sent)
    longest = 0.0
    began = time.thread_time()
    for _ in parts:
        now = time.thread_time()
        longest, began = max(longest, now - began), now
    assert longest < 0.02
