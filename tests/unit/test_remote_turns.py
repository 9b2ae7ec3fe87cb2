"""One event loop serves all desktops: whatever one browser sends, the others have their turn soon."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

from tests.support.tls import make_certificates
from x2gobroker.remote.clipboard import Clipboard
from x2gobroker.remote.keys import BOTH
from x2gobroker.remote.patient import PatientConnection, patient_connections, read_little
from x2gobroker.remote.relay import Browser, Carrier, Server, relay

LONGEST_TURN = 0.02  # of the processor's time
INIT = struct.pack(">HH", 8, 4) + bytes(16) + struct.pack(">I", 4) + b"anna"


class Turns:
    """Measures how long the loop is held in one go, by the processor's time of this thread."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._loop = asyncio.get_running_loop()
        self._before = time.thread_time()
        self._running = True
        self._loop.call_soon(self._next)

    def _next(self) -> None:
        now = time.thread_time()
        self.longest = max(self.longest, now - self._before)
        if self._running:
            self._loop.call_later(0, self._again)

    def _again(self) -> None:
        self._before = time.thread_time()
        self._loop.call_soon(self._next)

    def stop(self) -> None:
        self._running = False


@contextlib.asynccontextmanager
async def desktop(
    view_only: bool, tls: tuple[ssl.SSLContext, ssl.SSLContext] | None
) -> AsyncIterator[ClientConnection]:
    """A browser at a desktop whose VNC server takes whatever it is sent, and says nothing."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    theirs.send(INIT)

    async def swallow() -> None:
        loop = asyncio.get_running_loop()
        while await loop.sock_recv(theirs, 1 << 16):
            pass

    async def handle(websocket: ServerConnection) -> None:
        given = (Browser(websocket), Server(ours), Carrier(), view_only, lambda: None)
        await relay(*given, name="desk", clipboard=Clipboard.of(BOTH), is_guest=False)

    swallowing = asyncio.ensure_future(swallow())
    context = tls[0] if tls else None
    async with serve(
        handle, "127.0.0.1", 0, ssl=context, compression=None, create_connection=PatientConnection
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        scheme, context = ("wss", tls[1]) if tls else ("ws", None)
        async with connect(f"{scheme}://127.0.0.1:{port}", ssl=context, compression=None) as browser:
            yield browser
    swallowing.cancel()
    ours.close()
    theirs.close()


def frames(opcode: Opcode, payload: bytes, fin: bool) -> bytes:
    """One frame of a browser, as it is on the wire."""
    return Frame(opcode, payload, fin).serialize(mask=True)


WIRES: dict[str, Callable[[], bytes]] = {
    "a cut text that never ends": lambda: (
        frames(Opcode.BINARY, struct.pack(">BxxxI", 6, 60_000), True) + frames(Opcode.BINARY, b"x", True) * 300
    ),
    "a message in fragments": lambda: (
        frames(Opcode.BINARY, b"\x04", False) + frames(Opcode.CONT, b"\0", False) * 20_000
    ),
    "empty fragments": lambda: frames(Opcode.BINARY, b"", False) + frames(Opcode.CONT, b"", False) * 8_000,
    "empty messages": lambda: frames(Opcode.BINARY, b"", True) * 5_000,
    "many messages in one": lambda: frames(Opcode.BINARY, struct.pack(">BBxx", 250, 0) * 100_000, True),
    "pings": lambda: frames(Opcode.PING, b"", True) * 3_000,
}


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("view_only", [True, False])
@pytest.mark.parametrize("wire", WIRES)
def test_no_browser_holds_the_loop(
    wire: str, view_only: bool, encrypted: bool, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    sent = WIRES[wire]()

    async def run() -> float:
        async with desktop(view_only, contexts if encrypted else None) as browser:
            await browser.recv()
            turns = Turns()
            # in pieces, so that it is not our own sending that holds the loop
            for at in range(0, len(sent), 1 << 14):
                browser.transport.write(sent[at : at + (1 << 14)])
                await asyncio.sleep(0)
            for _ in range(40):
                await asyncio.sleep(0.01)
            turns.stop()
            browser.transport.abort()
            return turns.longest

    assert asyncio.run(run()) < LONGEST_TURN


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS of the service and of the browsers."""
    made = make_certificates(tmp_path_factory.mktemp("tls"))
    here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    here.load_cert_chain(made.certificate, made.key)
    there = ssl.create_default_context(cafile=str(made.authority))
    there.check_hostname = False
    return here, there


def test_reading_little_is_what_asyncio_takes_it_for(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """The attributes are asyncio's own; a Python without them is noticed here."""

    async def sizes(encrypted: bool) -> list[int]:
        found: list[int] = []

        class Sink(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                read_little(transport)

            def data_received(self, data: bytes) -> None:
                found.append(len(data))

        loop = asyncio.get_running_loop()
        server = await loop.create_server(Sink, "127.0.0.1", 0, ssl=contexts[0] if encrypted else None)
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=contexts[1] if encrypted else None)
        await asyncio.sleep(0.1)  # else some of it comes with the handshake
        writer.write(os.urandom(1 << 18))
        await writer.drain()
        while sum(found) < 1 << 18:
            await asyncio.sleep(0.01)
        writer.close()
        server.close()
        return found

    assert max(asyncio.run(sizes(False))) <= 4096
    assert max(asyncio.run(sizes(True))) <= 1 << 15  # a record of TLS, which comes whole


def test_of_too_many_that_wait_to_be_let_in_the_oldest_makes_way() -> None:
    """Whoever connects and says nothing keeps nobody out."""

    async def run() -> None:
        let_in: list[str] = []

        async def handle(websocket: ServerConnection) -> None:
            assert isinstance(websocket, PatientConnection)
            websocket.is_in()
            let_in.append("one")
            await websocket.wait_closed()

        async with serve(handle, "127.0.0.1", 0, create_connection=patient_connections(3)) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}") as browser:
                silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]
                ended = [await asyncio.wait_for(reader.read(1), 5) == b"" for reader, _ in silent[:3]]
                assert ended == [True] * 3
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(silent[5][0].read(1), 0.2)
                async with connect(f"ws://127.0.0.1:{port}"):
                    assert len(let_in) == 2
                assert browser.close_code is None
                for _, writer in silent:
                    writer.close()

    asyncio.run(run())
