"""VNC's protocol: the answer to a challenge, and what a browser sends."""

from __future__ import annotations

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.remote.rfb import (
    NONE,
    VNC_AUTH,
    ClientMessages,
    Kind,
    RfbError,
    choose_security,
    encrypt_challenge,
)
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


@given(st.lists(st.sampled_from(VIEWED + DONE), max_size=30), st.data())
def test_messages_are_found_however_they_are_cut(sent: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(sent)
    reader = ClientMessages()
    found: list[tuple[Kind, bytes]] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += reader.feed(stream[:size])
        stream = stream[size:]
    assert [message for _, message in found] == sent
    assert [kind is Kind.VIEW for kind, _ in found] == [message in VIEWED for message in sent]


@given(st.lists(st.sampled_from(VIEWED + DONE), max_size=30))
def test_nothing_that_does_something_goes_through_for_viewers(sent: list[bytes]) -> None:
    through = Viewer(Server(b""), Browser()).let_in(ClientMessages().feed(b"".join(sent)))
    again = [message for _, message in ClientMessages().feed(through)]
    plain = struct.pack(">BxHi", 2, 1, 0)
    assert again == [plain if message == ENCODINGS else message for message in sent if message in VIEWED]


class Server:
    """A VNC server that has sent this, and gone."""

    def __init__(self, sent: bytes) -> None:
        self.sent = sent

    async def read(self, size: int) -> bytes:
        if size > len(self.sent):
            raise RfbError("gone")
        return await self.receive(size)

    async def receive(self, size: int) -> bytes:
        data, self.sent = self.sent[:size], self.sent[size:]
        return data


class Browser:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.got = b""

    async def write(self, data: bytes) -> None:
        self.got += data


INIT = struct.pack(">HH", 8, 4) + bytes((32, 24, 0, 1)) + bytes(12) + struct.pack(">I", 4) + b"desk"
RECTANGLES = (
    struct.pack(">HHHHi", 0, 0, 8, 4, 0) + bytes(8 * 4 * 4),
    struct.pack(">HHHHi", 0, 0, 300, 200, 0) + bytes(300 * 200 * 4),  # more than one part
    struct.pack(">HHHHi", 0, 0, 8, 4, 1) + bytes(4),
    struct.pack(">HHHHi", 0, 0, 8, 4, 16) + struct.pack(">I", 5) + b"zlib.",
    struct.pack(">HHHHi", 0, 0, 9, 2, -239) + bytes(9 * 2 * 4 + 4),
    struct.pack(">HHHHi", 0, 0, 8, 4, -223),
    struct.pack(">HHHHi", 0, 0, 8, 4, -308) + bytes((1, 0, 0, 0)) + bytes(16),
)
SEEN = (
    *(struct.pack(">BxH", 0, 1) + rectangle for rectangle in RECTANGLES),
    struct.pack(">BxH", 0, len(RECTANGLES)) + b"".join(RECTANGLES),
    struct.pack(">BxH", 0, 65535) + RECTANGLES[0] + struct.pack(">HHHHi", 0, 0, 0, 0, -224),
    struct.pack(">BxHH", 1, 0, 2) + bytes(12),
    b"\x02",
    bytes((150,)),
    FENCE,
    POWER,
)
CLIPBOARD = (struct.pack(">BxxxI", 3, 6) + b"secret", struct.pack(">Bxxxi", 3, -6) + b"secret")


@given(st.lists(st.sampled_from(SEEN + CLIPBOARD), max_size=12))
def test_viewers_see_everything_but_the_clipboard(sent: list[bytes]) -> None:
    browser = Browser()
    with pytest.raises(RfbError, match="gone"):
        asyncio.run(Viewer(Server(INIT + b"".join(sent)), browser).run())
    assert browser.got == INIT + b"".join(message for message in sent if message not in CLIPBOARD)


@pytest.mark.parametrize("sent", [b"\x63", struct.pack(">BxH", 0, 1) + struct.pack(">HHHHi", 0, 0, 1, 1, 7)])
def test_viewers_get_nothing_whose_end_is_not_known(sent: bytes) -> None:
    browser = Browser()
    with pytest.raises(RfbError, match="the VNC server sends"):
        asyncio.run(Viewer(Server(INIT + sent + b"secret"), browser).run())
    assert b"secret" not in browser.got


@given(st.binary(max_size=200))
def test_nonsense_is_held_back_or_refused(sent: bytes) -> None:
    reader = ClientMessages()
    try:
        found = reader.feed(sent)
    except RfbError:
        return
    assert sent.startswith(b"".join(message for _, message in found))


@pytest.mark.parametrize("sent", [b"\x07", bytes((255, 9, 0, 0)), struct.pack(">BxxxI", 6, 1 << 30)])
def test_what_has_no_known_end_is_refused(sent: bytes) -> None:
    with pytest.raises(RfbError):
        ClientMessages().feed(sent)
