"""The way between a browser and its user's process: whole, in order, no faster than either side takes, and no longer
than it may.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.support.processes import free_port
from x2gobroker.errors import StoreError
from x2gobroker.privilege import account_named
from x2gobroker.remote import carrying as carrier
from x2gobroker.remote.beside import Beside
from x2gobroker.remote.counts import Rules
from x2gobroker.remote.desktop import Connection, Desktop
from x2gobroker.remote.files.link import FILES_PROTOCOL
from x2gobroker.remote.files.messages import WINDOW_BYTES
from x2gobroker.remote.files.process import fork_files
from x2gobroker.remote.files.reports import Reports
from x2gobroker.remote.files.session import FileRules
from x2gobroker.remote.service import TOKEN_PREFIX, RemoteService
from x2gobroker.remote.told import NO_FILES, NO_STORE, NoDesktopError
from x2gobroker.remote.types import SessionType, parse_types
from x2gobroker.store import Pass, Slot

ADDRESS = "127.0.0.1"


def slot() -> Slot:
    times: dict[str, Any] = {"since": 0.0, "reserved": 0.0, "started": 0.0, "last_seen": 0.0, "last_input": 0.0}
    texts: dict[str, Any] = dict.fromkeys(
        ("address", "node", "host", "unix_path", "ends_why", "progress", "note", "wanted"), ""
    )
    return Slot(
        type="Desk", number=0, id="0123456789abcdef", username="anna", state="running", port=0, connections=0,
        ends=None, options={}, **times, **texts,
    )  # fmt: skip


def kind(**keys: object) -> SessionType:
    """The session type of that desktop, with these keys."""
    text = json.dumps({"Desk": {"script": "tigervnc.py", "count": 1, **keys}})
    return parse_types(text, Path("types.json")).types["Desk"]


@dataclass
class Desktops:
    """Those of one user, who has a home folder. `pid`: of the last process for files; `kind`: the type as it is now."""

    home: Path
    holder: Pass
    kind: SessionType | None = field(default_factory=lambda: kind(files="both", sound="out"))
    desktop: Desktop = field(default_factory=lambda: Desktop(slot(), None))
    fault: NoDesktopError | None = None
    pid: int = 0
    peer: socket.socket | None = None  # in the place of the process, where a test is that

    async def ask_store(self, _work: Callable[[Any], Any]) -> Pass:
        return self.holder

    async def open_beside(
        self, _slot: Slot, link: Connection, _what: Beside
    ) -> tuple[Desktop, socket.socket, socket.socket]:
        if self.fault is not None:
            raise self.fault
        self.desktop.beside.add(link)
        if self.peer is not None:
            return self.desktop, self.peer, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)[0]
        account = account_named("root")  # as whom the test runs
        made = fork_files(type(account)(**{**vars(account), "home": str(self.home)}), FileRules(True, True, 1 << 30))
        self.pid = made.pid
        return self.desktop, made.connection, made.reports


@asynccontextmanager
async def served(desktops: Desktops, rules: Rules | None = None) -> AsyncIterator[int]:
    port = free_port()
    listener = socket.create_server((ADDRESS, port))
    found = rules or Rules(origins=(f"http://{ADDRESS}:{port}",))
    service = RemoteService(desktops, lambda: found, {"Desk": desktops.kind}.get)  # type: ignore[arg-type]
    listening = await service.listen(listener, None)
    try:
        yield port
    finally:
        listening.close()
        await listening.wait_closed()


def page(port: int, *protocols: str) -> connect:
    words = [Subprotocol(name) for name in (*(protocols or (FILES_PROTOCOL,)), TOKEN_PREFIX + "a" * 40)]
    return connect(
        f"ws://{ADDRESS}:{port}/websockify",
        subprotocols=words, origin=f"http://{ADDRESS}:{port}", max_size=1 << 22, compression=None,  # type: ignore[arg-type]
    )  # fmt: skip


def run(work: Callable[[Desktops], Awaitable[None]], tmp_path: Path, **more: Any) -> Desktops:
    holder = Pass(slot(), "anna", more.pop("view_only", False), more.pop("share", None))
    desktops = Desktops(tmp_path, holder, **more)
    asyncio.run(asyncio.wait_for(work(desktops), 60))
    if desktops.pid:
        os.waitpid(desktops.pid, 0)
    assert not desktops.desktop.beside
    return desktops


async def say(websocket: ClientConnection, do: str, **fields: Any) -> None:
    await websocket.send(carrier_json(do, **fields))


def carrier_json(do: str, **fields: Any) -> str:
    return json.dumps({"do": do, **fields})


async def hear(websocket: ClientConnection) -> dict[str, Any]:
    found = await websocket.recv()
    assert isinstance(found, str), found[:20]
    return dict(json.loads(found))


async def closed(websocket: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed):
        while True:
            await websocket.recv()
    return websocket.close_code or 0, websocket.close_reason or ""


def test_up_and_down_again(tmp_path: Path) -> None:
    data = os.urandom((3 << 20) + 5)

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            assert websocket.subprotocol == FILES_PROTOCOL
            await say(websocket, "upload", folder="", name="x", size=len(data), modified=1)
            assert (await hear(websocket))["do"] == "ready"
            await say(websocket, "go", offset=0)
            for first in range(0, len(data), 1 << 19):
                await websocket.send(data[first : first + (1 << 19)])
            while (found := await hear(websocket))["do"] == "written":
                pass
            assert found == {"do": "done", "name": "x"}
            await say(websocket, "download", folder="", item="x", offset=0, stamp="")
            assert (await hear(websocket))["size"] == len(data)
            back = b""
            while len(back) < len(data):
                part = await websocket.recv()
                assert isinstance(part, bytes)
                back += part
                await say(websocket, "taken", bytes=len(back))
            assert back == data
            assert (await hear(websocket))["do"] == "sent"

    run(work, tmp_path)
    assert (tmp_path / "x").read_bytes() == data


def test_what_it_says_of_transfers_is_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            await say(websocket, "upload", folder="", name="my file", size=3, modified=1)
            await hear(websocket)
            await say(websocket, "go", offset=0)
            await websocket.send(b"abc")
            await hear(websocket)
            await hear(websocket)

    run(work, tmp_path)
    said = [record.getMessage() for record in caplog.records]
    assert "remote: 127.0.0.1 uploads ~/my\\x20file at Desk/0 of anna (01234567): begins at 0 of 3 bytes" in said
    assert "remote: 127.0.0.1 uploads ~/my\\x20file at Desk/0 of anna (01234567): 3 of 3 bytes: done" in said


def test_what_no_process_of_ours_would_say_is_no_line_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(_desktops: Desktops) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            theirs.send(b'{"do":"moved","way":"upload","path":"a\\nb","size":1,"at":1,"why":"done"}')
            await Reports(ours, ADDRESS, "Desk/0", lambda _offer: "").hear()

    run(work, tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        "remote: the process for files of Desk/0 says what it may not: "
        "the field path of a message 'moved' does not hold what it may"
    ]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"fault": NoDesktopError("not now")}, "not now"),
        ({"view_only": True}, NO_FILES),
        ({"share": b"x" * 32}, NO_FILES),
        ({"kind": kind(files="none")}, NO_FILES),
        ({"kind": None}, NO_FILES),
    ],
)
def test_who_gets_no_files_is_told(tmp_path: Path, more: dict[str, Any], told: str) -> None:
    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            assert await closed(websocket) == (carrier.REFUSED, told)

    run(work, tmp_path, **more)


def test_a_store_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(_self: Desktops, _work: object) -> Pass:
        raise StoreError("down")

    monkeypatch.setattr(Desktops, "ask_store", failing)

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            assert await closed(websocket) == (carrier.REFUSED, NO_STORE)

    run(work, tmp_path)


def test_one_kind_of_connection_at_a_time(tmp_path: Path) -> None:
    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port:
            with pytest.raises(Exception, match="400"):
                await page(port, FILES_PROTOCOL, "binary")

    run(work, tmp_path)


def test_a_connection_that_is_cut_ends(tmp_path: Path) -> None:
    """As at the end of the sign-in, or of the desktop: the process says good-bye, and what has come is kept."""

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            await say(websocket, "upload", folder="", name="x", size=6, modified=1)
            await hear(websocket)
            await say(websocket, "go", offset=0)
            await websocket.send(b"abc")
            await asyncio.sleep(0.2)
            for link in desktops.desktop.links:
                link.cut("you were signed out")
            assert (await closed(websocket))[0] == 1001

    run(work, tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"abc"]


def test_one_that_is_cut_while_its_page_sends_ends_like_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is on its way to the process by then is dropped."""

    async def send(websocket: ClientConnection) -> None:
        while True:
            await websocket.send(bytes(1 << 18))

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            await say(websocket, "upload", folder="", name="x", size=1 << 30, modified=1)
            await hear(websocket)
            await say(websocket, "go", offset=0)
            sending = asyncio.ensure_future(send(websocket))
            await asyncio.sleep(0.2)
            for link in desktops.desktop.links:
                link.cut("you were signed out")
            assert (await closed(websocket))[0] == 1001
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    run(work, tmp_path)
    assert not [record for record in caplog.records if record.exc_info]


def test_one_that_is_cut_before_it_began(tmp_path: Path) -> None:
    async def work(desktops: Desktops) -> None:
        opening = desktops.open_beside

        async def cut_at_once(where: Slot, link: Connection, what: Beside) -> Any:
            found = await opening(where, link, what)
            link.cut("you were signed out")
            return found

        desktops.open_beside = cut_at_once  # type: ignore[method-assign, assignment]
        async with served(desktops) as port, page(port) as websocket:
            assert (await closed(websocket))[0] == 1001

    run(work, tmp_path)


def test_one_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that its user has stopped says nothing any more."""
    monkeypatch.setattr(carrier, "END_SECONDS", 0.3)
    ours, theirs = socket.socketpair()

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            await asyncio.sleep(0.2)
            for link in desktops.desktop.links:
                link.cut("you were signed out")
            assert (await closed(websocket))[0] == 1006

    with theirs:
        run(work, tmp_path, peer=ours)


def test_nothing_piles_up_for_a_process_that_takes_nothing(tmp_path: Path) -> None:
    """Whoever sends waits; nothing is kept of it but buffers."""
    ours, theirs = socket.socketpair()

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port) as websocket:
            sent = 0
            with pytest.raises(TimeoutError):
                while True:
                    await asyncio.wait_for(websocket.send(bytes(1 << 20)), 1.0)
                    sent += 1 << 20
            assert sent < 16 << 20
            theirs.close()
            await closed(websocket)

    run(work, tmp_path, peer=ours)


def test_nothing_piles_up_for_a_browser_that_takes_nothing(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port, page(port):
            sent = 0
            for _ in range(20):
                await asyncio.sleep(0.05)
                with contextlib.suppress(BlockingIOError):  # it takes no more
                    while True:
                        sent += theirs.send(b"\x82\x7f" + (1 << 40).to_bytes(8, "big") + bytes(1 << 18))
            assert 0 < sent < 4 * WINDOW_BYTES
            theirs.close()

    run(work, tmp_path, peer=ours)


def test_what_comes_before_the_answer_is_refused(tmp_path: Path) -> None:
    """The library would have taken it, and the process would begin in the midst of a frame."""

    async def work(desktops: Desktops) -> None:
        async with served(desktops) as port:
            reader, writer = await asyncio.open_connection(ADDRESS, port)
            lines = [
                "GET /websockify HTTP/1.1", f"Host: {ADDRESS}:{port}", f"Origin: http://{ADDRESS}:{port}",
                "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                f"Sec-WebSocket-Protocol: {FILES_PROTOCOL}, {TOKEN_PREFIX}{'a' * 40}",
            ]  # fmt: skip
            writer.write("\r\n".join([*lines, "", ""]).encode() + b"\x81\x82")
            assert b" 400 " in (await reader.readline())
            writer.close()

    run(work, tmp_path)
