"""Those who may only view, with real TigerVNC: whatever they send, they see the screen and nothing else of it."""

from __future__ import annotations

import contextlib
import os
import random
import struct
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.integration.test_remote_service import DISPLAYS, plain
from tests.support.processes import wait_until
from tests.support.remote import Remote, remote
from tests.support.rfb_client import RfbClient
from x2gobroker.store import Slot

MARK = "s3cr3t-copied-by-anna"
SHIFT = 40
ROUNDS = 150
FENCE = struct.pack(">BxxxIB", 248, 0x80000000, 64) + b"F" * 64


@pytest.fixture(scope="module")
def service() -> Iterator[Remote]:
    """A service with one session type."""
    with remote({"Desktop": plain(2, SHIFT)}) as made:
        yield made


@pytest.fixture
def owner(service: Remote) -> Iterator[tuple[Slot, RfbClient]]:
    """anna at her desktop, where a terminal shows a line that can be copied."""
    slot = service.reserve("Desktop", count=2, size="640x480")
    client = service.connect(slot)
    display = f":{DISPLAYS + SHIFT + slot.number}"
    argv = ["xterm", "-display", display, "-geometry", "80x24+0+0", "-e", "sh", "-c", f"echo {MARK}; sleep 600"]
    empty = client.picture()
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as terminal:
        try:
            wait_until(lambda: client.picture() != empty, "something being on the screen", 20)
            time.sleep(1)
            yield slot, client
        finally:
            terminal.kill()
    client.close()
    service.desktops.ask_stop(slot)
    service.wait_for_state(slot, "gone")


def copy_the_line(client: RfbClient) -> None:
    """A triple click on the first line."""
    for down in (0, 1, 0, 1, 0, 1, 0):
        client.write(struct.pack(">BBHH", 5, down, 40, 8))
        time.sleep(0.04)


def look_on(service: Remote, slot: Slot) -> RfbClient:
    """A guest with a link."""
    link = service.desktops.share(slot)
    return RfbClient(service.port, service.desktops.token(slot, "guest", "127.0.0.1", share=link))


def pixels(bits: int) -> bytes:
    """A SetPixelFormat of a guest."""
    form = {8: (8, 0, 1, 7, 7, 3, 0, 3, 6), 32: (24, 0, 1, 255, 255, 255, 16, 8, 0)}[bits]
    return struct.pack(">BxxxBBBBHHHBBBxxx", 0, bits, *form)


def everything(guest: RfbClient, seconds: float) -> bytes:
    """All that comes within this time."""
    got, end = b"", time.monotonic() + seconds
    with contextlib.suppress(TimeoutError):
        while (left := end - time.monotonic()) > 0:
            message = guest.websocket.recv(timeout=left)
            assert isinstance(message, bytes)
            got += message
    return got


def test_the_owner_gets_what_is_copied(owner: tuple[Slot, RfbClient]) -> None:
    """Else the tests below would show nothing."""
    _, client = owner
    copy_the_line(client)
    wait_until(lambda: bool(client.picture()) and MARK.encode() in client.clipboard, "the clipboard", 10)


def test_no_race_of_a_viewer_shows_the_clipboard(service: Remote, owner: tuple[Slot, RfbClient]) -> None:
    """It changes the form of pixels while updates are on their way, and then waits for what is copied."""
    slot, client = owner
    guest = look_on(service, slot)
    guest.write(struct.pack(">BxHii", 2, 2, 0, -312))
    chance = random.Random(10)
    for _ in range(ROUNDS):
        guest.write(pixels(8))
        guest.write(struct.pack(">BBHHHH", 3, 0, 300, 200, 256, 256))
        time.sleep(chance.uniform(0.0, 0.004))
        guest.write(pixels(32))
    got = everything(guest, 1.0)
    copy_the_line(client)
    for _ in range(40):
        guest.write(FENCE * 50)
    got += everything(guest, 2.0)
    assert MARK.encode() not in got
    # the stream is whole: updates of 32 bits and answers to fences, and not one byte else
    at, fences = 0, 0
    while at < len(got):
        if got[at] == 248:
            at, fences = at + 9 + got[at + 8], fences + 1
            continue
        assert got[at] == 0
        (count,) = struct.unpack_from(">H", got, at + 2)
        at += 4
        for _ in range(count):
            width, height, encoding = struct.unpack_from(">4xHHi", got, at)
            assert encoding == 0
            at += 12 + 4 * width * height
    assert at == len(got)
    assert fences
    assert len(guest.picture()) == 4 * 640 * 480
    guest.close()


def test_a_viewer_learns_neither_the_users_name_nor_that_of_the_host(
    service: Remote, owner: tuple[Slot, RfbClient]
) -> None:
    guest = look_on(service, owner[0])
    assert guest.name == "Desktop"
    assert os.uname().nodename in owner[1].name
    guest.close()


def test_fragments_of_a_viewer_hold_up_nobody(service: Remote, owner: tuple[Slot, RfbClient]) -> None:
    """A long message that never ends, byte by byte, while somebody else works."""
    slot, client = owner
    guest = look_on(service, slot)
    guest.write(struct.pack(">BxxxI", 6, 60_000))
    longest = 0.0
    for _ in range(30):
        for _ in range(10):
            guest.write(b"x")
        began = time.monotonic()
        client.write(struct.pack(">BBHHHH", 3, 0, 0, 0, 1, 1))
        client.read(4 + 12 + 4)
        longest = max(longest, time.monotonic() - began)
    assert longest < 0.3
    guest.close()
