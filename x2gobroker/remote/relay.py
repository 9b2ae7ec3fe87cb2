"""Between a browser's websocket and a VNC server: the handshake of both, and then bytes both ways, with back-pressure.

Nothing is read from one side before the other has taken what came before it, but for one buffer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from x2gobroker.remote.clipboard import NO_CLIPBOARD, Clipboard
from x2gobroker.remote.cutting import DROP, PASS, Cutter
from x2gobroker.remote.rfb import (
    CLIENT_CUT_TEXT,
    NONE,
    SERVER_CLOSED,
    SHARED,
    VNC_AUTH,
    BrowserSide,
    Kind,
    Peer,
    RfbError,
    browser_messages,
    choose_security,
    encrypt_challenge,
    greet_server,
    log_in,
)
from x2gobroker.remote.told import NOT_FOR_GUESTS
from x2gobroker.remote.viewer import RightsToWork, Viewer

BUFFER_BYTES = 1 << 18  # what waits in a Unix socket at most, on Linux by default, in one piece
SERVER_SECONDS = 15.0  # for the handshake of the VNC server
USER_SECONDS = 180.0  # for a user who types a password
FINAL_BINARY = 0x82  # the first byte of a message that is whole (RFC 6455, 5.2)
LONGEST_HEAD = 10


class Browser:
    """A websocket as a stream of bytes."""

    def __init__(self, websocket: ServerConnection) -> None:
        self._websocket = websocket
        self._message: AsyncIterator[str | bytes] | None = None
        self._held = b""

    async def receive(self) -> bytes:
        """What has come, at least one byte. Raises RfbError for text, ConnectionClosed at the end.

        A message in many fragments is never put together: it is a stream of bytes in any case.
        """
        while not self._held:
            if self._message is None:
                self._message = self._websocket.recv_streaming()
            try:
                fragment = await anext(self._message)
            except StopAsyncIteration:
                self._message = None
                continue
            if not isinstance(fragment, bytes):
                raise RfbError("the browser sends text; VNC is binary")
            self._held = fragment
        data, self._held = self._held, b""
        return data

    async def read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        data = b""
        while len(data) < size:
            data += await self.receive()
        self._held = data[size:]
        return data[:size]

    async def write(self, data: bytes) -> None:
        """Send one message; waits while the browser does not take what was sent before."""
        await self._websocket.send(data)

    def put(self, message: memoryview) -> bool:
        """Send a message with its head now; False when `drained` has to be waited for before the next one.

        Nothing of `message` is kept. What a desktop shows goes this way: the library's own `send` makes three copies.
        """
        transport = self._websocket.transport
        if self._websocket.state is not State.OPEN or transport.is_closing():
            return False
        sent = 0
        if not transport.get_write_buffer_size() and transport.get_extra_info("ssl_object") is None:
            with contextlib.suppress(OSError):  # it takes nothing now; or it is broken, which `write` finds, too
                sent = os.write(transport.get_extra_info("socket").fileno(), message)
        if sent < len(message):
            transport.write(bytes(message[sent:]))
        return not self._websocket.paused

    async def drained(self) -> bool:
        """Wait while the browser does not take what was sent before; False when it has gone."""
        try:
            await self._websocket.drain()
        except OSError:
            return False
        return self._websocket.state is State.OPEN and not self._websocket.transport.is_closing()


def head_of_message(size: int) -> bytes:
    """What stands before so many bytes in a binary message of a websocket's server (RFC 6455, 5.2)."""
    if size < 126:
        return struct.pack(">BB", FINAL_BINARY, size)
    if size < 1 << 16:
        return struct.pack(">BBH", FINAL_BINARY, 126, size)
    return struct.pack(">BBQ", FINAL_BINARY, 127, size)


class Server:
    """The connection to a VNC server, TCP or Unix. The socket itself: streams would copy everything once more."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._loop = asyncio.get_running_loop()

    async def read(self, size: int) -> bytes:
        """Exactly `size` bytes, few. Raises RfbError at the end."""
        data = b""
        while len(data) < size:
            more = await self.receive(size - len(data))
            if not more:
                raise RfbError(SERVER_CLOSED)
            data += more
        return data

    async def receive(self, size: int = BUFFER_BYTES) -> bytes:
        """What has come; nothing at the end."""
        try:
            return await self._loop.sock_recv(self._socket, size)
        except OSError:
            return b""

    async def feed(self, space: memoryview, taken: Callable[[int], bool]) -> bool:
        """Put what comes into `space`, and call `taken` with its size, until that says False; False at the end.

        A piece in each turn of the loop, so that one busy desktop does not keep the others waiting.
        """
        held: asyncio.Future[bool] = self._loop.create_future()

        def take() -> None:
            goes_on, size = False, 0
            try:
                size = self._socket.recv_into(space)
                goes_on = bool(size) and taken(size)
            except (BlockingIOError, InterruptedError):
                goes_on = True
            except OSError:
                pass  # the same as an end
            finally:
                if not goes_on and not held.done():
                    self._loop.remove_reader(self._socket)
                    held.set_result(bool(size))

        self._loop.add_reader(self._socket, take)
        try:
            return await held
        finally:
            self._loop.remove_reader(self._socket)

    async def write(self, data: bytes) -> None:
        """Send; waits while the server does not take what was sent before."""
        try:
            await self._loop.sock_sendall(self._socket, data)
        except OSError as error:
            raise RfbError(SERVER_CLOSED) from error

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


async def shake_hands(browser: Peer, server: Peer, password: str | None, *, is_guest: bool) -> None:
    """Both handshakes, up to the browser's ClientInit. Raises RfbError, which the browser has been told.

    With `password` the service logs in. Where the VNC server asks and there is none, the user is asked, and the answer
    goes through; guests, who cannot know it, are refused.
    """
    side = BrowserSide(browser)
    try:
        async with asyncio.timeout(SERVER_SECONDS):
            await side.greet()
            minor, offered = await greet_server(server)
            chosen = choose_security(offered, password)
            ask_user = chosen == VNC_AUTH and password is None
            if ask_user and is_guest:
                raise RfbError("the VNC server wants a password, and guests are not asked for it", NOT_FOR_GUESTS)
            await side.offer(VNC_AUTH if ask_user else NONE)

        async def answer(challenge: bytes) -> bytes:
            return await side.answer(challenge) if ask_user else encrypt_challenge(password or "", challenge)

        async with asyncio.timeout(USER_SECONDS if ask_user else SERVER_SECONDS):
            await log_in(server, minor, chosen, answer)
            await side.accept()
            await browser.read(1)
            # whatever the browser says: a second tab, or a guest, must not end the first connection
            await server.write(SHARED)
    except TimeoutError:
        error = RfbError("the VNC server or the browser took too long")
        await side.refuse(error.told)
        raise error from None
    except RfbError as error:
        await side.refuse(error.told)
        raise


async def refuse(browser: Browser, reason: str) -> None:
    """Tell a browser, as its VNC server, why there is no desktop."""
    side = BrowserSide(browser)
    async with asyncio.timeout(SERVER_SECONDS):
        await side.greet()
        await side.refuse(reason)


class Carrier:
    """Carries what VNC servers send to browsers, with one buffer for all connections of an event loop.

    What is in it goes on, or is copied, before anything else happens in the loop; so idle connections need none.
    """

    def __init__(self) -> None:
        self._message = memoryview(bytearray(LONGEST_HEAD + BUFFER_BYTES))

    async def carry(self, server: Server, browser: Browser) -> str:
        """Until one side ends; why it ended."""
        space = self._message[LONGEST_HEAD:]
        while await server.feed(space, lambda size: browser.put(self._with_head(size))):
            if not await browser.drained():
                return "the browser has gone"
        return SERVER_CLOSED

    def _with_head(self, size: int) -> memoryview:
        head = head_of_message(size)
        begin = LONGEST_HEAD - len(head)
        self._message[begin:LONGEST_HEAD] = head
        return self._message[begin : LONGEST_HEAD + size]


async def relay(
    browser: Browser,
    server: Server,
    carrier: Carrier,
    view_only: bool,
    touched: Callable[[], None],
    *,
    name: str,
    clipboard: Clipboard,
    is_guest: bool,
) -> str:
    """Carry bytes until one side ends; why it ended. `touched` is called when the user does something.

    `name` is what the desktop is called for those who may only view: its own name says who works there. `clipboard` is
    for those who work; where nothing may go out, the server's stream is read message by message. Guests who work have
    none.
    """
    viewer = None
    if view_only:
        viewer = Viewer(server, browser, name)
    elif is_guest:
        viewer = Viewer(server, browser, name, RightsToWork(NO_CLIPBOARD, touched, is_guest=True))
    elif not clipboard.goes_out:
        viewer = Viewer(server, browser, name, RightsToWork(clipboard, touched, is_guest=False))
    pumps = []
    try:
        if viewer:
            await viewer.begin()
        pumps = [
            asyncio.ensure_future(viewer.show() if viewer else carrier.carry(server, browser)),
            asyncio.ensure_future(viewer.ask() if viewer else _to_server(browser, server, touched, clipboard)),
        ]
        done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).result()
    except ConnectionClosed:
        return "the browser has gone"
    except RfbError as error:
        return str(error)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


class Activity:
    """Watches what a browser sends, and says when its user does something."""

    def __init__(self, touched: Callable[[], None]) -> None:
        self._touched = touched
        self._cutter: Cutter | None = Cutter(browser_messages(self._seen))

    async def watch(self, data: bytes) -> None:
        """The next bytes. They are not kept."""
        if self._cutter is None:
            self._touched()
            return
        try:
            for _ in self._cutter.feed(data):
                await asyncio.sleep(0)
        except RfbError:  # an extension that is not known here: from now on all counts as done by the user
            self._cutter = None
            self._touched()

    def _seen(self, kind: Kind, _head: bytes, _rest: int) -> tuple[bytes, int]:
        if kind is not Kind.VIEW:
            self._touched()
        return b"", DROP


async def _to_server(browser: Browser, server: Server, touched: Callable[[], None], clipboard: Clipboard) -> str:
    if not clipboard.goes_in:
        return await _to_server_sifted(browser, server, touched, clipboard)
    activity = Activity(touched)
    while True:
        data = await browser.receive()
        await activity.watch(data)
        await server.write(data)


async def _to_server_sifted(browser: Browser, server: Server, touched: Callable[[], None], clipboard: Clipboard) -> str:
    """The same without what the clipboard does not take. Raises RfbError for a message that has no known end."""

    def decide(kind: Kind, head: bytes, _rest: int) -> tuple[bytes, int]:
        if kind is not Kind.VIEW:
            touched()
        if head[0] == CLIENT_CUT_TEXT and not clipboard.lets_in(head):
            return b"", DROP
        return head, PASS

    cutter = Cutter(browser_messages(decide))
    while True:
        for part in cutter.feed(await browser.receive()):
            if part:
                await server.write(part)
            await asyncio.sleep(0)
