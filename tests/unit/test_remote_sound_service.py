"""Connections for sound at the service: who gets one, what becomes of what their processes report, and how they end."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_remote_files_carrier import Desktops, closed, kind, page, run, served
from x2gobroker.remote import carrying
from x2gobroker.remote.beside import SOUND, open_beside
from x2gobroker.remote.counts import Rules
from x2gobroker.remote.sound.link import SOUND_PROTOCOL, hear
from x2gobroker.remote.told import NO_SOUND, TOO_MANY_OF_YOURS, NoDesktopError


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"fault": NoDesktopError("not now")}, "not now"),
        ({"view_only": True}, NO_SOUND),
        ({"share": b"x" * 32}, NO_SOUND),
        ({"kind": kind(sound="none")}, NO_SOUND),
        ({"kind": None}, NO_SOUND),
    ],
)
def test_who_hears_nothing_is_told(tmp_path: Path, more: dict[str, Any], told: str) -> None:
    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port, SOUND_PROTOCOL) as websocket:
            assert await closed(websocket) == (carrying.REFUSED, told)

    run(work, tmp_path, **more)


def test_it_counts_as_a_connection_of_its_user(tmp_path: Path) -> None:
    async def work(desktops: Desktops) -> None:
        async with served(desktops, Rules(per_user=0)) as port, page(port, SOUND_PROTOCOL) as websocket:
            assert await closed(websocket) == (carrying.REFUSED, TOO_MANY_OF_YOURS)

    run(work, tmp_path)


def test_bytes_go_through_as_they_are(tmp_path: Path) -> None:
    """In the end, the browser hears what the process says last."""
    ours, theirs = socket.socketpair()

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port, SOUND_PROTOCOL) as websocket:
            assert websocket.subprotocol == SOUND_PROTOCOL
            theirs.send(b"\x82\x03abc")
            assert await websocket.recv() == b"abc"
            await websocket.send("x")
            theirs.setblocking(False)
            masked = await asyncio.get_running_loop().sock_recv(theirs, 100)
            assert len(masked) == 2 + 4 + 1
            theirs.send(b"\x88\x02\x03\xe8")
            theirs.close()
            assert (await closed(websocket))[0] == 1000

    run(work, tmp_path, peer=ours)


def test_it_is_no_work_at_the_desktop(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()

    async def work(desktops: Desktops) -> None:
        before = desktops.desktop.last_input
        async with served(desktops) as port, page(port, SOUND_PROTOCOL):
            while not desktops.desktop.links:
                await asyncio.sleep(0.01)
            (link,) = desktops.desktop.links
            assert link.last_input == 0.0
            assert desktops.desktop.last_input == before
            assert not desktops.desktop.watched
            theirs.close()

    run(work, tmp_path, peer=ours)


def test_a_connection_that_is_cut_ends(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port, SOUND_PROTOCOL) as websocket:
            while not desktops.desktop.links:
                await asyncio.sleep(0.01)
            for link in desktops.desktop.links:
                link.cut("you were signed out")
            theirs.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(theirs, 100) == b""
            theirs.close()
            await closed(websocket)

    run(work, tmp_path, peer=ours)


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (
            b'{"do":"failed","reason":"no server \x7f"}',
            "remote: the process for sound of Desk/0 says what it may not: "
            "the field reason of a message 'failed' does not hold what it may",
        ),
        (b'{"do":"failed","reason":"no server"}', "remote: no sound of Desk/0: no\\x20server"),
        (b'{"do":"ended"}', "remote: the sound server of Desk/0 has ended"),
        (b'{"do":"offer"}', "remote: the process for sound of Desk/0 says what it may not: "),
        (b"x", "remote: the process for sound of Desk/0 says what it may not: "),
    ],
)
def test_reports_are_lines_of_the_log(caplog: pytest.LogCaptureFixture, report: bytes, line: str) -> None:
    caplog.set_level("INFO")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        theirs.send(report)
        theirs.shutdown(socket.SHUT_WR)
        asyncio.run(asyncio.wait_for(hear(ours, "Desk/0"), 20))
    (record,) = caplog.records
    assert record.getMessage().startswith(line)


def test_a_desktop_that_does_not_run_gives_no_sound(tmp_path: Path) -> None:
    async def work(desktops: Desktops) -> None:
        desktop = desktops.desktop
        for known in ({}, {desktop.slot.id: desktop}):
            with pytest.raises(NoDesktopError, match="not been started yet"):
                await open_beside(None, known, desktop.slot, None, SOUND)  # type: ignore[arg-type]

    run(work, tmp_path)
