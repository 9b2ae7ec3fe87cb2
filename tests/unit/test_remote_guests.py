"""A VNC server that asks for a password which only the user of its desktop knows: guests are not asked for it."""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection

from tests.unit.test_remote_files_carrier import Desktops, page, run, served
from x2gobroker.remote.desktop import Connection, Desktop
from x2gobroker.remote.service import PROTOCOL
from x2gobroker.remote.told import NOT_FOR_GUESTS
from x2gobroker.store import Slot

VERSION = b"RFB 003.008\n"
VNC_AUTH = 2


class Asking:
    """The VNC server of a desktop; `chosen`: what was chosen of its ways to log in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.chosen = b""
        self._running: asyncio.Task[None] | None = None

        async def enter(desktops: Desktops, _slot: Slot, link: Connection) -> tuple[Desktop, socket.socket]:
            theirs, ours = socket.socketpair()
            self._running = asyncio.create_task(self._serve(ours))
            desktops.desktop.enter(link)
            return desktops.desktop, theirs

        monkeypatch.setattr(Desktops, "enter", enter, raising=False)

    async def _serve(self, ours: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=ours)
        writer.write(VERSION)
        assert await reader.readexactly(len(VERSION)) == VERSION
        writer.write(bytes((1, VNC_AUTH)))
        self.chosen = await reader.read(1)
        if self.chosen:
            writer.write(bytes(16))
            await reader.read(16)
        writer.close()

    async def ended(self) -> None:
        """Wait until the service has gone."""
        assert self._running is not None
        await self._running


async def greeted(websocket: ClientConnection) -> bytes:
    """What comes behind the versions, in one message."""
    assert await websocket.recv() == VERSION
    await websocket.send(VERSION)
    found = await websocket.recv()
    assert isinstance(found, bytes)
    return found


@pytest.mark.parametrize("view_only", [True, False])
def test_guests_are_refused_at_once_and_told_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, view_only: bool
) -> None:
    async def work(desktops: Desktops) -> None:
        asking = Asking(monkeypatch)
        async with served(desktops) as port, page(port, PROTOCOL) as websocket:
            reason = NOT_FOR_GUESTS.encode()
            assert await greeted(websocket) == b"\0" + struct.pack(">I", len(reason)) + reason
            await asking.ended()
            assert asking.chosen == b"", "an attempt of a guest counts as none of the user's"

    run(work, tmp_path, view_only=view_only, share=b"a link")


def test_the_user_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(desktops: Desktops) -> None:
        asking = Asking(monkeypatch)
        async with served(desktops) as port:
            async with page(port, PROTOCOL) as websocket:
                assert await greeted(websocket) == bytes((1, VNC_AUTH))
                await websocket.send(bytes((VNC_AUTH,)))
                assert await websocket.recv() == bytes(16), "the challenge"
                await websocket.send(bytes(16))
                await asking.ended()
            assert asking.chosen == bytes((VNC_AUTH,))

    run(work, tmp_path)
