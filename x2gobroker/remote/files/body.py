"""Carries the body of one plain request between a browser and the process of its user: as many bytes as were agreed.

The service writes the head of the answer. So whatever a process sends is a file to be saved in the browser, and
nothing that a page could be made of.
"""

from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus
from urllib.parse import quote

from x2gobroker.remote.crossing import DOWNLOAD
from x2gobroker.remote.files.tickets import Offer
from x2gobroker.remote.post import Post

BUFFER_BYTES = 1 << 18
STALL_SECONDS = 600.0  # for which a browser may take nothing: its user may have stopped a download for a while
WHOLE = b"+"  # to the process: the browser has taken all of it


class Body(asyncio.Protocol):
    """The end of the user's process. `over` is done when both sides are gone."""

    def __init__(self, post: Post, offer: Offer, allowed: tuple[tuple[str, str], ...]) -> None:
        self._post = post
        self._down = offer.way == DOWNLOAD
        self._name = offer.name
        self._left = offer.size
        self._allowed = allowed
        self._transport: asyncio.Transport | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def carry(
        cls, post: Post, offer: Offer, process: socket.socket, allowed: tuple[tuple[str, str], ...]
    ) -> Body:
        """Begin to carry it. `allowed`: headers that let the page's script see the answer."""
        process.setblocking(False)
        _, made = await asyncio.get_running_loop().create_unix_connection(
            lambda: cls(post, offer, allowed), sock=process
        )
        made.begin()
        return made

    def begin(self) -> None:
        """Both sides are there."""
        if self._down and not self._post.transport.is_closing():
            name = quote(self._name, safe="")
            headers = (
                ("Content-Type", "application/octet-stream"),
                ("Content-Disposition", f"attachment; filename*=UTF-8''{name}"),
                *self._allowed,
            )
            self._post.begin_answer(HTTPStatus.OK, headers, self._left)
        self._post.hand_over(self)
        if not self._left:
            self._is_whole()

    def abort(self) -> None:
        """End it at once: the browser sees that it is not whole."""
        self._post.abort()
        if self._transport is not None:
            self._transport.abort()

    # what comes from the process

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        if isinstance(transport, asyncio.Transport):
            transport.set_write_buffer_limits(BUFFER_BYTES)
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """A part of a download. What is more than was agreed ends it."""
        if not self._down or len(data) > self._left:
            self.abort()
            return
        self._left -= len(data)
        self._post.transport.write(data)
        if not self._left:
            self._is_whole()

    def eof_received(self) -> bool:
        """It sends nothing more. Of a download that is whole, it waits to hear that the browser has it."""
        return self._down and not self._left

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        if not self._down:
            status = HTTPStatus.CONFLICT if self._left else HTTPStatus.OK
            self._post.respond(status, status.phrase, self._allowed)
        elif not self._post.closed.done():
            self._post.abort()
        self.over.set_result(None)

    def pause_writing(self) -> None:
        """The process is slow to take."""
        self._post.transport.pause_reading()

    def resume_writing(self) -> None:
        """It takes again."""
        if not self._post.transport.is_closing():
            self._post.transport.resume_reading()

    # what comes from the browser

    def take(self, data: bytes) -> None:
        """A part of an upload. What comes behind its end is nobody's."""
        if self._down or not self._left or self._transport is None or self._transport.is_closing():
            return
        data = data[: self._left]
        self._left -= len(data)
        self._transport.write(data)
        if not self._left:
            self._is_whole()

    def _is_whole(self) -> None:
        if self._down:
            self._post.close(STALL_SECONDS)
        elif self._transport is not None:
            self._transport.write_eof()

    def pause(self, wait: bool) -> None:
        """The browser is slow to take, or takes again."""
        if self._transport is None or self._transport.is_closing():
            return
        if wait:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def browser_lost(self) -> None:
        """The browser is gone, or has all of it. The process gets what was on its way, and then the end."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._down and not self._left and self._post.closed.done() and self._post.closed.result():
            self._transport.write(WHOLE)
        self._transport.close()
