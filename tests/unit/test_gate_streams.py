"""Whatever a client sends, in whatever pieces, and whenever: the daemon's door between it and gunicorn's parser.

gunicorn reads the whole stream, too, without the door: the application may get no other requests than gunicorn would
find there, in the same order. Time is the test's own.
"""

from __future__ import annotations

import os
import re
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest
from gunicorn.config import Config
from gunicorn.http import RequestParser
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.cli.daemon.serving import DoorWorker, Exchange, GunicornLogger
from x2gobroker.gate import Connection, Door, Limits, connection, door, framing

LIMITS = Limits(head_bytes=600, body_bytes=800)
# the largest of requests with what chunks cost, and one read
MOST_HELD = LIMITS.head_bytes + LIMITS.body_bytes + framing.CHUNK_OVERHEAD + connection.READ_BYTES + 4
ALL_SECONDS = sum((LIMITS.head_seconds, LIMITS.body_seconds, LIMITS.answer_seconds, LIMITS.idle_seconds))
OPTIONS = {"forwarded_allow_ips": "", "forwarder_headers": "", "secure_scheme_headers": {}}
Read = tuple[str, str, tuple[tuple[str, str], ...], bytes]  # method, target, headers, body


def configured() -> Config:
    """gunicorn's options as the daemon has them."""
    made = Config()
    for name, value in OPTIONS.items():
        made.set(name, value)
    return made


CONFIG = configured()


@dataclass
class Clock:
    """Takes the place of the module `time` in the door."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now


class Listener:
    """What the door takes for a listening socket: hands out one end of socket pairs."""

    def __init__(self) -> None:
        self._waiting: deque[socket.socket] = deque()
        self._ready, self._say = os.pipe()

    def connect(self) -> socket.socket:
        """A client's end."""
        mine, its = socket.socketpair()
        self._waiting.append(its)
        os.write(self._say, b"\0")
        return mine

    def accept(self) -> tuple[socket.socket, Any]:
        if not self._waiting:
            raise BlockingIOError
        os.read(self._ready, 1)
        return self._waiting.popleft(), ("192.0.2.1", 4711)

    def fileno(self) -> int:
        return self._ready

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 8080

    def close(self) -> None:
        for end in (self._ready, self._say):
            os.close(end)
        for waiting in self._waiting:
            waiting.close()


@dataclass
class World:
    """A door, a worker behind it that waits to be told to go on, and one client."""

    clock: Clock
    reads_bodies: bool
    limits: Limits = LIMITS
    handed: list[tuple[bytes, bool]] = field(default_factory=list)
    served: list[Read] = field(default_factory=list)
    got: bytearray = field(default_factory=bytearray)
    closed: bool = False

    def __post_init__(self) -> None:
        self.listener = Listener()
        self._waiting: deque[tuple[Connection, bytes, bool]] = deque()
        self.door = Door([self.listener], self.limits, self._submit, lambda _address: False)  # type: ignore[list-item]
        worker = DoorWorker.__new__(DoorWorker)
        worker.cfg, worker.alive, worker.log = CONFIG, True, GunicornLogger(CONFIG)
        worker.wsgi, worker._door = self._application, self.door
        self._worker = worker
        self.client = self.listener.connect()
        self.client.setblocking(False)
        self.turn()

    def _submit(self, one: Connection, request: bytes, is_last: bool) -> None:
        assert not self._waiting, "a second request before the answer to the first"
        self.handed.append((request, is_last))
        self._waiting.append((one, request, is_last))

    def _application(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read() if self.reads_bodies else b""
        names = ("CONTENT_LENGTH", *(name for name in environ if name.startswith("HTTP_")))
        headers = tuple((name, environ[name]) for name in sorted(names) if environ.get(name))
        self.served.append((environ["REQUEST_METHOD"], environ["RAW_URI"], headers, body))
        said = b"%d" % (len(self.served) - 1)
        start("200 OK", [("Content-Length", str(len(said))), ("X-Number", said.decode())])
        return [said]

    def turn(self, times: int = 3) -> None:
        """Let the door work; what it holds stays within its bounds."""
        for _ in range(times):
            self.door.turn(0)
            for one in self.door._all:
                assert one.waiting_bytes <= MOST_HELD
            assert self.door._held_bytes == sum(one.waiting_bytes for one in self.door._all)
            self._receive()

    def serve(self) -> None:
        """The broker answers."""
        while self._waiting:
            self._worker._perform(*self._waiting.popleft())
            self.turn()

    def send(self, data: bytes) -> bytes:
        """The client sends this; what does not go, as the door does not read."""
        while data and not self.closed:
            try:
                data = data[self.client.send(data) :]
            except BlockingIOError:
                return data
            except OSError:
                self.closed = True
            self.turn()
        return b""

    def _receive(self) -> None:
        while not self.closed:
            try:
                data = self.client.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            self.got += data
            self.closed = not data

    def pass_time(self, seconds: float) -> None:
        """Time passes."""
        self.clock.now += seconds
        self.turn()

    def close(self) -> None:
        self.door.close()
        self.listener.close()
        self.client.close()


@contextmanager
def world(reads_bodies: bool = True, limits: Limits = LIMITS) -> Iterator[World]:
    """A door whose time is the test's."""
    clock = Clock()
    with mock.patch.object(door, "time", clock):
        made = World(clock, reads_bodies, limits)
        try:
            yield made
        finally:
            made.close()


def found_by_gunicorn(stream: bytes, times: int = 100) -> list[Read]:
    """The requests that gunicorn's own parser finds in a whole stream, up to the first thing it refuses."""
    found: list[Read] = []
    parser = RequestParser(CONFIG, Exchange(stream), ("192.0.2.1", 4711))
    for _ in range(times):
        try:
            request = next(parser)
            body = request.body.read()
        except Exception:  # noqa: BLE001 - of whatever kind: there is no request
            break
        found.append((request.method, request.uri, headers_of(request.headers), body))
    return found


def headers_of(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Headers as a WSGI environment has them."""
    made: dict[str, str] = {}
    for name, value in headers:
        key = f"HTTP_{name.upper().replace('-', '_')}"
        if name.upper() == "CONTENT-LENGTH":
            made["CONTENT_LENGTH"] = value
        elif name.upper() != "CONTENT-TYPE":
            made[key] = f"{made[key]},{value}" if key in made else value
    return tuple(sorted((name, value) for name, value in made.items() if value))


LINES = st.sampled_from(
    [
        *(b"GET / HTTP/1.1", b"POST /a HTTP/1.1", b"POST /b HTTP/1.0", b"HEAD /c HTTP/1.1", b"OPTIONS * HTTP/1.1"),
        *(b"GET http://h/abs HTTP/1.1", b"CONNECT h:443 HTTP/1.1", b"PRI * HTTP/2.0", b"GET /  HTTP/1.1", b"GET /"),
        *(b"GET / HTTP/1.1 ", b" GET / HTTP/1.1", b"get / http/1.1", b"GET /\x00 HTTP/1.1", b"GET /\tx HTTP/1.1"),
        *(b"", b"\r\nGET / HTTP/1.1", b"\nGET / HTTP/1.1", b"GET /\xff HTTP/1.1", b"GET h:1 HTTP/1.1"),
    ]
)
HEADERS = st.sampled_from(
    [
        *(b"Host: h", b"Host: a\r\nHost: b", b"X: y", b"X:", b": y", b"X", b" folded", b"\tfolded", b"X: a\r\n b"),
        *(b"Content-Length: 5", b"Content-Length: 0", b"Content-Length: 05", b"Content-Length: +5"),
        *(
            b"Content-Length: 5, 5",
            b"Content-Length: 5\r\nContent-Length: 6",
            b"Content-Length:5 ",
            b"Content-Length : 5",
        ),
        *(b"Content-Length: 99999", b"Content-Length: 99999999999999999999", b"Content-Length: 0x5"),
        *(
            b"Content-Length: \x0b5",
            b"content-LENGTH: 5",
            b"Content-Length: -1",
            b"Content-Length: ",
            b"Content_Length: 5",
        ),
        *(b"Content-Length: \xb2", b"X: a\nContent-Length: 5", b"X: a\rContent-Length: 5", b"\x0bContent-Length: 5"),
        *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: Chunked ", b"transfer-encoding:\tchunked"),
        *(b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: identity"),
        *(b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked"),
        *(
            b"Transfer-Encoding:",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            b"Transfer_Encoding: chunked",
        ),
        *(b"X: \x00", b"X: \x7f", b"Expect: 100-continue", b"Expect: 100-Continue", b"Expect: more"),
        *(
            b"Connection: close",
            b"Connection: keep-alive",
            b"Connection: Upgrade\r\nUpgrade: h2c",
            b"Upgrade: websocket",
        ),
        *(b"Trailer: X", b"TE: trailers", b"X: " + b"a" * 500, b"Script_Name: /x", b"Authorization: Basic YTpi\n"),
    ]
)
BODIES = st.sampled_from(
    [
        *(b"", b"hello", b"hello world", b"5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n"),
        *(b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n', b"5 ;a\r\nhello\r\n0\r\n\r\n", b" 5\r\nhello\r\n0\r\n\r\n"),
        *(b"5\nhello\n0\n\n", b"5\r\nhelloXX0\r\n\r\n", b"5\r\nhello0\r\n\r\n", b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"),
        *(
            b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
            b"5\r\nhello\r\n00\r\n\r\n",
            b"0\r\n\r\n",
            b"0\r\n",
            b"0x5\r\nhello\r\n",
        ),
        *(
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"5_0\r\nhello\r\n0\r\n\r\n",
            b"FFFFFFFF\r\n",
            b"fffffffff\r\n",
            b"5;\r\nhello\r\n0;\r\n\r\n",
        ),
        *(
            b"5;a\nb\r\nhello\r\n0\r\n\r\n",
            b"5;a\rb\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\r\n0\r\nbad\r\n\r\n",
            b"5\r\nhello\r\n0\r\n x\r\n\r\n",
        ),
        *(
            b"5\r\nhello\r\n0;x\r\n\n\r\n\r\n",
            b"1\r\na\r\n" * 200 + b"0\r\n\r\n",
            b"2ff\r\n" + b"a" * 767 + b"\r\n0\r\n\r\n",
        ),
        *(b"5\r\nhello\r\n" + b";" * 1100, b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 200, b"\x00" * 5, b"\xff" * 9),
    ]
)
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A request that is right, or nearly."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.binary(max_size=60))
    if kind == 1:
        return SMUGGLED
    headers = draw(st.lists(HEADERS, max_size=4))
    if draw(st.booleans()):
        headers.insert(0, b"Host: h")
    end = draw(st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n"]))
    head = end.join([draw(LINES), *headers, b"", b""])
    body = draw(BODIES)
    if draw(st.booleans()):  # one that fits
        length = draw(st.sampled_from([b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked"]))
        fits = [b"POST /fits HTTP/1.1", b"Host: h", length, *draw(st.lists(HEADERS, max_size=1)), b"", b""]
        head = b"\r\n".join(fits)
    return head + body


STREAMS = st.lists(messages(), min_size=1, max_size=5).map(b"".join)


@given(STREAMS, st.booleans(), st.data())
def test_the_application_gets_what_gunicorn_would_find_there_and_nothing_else(
    stream: bytes, reads_bodies: bool, data: st.DataObject
) -> None:
    with world(reads_bodies) as one:
        rest = stream
        while rest and not one.closed:
            size = data.draw(st.integers(1, len(rest)))
            assert not one.send(rest[:size])
            rest = rest[size:]
            if data.draw(st.booleans()):
                one.serve()
        one.serve()
        expected = found_by_gunicorn(stream)
        whole = [read if reads_bodies else (*read[:3], b"") for read in expected]
        last = [is_last for _, is_last in one.handed]
        assert not any(last[:-1]), "something came after what nothing can come after"
        for number, read in enumerate(one.served):
            if last[number] and number == len(expected):
                # a body that is too long: the application gets the header, and sees by it how long it would have been
                assert int(dict(read[2])["CONTENT_LENGTH"]) > LIMITS.body_bytes
                break
            assert read[:3] == whole[number][:3]
            assert read[3] == (b"" if last[number] else whole[number][3])
        # byte for byte as sent, in order, and nothing left out in between
        assert stream.startswith(b"".join(request for request, _ in one.handed))
        # answers in order, whatever lay between
        numbers = [line[10:] for line in bytes(one.got).split(b"\r\n") if line.startswith(b"X-Number: ")]
        assert numbers == [b"%d" % number for number in range(len(one.served))]
        # who was refused anything gets nothing more
        assert len(one.handed) - len(one.served) in (0, 1)
        if len(one.handed) > len(one.served):
            one.send(SMUGGLED)
            one.serve()
            assert len(one.handed) == len(last)


@given(
    st.one_of(st.binary(max_size=3000), STREAMS),
    st.lists(st.tuples(st.integers(1, 400), st.floats(0, 20)), min_size=1, max_size=12),
    st.booleans(),
)
def test_every_connection_ends_in_time(stream: bytes, pieces: list[tuple[int, float]], ends: bool) -> None:
    """A byte now and then prolongs nothing; whoever stops is gone soon."""
    with world() as one:
        began = one.clock.now
        for size, pause in pieces:
            before = len(one.handed)
            one.send(stream[:size])
            stream = stream[size:]
            one.pass_time(pause)
            if not one.handed and not one.got:
                assert one.closed or one.clock.now - began <= LIMITS.head_seconds + LIMITS.body_seconds + 20
            if len(one.handed) > before:
                one.serve()
        if ends and not one.closed:
            one.client.shutdown(socket.SHUT_WR)
            one.turn()
        for _ in range(6):
            one.serve()
            one.pass_time(ALL_SECONDS)
        assert len(one.door) == 0
        assert one.door._held_bytes == 0
        one.turn()
        assert one.closed


@given(st.integers(1, 60), st.sampled_from([0.3, 1.0, 3.0, 9.0]), st.booleans())
def test_who_sends_a_byte_now_and_then_is_ended_at_the_deadline(size: int, pause: float, in_the_body: bool) -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 800\r\n\r\n"
    with world() as one:
        if in_the_body:
            one.send(head)
        began = one.clock.now
        while not one.closed:
            one.send(b"x" * min(size, 5))
            one.pass_time(pause)
            assert not one.handed
            limit = LIMITS.body_seconds if in_the_body else LIMITS.head_seconds
            assert one.clock.now - began <= limit + 2 * LIMITS.linger_seconds + 3 * pause
        assert one.got.startswith(b"HTTP/1.1 ")


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.booleans())
def test_pipelined_requests_are_answered_in_order_one_after_the_other(cuts: list[int], late: bool) -> None:
    sent = b"".join(
        b"POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (number, size, b"b" * size)
        for number, size in enumerate(cuts)
    )
    with world() as one:
        at = 0
        for size in cuts * 40:
            one.send(sent[at : at + size])
            at += size
            if not late:
                one.serve()
        one.send(sent[at:])
        one.serve()
        assert [read[1] for read in one.served] == [f"/{number}" for number in range(len(cuts))]
        assert [len(read[3]) for read in one.served] == cuts
        assert one.got.count(b"HTTP/1.1 200") == len(cuts)
        assert not one.closed


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        (b"", b"a"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n", b"X: y\r\n"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 900 + b"\r\na\r\n"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"0" * 900),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n320\r\n", b"a"),
        (b"POST / HTTP/1.1\r\nContent-Length: 801\r\n\r\n", b"a"),
    ],
)
def test_what_never_ends_is_not_held(begin: bytes, again: bytes) -> None:
    """`World.turn` looks at what is held, each time."""
    flood = again * (100_000 // len(again))
    with world() as one:
        one.send(begin)
        for _ in range(2 * framing.CHUNK_OVERHEAD // len(flood)):
            one.send(flood)
            one.serve()
        assert re.match(rb"HTTP/1\.1 (400|413|431|200) ", one.got)
        assert all(request.startswith(b"POST") for request, _ in one.handed)
        one.pass_time(LIMITS.linger_seconds + 1)
        assert one.closed


@pytest.mark.parametrize(
    ("version", "expect", "body", "told"),
    [
        (b"1.1", b"100-continue", b"", True),
        (b"1.1", b"100-Continue", b"he", True),
        (b"1.1", b"100-continue", b"hello", False),
        (b"1.0", b"100-continue", b"", False),
        (b"1.1", b"more", b"", False),
    ],
)
def test_who_waits_for_a_word_gets_one(version: bytes, expect: bytes, body: bytes, told: bool) -> None:
    """Not over HTTP/1.0, which has no such answers (RFC 9110, 10.1.1): a client would take it for the whole answer."""
    with world() as one:
        one.send(b"POST / HTTP/%s\r\nExpect: %s\r\nContent-Length: 5\r\n\r\n%s" % (version, expect, body))
        assert (bytes(one.got) == b"HTTP/1.1 100 Continue\r\n\r\n") == told
        one.send(b"hello"[len(body) :])
        one.serve()
        assert one.got.count(b" 100 ") == told
        assert one.got.count(b"HTTP/1.") == 1 + told


@pytest.mark.parametrize("reads_bodies", [True, False])
@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nbad\r\n\r\n",
        b"5\r\nhello\r\n0\r\nHost: other\r\n\r\n",
        b"5\x0b\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_a_body_that_is_wrong_is_refused_and_nothing_is_read_after_it(body: bytes, reads_bodies: bool) -> None:
    """Also where the application would not have looked at it: a web server in front may see its end elsewhere."""
    with world(reads_bodies) as one:
        one.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body + SMUGGLED)
        one.serve()
        assert one.served == []
        assert one.got.startswith(b"HTTP/1.1 400 ")
        assert b"smuggled" not in b"".join(request for request, _ in one.handed)
        assert one.got.count(b"HTTP/1.1 ") == 1
