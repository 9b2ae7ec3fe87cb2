"""Which way the clipboard works, in the streams of browser and VNC server as they cross the service."""

from __future__ import annotations

import inspect
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.remote.clipboard import CAPS, EXTENDED_CLIPBOARD, NOTIFY, PROVIDE, Clipboard
from x2gobroker.remote.cutting import Cutter, Grammar
from x2gobroker.remote.relay import relay, shake_hands
from x2gobroker.remote.rfb import RfbError, browser_messages
from x2gobroker.remote.viewer import ENCODINGS, RightsToWork, Viewer, server_messages

REQUEST, PEEK, TEXT = 1 << 25, 1 << 26, 1
IN, OUT, BOTH, NEITHER = Clipboard.of("in"), Clipboard.of("out"), Clipboard.of("both"), Clipboard.of("none")
KEY = struct.pack(">BBxxI", 4, 1, 0x61)
BELL = b"\x02"


def from_browser(content: bytes) -> bytes:
    """A plain text for the desktop's clipboard."""
    return struct.pack(">Bxxxi", 6, len(content)) + content


def from_server(content: bytes) -> bytes:
    """A plain text of the desktop's clipboard."""
    return struct.pack(">Bxxxi", 3, len(content)) + content


def extended(kind: int, flags: int, content: bytes = b"") -> bytes:
    """A message of the extended clipboard."""
    return struct.pack(">BxxxiI", kind, -4 - len(content), flags | TEXT) + content


def through(grammar: Grammar, data: bytes, step: int = 0) -> bytes:
    """What comes out, given in one piece or in pieces of `step` bytes."""
    cutter = Cutter(grammar)
    pieces = [data] if not step else [data[at : at + step] for at in range(0, len(data), step)]
    return b"".join(part for piece in pieces for part in cutter.feed(piece))


def inwards(clipboard: Clipboard) -> Grammar:
    return browser_messages(RightsToWork(clipboard, lambda: None, is_guest=False).let_in)


@pytest.mark.parametrize("step", [0, 1, 3])
@pytest.mark.parametrize(
    ("clipboard", "text", "asks", "carries"),
    [(BOTH, True, True, True), (IN, True, True, True), (OUT, False, True, False), (NEITHER, False, False, False)],
)
def test_what_a_browser_sends(clipboard: Clipboard, text: bool, asks: bool, carries: bool, step: int) -> None:
    for message, passes in (
        (from_browser(b"secret"), text),
        (from_browser(b""), text),
        (extended(6, REQUEST), asks),
        (extended(6, PEEK), asks),
        (extended(6, CAPS | REQUEST | PEEK | NOTIFY | PROVIDE, bytes(4)), asks),
        (extended(6, NOTIFY), carries),
        (extended(6, PROVIDE, b"compressed"), carries),
    ):
        assert through(inwards(clipboard), KEY + message + KEY, step) == KEY + message * passes + KEY


@pytest.mark.parametrize("step", [0, 1, 3])
@pytest.mark.parametrize(
    ("clipboard", "text", "asks"),
    [(BOTH, True, True), (OUT, True, True), (IN, False, True), (NEITHER, False, False)],
)
def test_what_a_server_sends(clipboard: Clipboard, text: bool, asks: bool, step: int) -> None:
    for message, passes in (
        (from_server(b"secret"), text),
        (from_server(b""), text),
        (extended(3, REQUEST), asks),
        (extended(3, CAPS | REQUEST | NOTIFY | PROVIDE, bytes(4)), asks),
        (extended(3, NOTIFY), text),
        (extended(3, PROVIDE, b"compressed"), text),
    ):
        assert through(server_messages(clipboard), BELL + message + BELL, step) == BELL + message * passes + BELL


@given(
    st.sampled_from((IN, OUT, NEITHER)),
    st.lists(st.tuples(st.sampled_from((0, NOTIFY, PROVIDE, REQUEST, PEEK, CAPS)), st.binary(max_size=40)), max_size=8),
    st.integers(0, 7),
)
def test_whole_messages_come_out_however_they_are_cut(
    clipboard: Clipboard, messages: list[tuple[int, bytes]], step: int
) -> None:
    """And just those that the same rule lets pass one by one."""
    for kind, grammar in ((6, inwards), (3, server_messages)):
        made = [
            struct.pack(">Bxxxi", kind, len(content)) + content if not flags else extended(kind, flags, content)
            for flags, content in messages
        ]
        one_by_one = b"".join(through(grammar(clipboard), message) for message in made)
        assert through(grammar(clipboard), b"".join(made), step) == one_by_one


def test_encodings_whose_end_is_not_known_are_not_asked_for() -> None:
    numbers = [7, 16, EXTENDED_CLIPBOARD, -258, -260, 0x574D5664]
    message = struct.pack(f">BxH{len(numbers)}i", 2, len(numbers), *numbers)
    kept = struct.unpack_from(">3i", through(inwards(IN), message), 4)
    assert kept == (16, EXTENDED_CLIPBOARD, -258)
    assert 7 not in ENCODINGS


def test_a_guest_who_works_changes_nothing_for_all() -> None:
    """Keys and pointer go in; the size of the desktop, its power and its clipboard are its user's."""
    size = struct.pack(">BxHHBx", 251, 800, 600, 1) + bytes(16)
    power = struct.pack(">BxBB", 250, 1, 2)
    pointer = struct.pack(">BBHH", 5, 1, 10, 20)
    sent = KEY + size + pointer + power + from_browser(b"text") + KEY
    guest = RightsToWork(NEITHER, lambda: None, is_guest=True)
    assert through(browser_messages(guest.let_in), sent) == KEY + pointer + KEY
    assert through(inwards(BOTH), sent) == sent


def test_nobody_works_or_has_the_clipboard_by_default() -> None:
    """Whoever calls says who it is: what is forgotten must not be the most that there is."""
    with pytest.raises(TypeError):
        Clipboard()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        RightsToWork(NEITHER, lambda: None)  # type: ignore[call-arg]
    for function, needed in ((relay, {"name", "clipboard", "is_guest"}), (shake_hands, {"is_guest"})):
        taken = inspect.signature(function).parameters.values()
        assert {one.name for one in taken if one.kind is one.KEYWORD_ONLY and one.default is one.empty} == needed
        assert all(one.default is one.empty for one in taken)
    assert Viewer.__init__.__defaults__ == (None,), "a guest who may only view"


def test_work_is_noticed_and_looking_is_not() -> None:
    seen: list[None] = []
    grammar = browser_messages(RightsToWork(NEITHER, lambda: seen.append(None), is_guest=False).let_in)
    through(grammar, struct.pack(">BBHHHH", 3, 1, 0, 0, 1, 1))
    assert seen == []


def test_a_server_that_sends_what_was_not_asked_for_is_left() -> None:
    tight = struct.pack(">BxHHHHHi", 0, 1, 0, 0, 8, 8, 7)
    with pytest.raises(RfbError, match="encoding 7"):
        through(server_messages(IN), tight)
