"""A plain request with a body, where all others ask for a websocket: its head, and the first bytes of its body.

HTTP/1.1 by RFC 9112, and of it what browsers and web servers send for a body whose length is known. The head is read
here whole, with bounds and one deadline; what follows goes to whoever takes the request over. One request for each
connection.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from websockets.datastructures import Headers

from x2gobroker.remote.patient import Other, read_much

METHOD = b"POST "
HEAD_BYTES = 1 << 14
MOST_HEADERS = 100
LARGEST_BODY = 1 << 51
HEAD_SECONDS = 10.0  # from the first byte on
LINGER_SECONDS = 3.0  # for a client that still sends, to see the answer
FLUSH_SECONDS = 30.0
END = b"\r\n\r\n"
FIRST_LINE = re.compile(rb"POST (/[!-~]{0,2000}) HTTP/1\.1")
HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}):[ \t]*([ \t!-~\x80-\xff]{0,4000})")
LENGTH = re.compile(r"[0-9]{1,16}")


class BadRequestError(Exception):
    """It is not taken, and with which status."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Post(asyncio.Protocol):
    """One request. `serve` gets it when its head has come, and the first `lead_bytes` bytes of its body: `lead`.

    `path` and `headers` are those of the head, `length` is the number of bytes of the body that follow the lead.
    `settled` is called when it is let in, and when it is gone.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        serve: Callable[[Post], Awaitable[None]],
        lead_bytes: int,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        self.transport = transport
        self.path = ""
        self.headers = Headers()
        self.lead = b""
        self.length = 0
        self.closed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._serve = serve
        self._lead_bytes = lead_bytes
        self._held = bytearray()
        self._searched = 0
        self._rest = b""
        self._other: Other | None = None
        self._serving: asyncio.Task[None] | None = None
        self._settled = settled
        self._responded = self._closing = False
        self._late = asyncio.get_running_loop().call_later(HEAD_SECONDS, transport.abort)

    @property
    def peer(self) -> object:
        """Who connects, as a socket has it."""
        return self.transport.get_extra_info("peername")

    # what comes

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
        if self._responded:
            return  # it has its answer, and does not know it yet
        if self._other is not None:
            self._other.take(data)
        elif self._serving is not None:
            self._rest += data  # what the loop had read already; no more comes before somebody takes it
        else:
            self._held += data
            try:
                self._look()
            except BadRequestError as error:
                self.respond(error.status, "a request that is not taken")

    def _look(self) -> None:
        """Go on when enough has come. Raises BadRequestError."""
        end = self._held.find(END, max(0, self._searched - len(END)))
        self._searched = len(self._held)
        if end > HEAD_BYTES or (end < 0 and len(self._held) > HEAD_BYTES):
            raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if end < 0:
            return
        if not self.path:
            self.path, self.headers, whole = read_head(bytes(self._held[:end]))
            if whole < self._lead_bytes:
                raise BadRequestError(HTTPStatus.BAD_REQUEST)
            self.length = whole - self._lead_bytes
        begin = end + len(END)
        self._searched = end
        if len(self._held) < begin + self._lead_bytes:
            return
        self.lead = bytes(self._held[begin : begin + self._lead_bytes])
        self._rest = bytes(self._held[begin + self._lead_bytes :])
        self._held.clear()
        self._late.cancel()
        self.transport.pause_reading()
        self._serving = asyncio.ensure_future(self._serve(self))

    def pause_writing(self) -> None:
        """The client is slow to take."""
        if self._other is not None:
            self._other.pause(True)

    def resume_writing(self) -> None:
        """It takes again."""
        if self._other is not None:
            self._other.pause(False)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone. `closed` says whether we have closed it, and all that we had to say went out."""
        self._late.cancel()
        self._settled()
        self.closed.set_result(exc is None and self._closing)
        if self._other is not None:
            self._other.browser_lost()

    # what is done with it

    def is_in(self) -> None:
        """It has been let in: it makes way for nobody any more."""
        self._settled()

    def hand_over(self, other: Other) -> None:
        """All of the body from the lead on goes to this one, as it comes."""
        self._other = other
        if self.transport.is_closing():
            other.browser_lost()
            return
        read_much(self.transport)
        rest, self._rest = self._rest, b""
        if rest:
            other.take(rest)
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def respond(self, status: HTTPStatus, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Answer with a line of text, and close. A client that still sends is listened to for a moment: else it would
        see a broken connection, and no answer.
        """
        if self._responded or self.transport.is_closing():
            return
        body = f"{text}\n".encode()
        self.begin_answer(status, (("Content-Type", "text/plain; charset=utf-8"), *headers), len(body))
        self.transport.write(body)
        self._responded, self._other = True, None
        self._held.clear()
        self._late.cancel()
        self.transport.resume_reading()
        self._late = asyncio.get_running_loop().call_later(LINGER_SECONDS, self.close)

    def begin_answer(self, status: HTTPStatus, headers: tuple[tuple[str, str], ...], length: int) -> None:
        """Send the head of an answer whose body has this length."""
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Content-Length: {length}",
            "Connection: close",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Content-Security-Policy: default-src 'none'; frame-ancestors 'self'; sandbox",
            *(f"{name}: {value}" for name, value in headers),
        ]
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def close(self, seconds: float = FLUSH_SECONDS) -> None:
        """Close it when all has gone out, after this time in any case."""
        self._closing = True
        self.transport.close()
        self._late.cancel()
        self._late = asyncio.get_running_loop().call_later(seconds, self.transport.abort)

    def abort(self) -> None:
        """End it at once: whoever asked sees that the answer is not whole."""
        self.transport.abort()


def read_head(head: bytes) -> tuple[str, Headers, int]:
    """Path, headers, and the length of the body. Raises BadRequestError."""
    first, *lines = head.split(b"\r\n")
    found = FIRST_LINE.fullmatch(first)
    if found is None or len(lines) > MOST_HEADERS:
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    headers = Headers()
    for line in lines:
        part = HEADER.fullmatch(line)
        if part is None:
            raise BadRequestError(HTTPStatus.BAD_REQUEST)
        headers[part[1].decode("ascii")] = part[2].decode("latin-1").strip(" \t")
    lengths = headers.get_all("Content-Length")
    if headers.get_all("Transfer-Encoding") or not lengths:
        raise BadRequestError(HTTPStatus.LENGTH_REQUIRED)
    if len(lengths) > 1 or not LENGTH.fullmatch(lengths[0]):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    if int(lengths[0]) > LARGEST_BODY:
        raise BadRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return found[1].decode("ascii"), headers, int(lengths[0])
