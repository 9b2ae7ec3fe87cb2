"""Carries a connection for files between a browser and the process of its user: bytes, of which none is looked at.

Each side is read only while the other one takes, so that nothing is kept but one buffer each way.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection

from x2gobroker.logs import broker_log, error_log, field
from x2gobroker.privilege import MessageError, read_message
from x2gobroker.remote.crossing import FROM_FILES
from x2gobroker.remote.desktop import Connection
from x2gobroker.remote.patient import PatientConnection
from x2gobroker.store import Pass

FILES_PROTOCOL = "x2gobroker-files"
REFUSED = 4000  # the close code of what a user is told
BUFFER_BYTES = 1 << 18
END_SECONDS = 10.0  # for a user's process and a browser to take what was on its way
LARGEST_REPORT = 1 << 14
WAYS = {"upload": "uploads", "download": "downloads"}


class FilesLink(Connection):
    """One connection for files. It counts as work of its user when it begins: somebody has asked for it."""

    def __init__(self, websocket: PatientConnection, holder: Pass, address: str, began: float) -> None:
        self.websocket = websocket
        self.holder = holder
        self.address = address
        self.share = None
        self.sign_in = holder.sign_in
        self.last_input = began
        self._end: Callable[[], None] | None = None
        self._cut = False

    def cut(self, why: str) -> None:
        """End it, without waiting. The browser asks the portal why."""
        self._cut = True
        if self._end is not None:
            self._end()

    async def carry(self, process: socket.socket) -> None:
        """Carry all that comes, until one side has ended."""
        end = await _Process.reach(self.websocket.transport, process)
        self._end = end.stop
        if self._cut:
            end.stop()
        self.websocket.hand_over(end)
        await self.websocket.wait_closed()
        await end.over


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


async def log_reports(reports: socket.socket, address: str, desktop: str) -> None:
    """Write what the user's process says of its transfers into the log, until it ends. Nothing of it is believed."""
    loop = asyncio.get_running_loop()
    reports.setblocking(False)
    with reports:
        while data := await loop.sock_recv(reports, LARGEST_REPORT):
            try:
                _log(read_message(data, FROM_FILES), address, desktop)
            except MessageError as error:
                error_log.error("remote: the process for files of %s says what it may not: %s", desktop, error)
                return


def _log(found: dict[str, Any], address: str, desktop: str) -> None:
    if found["do"] == "failed":
        error_log.error("remote: the process for files of %s has failed: %s", desktop, field(found["reason"], 500))
        return
    told = (field(address), WAYS[found["way"]], field(found["path"], 500), desktop)
    if found["why"]:
        broker_log.info("remote: %s %s %s at %s: %d of %d bytes: %s", *told, found["at"], found["size"], found["why"])
    else:
        broker_log.info("remote: %s %s %s at %s: begins at %d of %d bytes", *told, found["at"], found["size"])


async def refuse_files(websocket: ServerConnection, told: str) -> None:
    """Close a connection for files that nothing comes of. The browser is told why."""
    websocket.transport.resume_reading()
    with contextlib.suppress(TimeoutError):
        await websocket.close(REFUSED, told)
