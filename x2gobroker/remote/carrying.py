"""Carries a connection for files or sound between a browser and the process of its user: bytes, none is looked at.

Each side is read only while the other one takes, so that nothing is kept but one buffer each way.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from websockets.asyncio.server import ServerConnection

from x2gobroker.remote.patient import PatientConnection

REFUSED = 4000  # the close code of what a user is told
BUFFER_BYTES = 1 << 18
END_SECONDS = 10.0  # for a user's process and a browser to take what was on its way


class Carrying:
    """The bytes of one connection, between its browser and the process of its user."""

    def __init__(self, websocket: PatientConnection) -> None:
        self._websocket = websocket
        self._end: Callable[[], None] | None = None
        self._stopped = False

    def stop(self) -> None:
        """End it, without waiting."""
        self._stopped = True
        if self._end is not None:
            self._end()

    async def carry(self, process: socket.socket) -> None:
        """Carry all that comes, until one side has ended."""
        end = await _Process.reach(self._websocket.transport, process)
        self._end = end.stop
        if self._stopped:
            end.stop()
        self._websocket.hand_over(end)
        await self._websocket.wait_closed()
        await end.over


class _Process(asyncio.Protocol):
    """The end of the user's process. What it sends goes to the browser."""

    def __init__(self, browser: asyncio.Transport) -> None:
        self._browser = browser
        self._transport: asyncio.Transport | None = None
        self._stopped = self._is_browser_lost = False
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
        """It has ended. What it has said goes out; a browser that does not take it is let go.

        A connection that is closed with something of a page's unread is reset, and its good-bye may be lost with that:
        so where a process has been stopped, the page closes it, when it has heard the end.
        """
        if self._stopped and self._browser.can_write_eof() and not self._browser.is_closing():
            self._browser.write_eof()
            self._browser.resume_reading()
        else:
            self._browser.close()
        asyncio.get_running_loop().call_later(END_SECONDS, self._let_browser_go)
        self.over.set_result(None)

    # asyncio fails at a transport that is lost already

    def _let_browser_go(self) -> None:
        if not self._is_browser_lost:
            self._browser.abort()

    def _let_process_go(self) -> None:
        if self._transport is not None and not self.over.done():
            self._transport.abort()

    # what comes from the browser: `PatientConnection.hand_over`

    def take(self, data: bytes) -> None:
        """For the process. What comes after its end is dropped: a page that is sending hears of that only later."""
        if self._transport is not None and not self._transport.is_closing() and not self._stopped:
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
        self._is_browser_lost = True
        if self._transport is not None:
            self._transport.close()
            asyncio.get_running_loop().call_later(END_SECONDS, self._let_process_go)

    def stop(self) -> None:
        """The process gets the end now, and says good-bye to the browser."""
        self._stopped = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self._transport.write_eof()
            asyncio.get_running_loop().call_later(END_SECONDS, self._let_process_go)


async def refuse_carried(websocket: ServerConnection, told: str) -> None:
    """Close a connection that nothing comes of. The browser is told why."""
    websocket.transport.resume_reading()
    with contextlib.suppress(TimeoutError):
        await websocket.close(REFUSED, told)
