"""What a VNC server sends reaches the browser as websocket messages: all of it, in order, and no more than fits."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import socket
import ssl
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

from tests.support.tls import make_certificates
from x2gobroker.remote.relay import BUFFER_BYTES, Browser, Carrier, Server, head_of_message

SECONDS = 20.0
SENT_BYTES = 24 * BUFFER_BYTES + 12345
MOST_ON_THE_WAY = 1 << 26  # of the kernel's buffers and ours


@given(st.integers(0, 1 << 17) | st.sampled_from((125, 126, 65535, 65536)))
def test_the_head_is_that_of_the_library(size: int) -> None:
    head = head_of_message(size)
    assert Frame(Opcode.BINARY, bytes(size)).serialize(mask=False) == head + bytes(size)


class Site:
    """A service that only carries, with one carrier for all; `servers`: our ends of VNC servers, by path."""

    def __init__(self) -> None:
        self.carrier = Carrier()
        self.servers: dict[str, socket.socket] = {}
        self.ended: list[str] = []

    async def handle(self, websocket: ServerConnection) -> None:
        """One connection."""
        assert websocket.request is not None
        ours, self.servers[websocket.request.path] = socket.socketpair()
        server = Server(ours)
        try:
            self.ended.append(await self.carrier.carry(server, Browser(websocket)))
        finally:
            server.close()

    async def server_of(self, path: str) -> socket.socket:
        """The VNC server of the browser with this path."""
        while path not in self.servers:
            await asyncio.sleep(0.01)
        return self.servers[path]

    @contextlib.asynccontextmanager
    async def at(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """Serve; the address."""
        async with (
            asyncio.timeout(SECONDS),
            serve(self.handle, "127.0.0.1", 0, ssl=tls, compression=None, write_limit=1 << 18) as server,
        ):
            port = next(iter(server.sockets)).getsockname()[1]
            yield f"{'wss' if tls else 'ws'}://127.0.0.1:{port}"


def send(server: socket.socket, data: bytes, sizes: random.Random) -> None:
    """Send in pieces of any size, and end the connection."""
    with server:
        at = 0
        while at < len(data):
            size = sizes.choice((1, 125, 126, 70_000, BUFFER_BYTES, 3 * BUFFER_BYTES))
            server.sendall(data[at : at + size])
            at += size


async def receive(url: str, site: Site, number: int, tls: ssl.SSLContext | None) -> bool:
    """Whether everything came through one connection; every second browser is slow."""
    data = random.Random(number).randbytes(SENT_BYTES)
    async with connect(f"{url}/{number}", ssl=tls, compression=None, max_size=None, max_queue=2) as browser:
        server = await site.server_of(f"/{number}")
        sending = asyncio.create_task(asyncio.to_thread(send, server, data, random.Random(number)))
        found = hashlib.sha256()
        async for message in browser:
            assert isinstance(message, bytes)
            assert len(message) <= BUFFER_BYTES
            found.update(message)
            if number % 2:
                await asyncio.sleep(0.02)
        await sending
    return found.digest() == hashlib.sha256(data).digest()


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS of the service and of the browsers."""
    made = make_certificates(tmp_path_factory.mktemp("tls"))
    here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    here.load_cert_chain(made.certificate, made.key)
    there = ssl.create_default_context(cafile=str(made.authority))
    there.check_hostname = False
    return here, there


@pytest.mark.parametrize("encrypted", [False, True])
def test_everything_comes_through_to_many_at_once(
    encrypted: bool, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """One buffer serves all of them: nobody gets what is another's, whoever is slow."""

    async def run() -> None:
        site = Site()
        async with site.at(contexts[0] if encrypted else None) as url:
            there = contexts[1] if encrypted else None
            assert all(await asyncio.gather(*(receive(url, site, number, there) for number in range(4))))
        assert site.ended == ["the VNC server has closed the connection"] * 4

    asyncio.run(run())


def test_a_browser_that_takes_nothing_stops_the_server_and_not_the_others() -> None:
    async def run() -> None:
        site = Site()
        async with site.at() as url, connect(f"{url}/slow", max_queue=1) as slow:
            server = await site.server_of("/slow")
            server.setblocking(False)
            slow.transport.pause_reading()
            taken, quiet = 0, 0
            while quiet < 20:  # as much as the buffers on the way take, and no more
                try:
                    taken += server.send(bytes(BUFFER_BYTES))
                    quiet = 0
                except BlockingIOError:
                    quiet += 1
                await asyncio.sleep(0.005)
                assert taken < MOST_ON_THE_WAY
            assert await receive(url, site, 0, None)
            assert len(site.ended) == 1
            slow.transport.abort()
            while len(site.ended) < 2:
                await asyncio.sleep(0.01)
            server.close()
        assert site.ended[1] == "the browser has gone"

    asyncio.run(run())


def test_a_browser_that_goes_in_between_ends_it() -> None:
    async def run() -> None:
        site = Site()
        async with site.at() as url:
            async with connect(f"{url}/gone", max_size=None) as browser:
                server = await site.server_of("/gone")
                sending = asyncio.create_task(asyncio.to_thread(send, server, bytes(SENT_BYTES), random.Random(0)))
                await browser.recv()
            with pytest.raises(OSError, match=r"Broken pipe|reset"):
                await sending
        assert site.ended == ["the browser has gone"]

    asyncio.run(run())
