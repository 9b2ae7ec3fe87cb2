"""Carries a connection for files between a browser and the process of its user: bytes, of which none is looked at.

Each side is read only while the other one takes, so that nothing is kept but one buffer each way.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from websockets.asyncio.server import ServerConnection

from x2gobroker.remote.desktop import Connection
from x2gobroker.remote.files.body import Body
from x2gobroker.remote.files.reports import Reports
from x2gobroker.remote.patient import PatientConnection
from x2gobroker.store import Pass

FILES_PROTOCOL = "x2gobroker-files"
REFUSED = 4000  # the close code of what a user is told
BUFFER_BYTES = 1 << 18
END_SECONDS = 10.0  # for a user's process and a browser to take what was on its way


class FilesLink(Connection):
    """One connection for files. It counts as work of its user when it begins: somebody has asked for it."""

    def __init__(self, websocket: PatientConnection, holder: Pass, address: str, began: float) -> None:
        self.websocket = websocket
        self.holder = holder
        self.address = address
        self.share = None
        self.sign_in = holder.sign_in
        self.last_input = began
        self.reports: Reports | None = None  # of its process, as long as that may be given requests
        self._bodies: set[Body] = set()
        self._end: Callable[[], None] | None = None
        self._cut = False

    def cut(self, why: str) -> None:
        """End it, without waiting, and the requests that belong to it. The browser asks the portal why."""
        self._cut = True
        self.reports = None
        for body in self._bodies:
            body.abort()
        if self._end is not None:
            self._end()

    async def carry_body(self, body: Body) -> None:
        """A request of this connection's, until it is over; it ends with the connection."""
        self._bodies.add(body)
        try:
            if self._cut:
                body.abort()
            await body.over
        finally:
            self._bodies.discard(body)

    async def carry(self, process: socket.socket) -> None:
        """Carry all that comes, until one side has ended."""
        end = await _Process.reach(self.websocket.transport, process)
        self._end = end.stop
        if self._cut:
            end.stop()
        self.websocket.hand_over(end)
        try:
            await self.websocket.wait_closed()
            await end.over
        finally:
            for body in self._bodies:
                body.abort()


class _Process(asyncio.Protocol):
    """The end of the user's process. What it sends goes to the browser."""

    def __init__(self, browser: asyncio.Transport) -> None:
        self._browser = browser
        self._transport: asyncio.Transport | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def reach(cls, browser: asyncio.Transport, process: socket.socket) -> _Process:
        process.setblocking(False)
        _, made = await asyncio.get_running_loop().create_unix_connection(lambda: cls(browser), sock=process)
        return made

    # what comes from the process

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        if isinstance(transport, asyncio.Transport):
            transport.set_write_buffer_limits(BUFFER_BYTES)
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """For the browser."""
        self._browser.write(data)

    def pause_writing(self) -> None:
        """The process is slow to take."""
        self._browser.pause_reading()

    def resume_writing(self) -> None:
        """It takes again."""
        if not self._browser.is_closing():
            self._browser.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended. What it has said goes out; a browser that does not take it is let go."""
        self._browser.close()
        asyncio.get_running_loop().call_later(END_SECONDS, self._browser.abort)
        self.over.set_result(None)

    # what comes from the browser: `PatientConnection.hand_over`

    def take(self, data: bytes) -> None:
        """For the process."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause(self, wait: bool) -> None:
        """The browser is slow to take, or takes again."""
        if self._transport is None or self._transport.is_closing():
            return
        if wait:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def browser_lost(self) -> None:
        """The browser is gone. The process gets what was on its way, and then the end."""
        if self._transport is not None:
            self._transport.close()
            asyncio.get_running_loop().call_later(END_SECONDS, self._transport.abort)

    def stop(self) -> None:
        """The process gets the end now, and says good-bye to the browser."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self._transport.write_eof()
            asyncio.get_running_loop().call_later(END_SECONDS, self._transport.abort)


async def refuse_files(websocket: ServerConnection, told: str) -> None:
    """Close a connection for files that nothing comes of. The browser is told why."""
    websocket.transport.resume_reading()
    with contextlib.suppress(TimeoutError):
        await websocket.close(REFUSED, told)
